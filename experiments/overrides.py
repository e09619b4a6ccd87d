"""One override as Hydra's grammar reads it, `KEY=VALUE`, and in our own words what is wrong with one."""

import math
import re
import shlex
from collections.abc import Sequence
from functools import cache
from itertools import product

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override, RangeSweep

from experiments import commands, parsers
from experiments.errors import UserError
from experiments.sentences import choose_from, shown

MOST_TRIALS = 10_000  # of one command
LONGEST = 100_000  # characters of an override: a list may be long, a name in it may not
KEY = re.compile(r"(\+{1,2}|~)?[a-z_]\w*([./][\w-]+)*", re.ASCII | re.IGNORECASE)
FUNCTIONS = {
    "range": "whole numbers, as in range(0,3), which is 0,1,2",
    "choice": "values, as in choice(a,b)",
    "glob": "a pattern of options, as in glob(conv*)",
    "sort": "values, as in sort(3,1,2)",
    "shuffle": "values, as in shuffle(1,2,3)",
    "int": "one number",
    "float": "one number",
    "str": "one value",
    "bool": "true or false",
}
CLOSING = {"(": ")", "[": "]", "{": "}"}


@cache  # a sweep says the same few a thousand times, and to read one takes a millisecond
def read(text: str) -> Override:
    """Returns an override that was typed; UserError where it is none."""
    key, equals, value = text.partition("=")
    longest = max(re.split(r"[,\[\]{}()\s]", text), key=len)
    if reason := parsers.unprintable(text) or parsers.unfit(longest):
        raise UserError(reason)
    if len(text) > LONGEST:
        raise UserError(f"{shown(text)} has {len(text):,} characters; an override has at most {LONGEST:,}")
    if not equals and not text.startswith("~"):
        raise UserError(f"{shown(text)!r} sets nothing; give KEY=VALUE, as in pre=conv5 or schedule.epochs=3")
    if not KEY.fullmatch(key):
        raise UserError(f"{shown(key)!r} is no key; give one as python run.py --cfg job prints them: schedule.epochs=3")
    try:
        return OverridesParser.create().parse_override(text)
    except Exception as error:  # of Hydra's lexer, its parser and its functions
        raise UserError(_what_is_wrong(key, value)) from error


def texts(override: Override, options: Sequence[str]) -> list[str]:
    """Returns the values that an override names, each as it would be typed; UserError where there is none.

    Args:
        options: what a pattern is looked for in.
    """
    found = override.value()
    if isinstance(found, Glob):
        matching = found.filter(list(options))
        if not matching:
            there = f"none of {', '.join(options)}" if options else f"nothing: {override.key_or_group} has no options"
            raise UserError(f"{shown(override.input_line)} is empty, because its pattern matches {there}")
        return matching
    if not override.is_sweep_override():
        return [override.get_value_element_as_str()]
    if not override.is_discrete_sweep():
        raise UserError(f"{shown(override.input_line)} is no list of values; give {FUNCTIONS['range']}, or 0.1,0.2")
    _check_count(override)
    return list(override.sweep_string_iterator())


def values(override: Override, options: Sequence[str]) -> list[str]:
    """Returns the same less the quotes and the backslashes that Hydra puts around signs of its own."""
    return [
        text[1:-1] if text[:1] in ("'", '"') else re.sub(r"\\(.)", r"\1", text) for text in texts(override, options)
    ]


def _check_count(override: Override) -> None:
    """Raises UserError for a list with no value, or with more than a command may ask for, before they are made."""
    found = override.value()
    many: float = len(getattr(found, "list", ()))
    if isinstance(found, RangeSweep):
        start, stop, step = float(found.start or 0), float(found.stop or 0), float(found.step)
        if not step or not math.isfinite(start) or not math.isfinite(step):
            raise UserError(f"{shown(override.input_line)} has no end; range takes {FUNCTIONS['range']}")
        many = max(0.0, (stop - start) / step)
    if not many:
        raise UserError(f"{shown(override.input_line)} is empty; give a value or more, as range(0,3), which is 0,1,2")
    check_trials(many)


def combinations(alternatives: Sequence[Sequence[str]], rows: int) -> list[tuple[str, ...]]:
    """Returns every combination of alternatives; UserError where `rows` times as many are more than one may ask for."""
    check_trials(rows * math.prod(len(each) for each in alternatives))
    return list(product(*alternatives))


def check_trials(many: float) -> None:
    """Raises UserError for more trials than one command may plan."""
    if many > MOST_TRIALS:
        raise UserError(f"{many:,.0f} trials are asked for; one command plans at most {MOST_TRIALS:,}")


def quoted(key: str, value: str) -> str:
    """Returns an override as a shell takes it: 'dataset.root="/my data"'."""
    return shlex.quote(commands.override(key, value))


def _what_is_wrong(key: str, value: str) -> str:
    """Returns in a sentence why Hydra cannot read a value."""
    text = f"{key}={shown(value, 200)}"
    called = re.fullmatch(r"\s*(\w+)\((.*)\)\s*", value, re.DOTALL)
    if called and called[1] not in FUNCTIONS:
        return f"{text}: there is no function {called[1]!r}{choose_from(called[1], FUNCTIONS)}"
    if called:
        return f"{text} cannot be computed: {called[1]} takes {FUNCTIONS[called[1]]}"
    if re.search(r"(^|[,(\[{])\s*(?=[,)\]}]|$)", value) and "," in value:
        meant = re.sub(r",(\s*,)+", ",", value).strip(", ")
        return f"{text} has an empty element; write it as {shlex.quote(f'{key}={meant}')}"
    advice = f"a text with such signs stands in double quotes within single ones: {quoted(key, value)}"
    if (alone := _unclosed(value)) is not None:
        return f"{text} has {alone}; mend that, or {advice}"
    return f"{text} cannot be read; {advice}"


def _unclosed(value: str) -> str | None:
    """Returns the sign in a value that has no partner; None where each has one."""
    waiting: list[str] = []
    quote = ""
    for sign in value:
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "'\"":
            quote = sign
        elif sign in CLOSING:
            waiting.append(sign)
        elif sign in CLOSING.values() and (not waiting or CLOSING[waiting.pop()] != sign):
            return f"a {sign} that closes nothing"
    if quote:
        return f"a quote {quote} that is not closed"
    return f"a {waiting[-1]} that is not closed" if waiting else None
