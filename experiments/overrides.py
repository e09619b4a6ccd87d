"""Reads one override `KEY=VALUE` with Hydra's grammar, and explains mistakes in one sentence."""

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
LONGEST = 100_000  # characters of an override; lists may be long
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


@cache  # a large sweep repeats the same few overrides, and reading one takes a millisecond
def read(text: str) -> Override:
    """Returns a typed override; UserError if it cannot be read."""
    key, equals, value = text.partition("=")
    longest = max(re.split(r"[,\[\]{}()\s]", text), key=len)
    if reason := parsers.unprintable(text) or parsers.unfit(longest):
        raise UserError(reason)
    if len(text) > LONGEST:
        raise UserError(f"{shown(text)} has {len(text):,} characters; an override has at most {LONGEST:,}")
    if not equals and not text.startswith("~"):
        raise UserError(f"{shown(text)!r} is not KEY=VALUE; give one, as in pre=conv5 or schedule.epochs=3")
    if not KEY.fullmatch(key):
        raise UserError(
            f"{shown(key)!r} is not a key; python run.py --cfg job prints all keys, such as schedule.epochs"
        )
    try:
        return OverridesParser.create().parse_override(text)
    except Exception as error:  # of Hydra's lexer, its parser and its functions
        raise UserError(_what_is_wrong(key, value)) from error


def texts(override: Override, options: Sequence[str]) -> list[str]:
    """Returns the values of an override, each as it would be typed; UserError if there is none.

    Args:
        options: the names that a pattern is matched with.
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
        raise UserError(f"{shown(override.input_line)} is not a list of values; give {FUNCTIONS['range']}, or 0.1,0.2")
    _check_count(override)
    return list(override.sweep_string_iterator())


def values(override: Override, options: Sequence[str]) -> list[str]:
    """Returns the same without the quotes and backslashes that Hydra adds."""
    return [
        text[1:-1] if text[:1] in ("'", '"') else re.sub(r"\\(.)", r"\1", text) for text in texts(override, options)
    ]


def _check_count(override: Override) -> None:
    """Raises UserError for an empty list, or for one with more values than a command may have, before expanding it."""
    found = override.value()
    many: float = len(getattr(found, "list", ()))
    if isinstance(found, RangeSweep):
        start, stop, step = float(found.start or 0), float(found.stop or 0), float(found.step)
        if not step or not math.isfinite(start) or not math.isfinite(step):
            raise UserError(f"{shown(override.input_line)} has no end; range takes {FUNCTIONS['range']}")
        many = max(0.0, (stop - start) / step)
    if not many:
        raise UserError(
            f"{shown(override.input_line)} is empty; give one value or more, as in range(0,3), which is 0,1,2"
        )
    check_trials(many)


def combinations(alternatives: Sequence[Sequence[str]], rows: int) -> list[tuple[str, ...]]:
    """Returns every combination of alternatives; UserError if there are too many for `rows` rows."""
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
    """Returns a sentence on why Hydra cannot read a value."""
    text = f"{key}={shown(value, 200)}"
    called = re.fullmatch(r"\s*(\w+)\((.*)\)\s*", value, re.DOTALL)
    if called and called[1] not in FUNCTIONS:
        return f"{text}: there is no function {called[1]!r}{choose_from(called[1], FUNCTIONS)}"
    if called:
        return f"{text} cannot be computed: {called[1]} takes {FUNCTIONS[called[1]]}"
    if re.search(r"(^|[,(\[{])\s*(?=[,)\]}]|$)", value) and "," in value:
        meant = re.sub(r",(\s*,)+", ",", value).strip(", ")
        return f"{text} has an empty element; write it as {shlex.quote(f'{key}={meant}')}"
    advice = f"put a text with such characters in double quotes inside single quotes: {quoted(key, value)}"
    if (alone := _unclosed(value)) is not None:
        return f"{text} has {alone}; correct that, or {advice}"
    return f"{text} cannot be read; {advice}"


def _unclosed(value: str) -> str | None:
    """Returns the unmatched bracket or quote in a value; None if there is none."""
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
            return f"a {sign} that is not opened"
    if quote:
        return f"a quote {quote} that is not closed"
    return f"a {waiting[-1]} that is not closed" if waiting else None
