"""Formats errors: one sentence of bounded length, in which typed control characters are escaped."""

import difflib
import sys
import unicodedata
from collections.abc import Iterable

LONGEST = 580  # characters of a sentence: some lines of a terminal
LONGEST_WORDS = (300, 100, 40)  # characters of one word in it, tried in this order until the sentence is short enough
LISTED = 300  # characters of a list of valid names; of a longer list only the nearest are shown
ENDING = 200  # characters at the end of a shortened sentence that are kept, because the remedy is there
UNPRINTABLE = ("Cc", "Cs", "Zl", "Zp")  # control characters, bytes that are not UTF-8, and line separators


def is_printable(text: str) -> bool:
    """Returns whether a text holds no control character, no line break and no byte that is not UTF-8."""
    return not any(unicodedata.category(character) in UNPRINTABLE for character in text)


def shown(value: object, longest: int = 60) -> str:
    """Returns a value for a sentence: control characters are escaped, the middle of a long value is left out."""
    text = "".join(
        character if is_printable(character) else ascii(character)[1:-1] for character in str(value)[: 100 * longest]
    )
    return _without_middle(text, longest) if len(text) > longest else text


def sentence(text: object) -> str:
    """Returns one printable line of at most `LONGEST` characters; first long words are shortened, then the text."""
    line = shown(text, 10**6)
    for longest in LONGEST_WORDS:
        line = " ".join(shown(word, longest) for word in line.split(" "))
        if len(line) <= LONGEST:
            return line
    return f"{line[: LONGEST - ENDING - 5]} ... {line[-ENDING:]}"


def report(mistake: object) -> int:
    """Prints a mistake of the user as one sentence; returns the exit code 2."""
    print(f"error: {sentence(mistake)}", file=sys.stderr)
    return 2


def choose_from(value: object, valid: Iterable[object]) -> str:
    """Returns "(did you mean conv5?); choose one of: conv1, conv5"; of a long list only the nearest or first names."""
    names = [str(one) for one in valid]
    near = difflib.get_close_matches(str(value)[:100], names, n=5)
    hint = f" (did you mean {near[0]}?)" if near else ""
    if len(", ".join(names)) > LISTED:
        some = ", ".join(shown(one, LISTED // 5) for one in near or names[:4])
        return f"{hint}; there are {len(names)}, such as {some}"
    return f"{hint}; choose one of: {', '.join(names)}" if names else "; there are none"


def _without_middle(text: str, longest: int) -> str:
    half = (longest - 3) // 2
    return f"{text[:half]}...{text[-half:]}"
