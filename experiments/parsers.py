"""Parsers of command lines with one-sentence errors: the mistake and the usage."""

import argparse
import re
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from experiments.sentences import choose_from, is_printable, report, shown

LONGEST = 1000  # characters of an argument
# argparse's messages, and ours in their place.
WORDS = (
    (r"^argument (.+?): ", r"\1: "),
    (r"expected (one argument|at least one argument)$", "a value is missing"),
    (r"expected 2 arguments$", "two values are needed"),
    (r"^the following arguments are required: (.*)$", r"missing arguments: \1"),
    (r"ignored explicit argument (.*)$", r"it takes no value, but \1 was given"),
    (r"not allowed with argument (.*)$", r"it cannot be combined with \1"),
)


class Parser(argparse.ArgumentParser):
    """A parser that ends with exit code 2 and one sentence: the bad value and the usage."""

    words: Sequence[str] = ()  # the words of the command line

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """Parses a command line; unknown words are a mistake here, so that a subcommand's own usage is printed."""
        words = self.words = list(sys.argv[1:] if args is None else args)
        for word in words:
            if reason := unfit(word):
                self.error(reason)
        namespace, rest = super().parse_known_args(words, namespace)
        if rest:
            self.error(f"{shown(' '.join(rest))} is unknown")
        return namespace, rest

    def error(self, message: str) -> NoReturn:
        """Prints the sentence and ends the program."""
        if chosen := re.match(r"argument (.+?): invalid choice: '(.*)' \(choose from (.*)\)$", message):
            what, value, valid = chosen.groups()
            message = f"{what} {shown(value)!r} is unknown{choose_from(value, valid.replace(chr(39), '').split(', '))}"
        for theirs, ours in WORDS:
            message = re.sub(theirs, ours, message)
        if message.startswith("missing arguments") and self.words:
            message += f" (you typed: {shown(shlex.join(self.words))})"
        usage = " ".join(self.format_usage().split()).removeprefix("usage: ")
        sys.exit(report(f"{message}; usage: {usage}"))


def unfit(word: str) -> str | None:
    """Returns why a word cannot be an argument: it is too long or has unprintable characters; None if it can."""
    if len(word) > LONGEST:
        return f"{shown(word)} has {len(word):,} characters; an argument has at most {LONGEST:,}"
    return unprintable(word)


def unprintable(text: str) -> str | None:
    """Returns the error for a text with unprintable characters; None if it has none."""
    if is_printable(text):
        return None
    return f"{shown(text)} holds a line break, another control character or bytes that are not UTF-8"


def path(*endings: str) -> Callable[[str], Path]:
    """Returns a function that parses a path for argparse; a name must end in one of `endings`, if there are any."""

    def parse(text: str) -> Path:
        found = Path(text)
        if not text.strip():
            raise argparse.ArgumentTypeError(f"{text!r} is empty; give a path")
        if endings and found.suffix not in endings:
            raise argparse.ArgumentTypeError(f"the name {shown(text)!r} must end in {' or '.join(endings)}")
        try:
            found.exists()
        except OSError as error:  # of a name that is too long
            raise argparse.ArgumentTypeError(f"{shown(text)} cannot be a path ({error.strerror})") from error
        return found

    return parse


def whole_number(least: int, most: int) -> Callable[[str], int]:
    """Returns a function that parses a whole number within limits for argparse."""

    def parse(text: str) -> int:
        if not re.fullmatch(r"[+-]?\d{1,12}", text) or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"{shown(text)} is refused; give a whole number, {least} to {most}")
        return int(text)

    return parse


def gibibytes(text: str) -> float:
    """Parses a size for argparse: a finite number above 0."""
    try:
        size = float(text)
    except ValueError:
        size = 0.0
    if not 0 < size <= 1e6:
        raise argparse.ArgumentTypeError(f"{shown(text)} is refused; give a number above 0 and at most 1000000")
    return size
