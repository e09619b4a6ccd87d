"""The page of a figure: one width, one typeface, text around a frame; all lengths in inches."""

import textwrap
from collections.abc import Callable, Sequence
from functools import cache, wraps
from typing import Any, ParamSpec, TypeVar

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.textpath import TextToPath
from scipy.optimize import isotonic_regression

from analysis.figures.curves import Heading
from analysis.figures.styles import Look

WIDTH = 7.0  # both columns of a page
MARGIN = 0.1
GREY, FAINT, INK = "#555555", "#E2E2E2", "#1A1A1A"
TITLE, LABEL, SMALL = 9.0, 8.0, 7.0  # points
LEADING = 1.32  # of lines, in sizes of the type
LINE = LEADING * LABEL / 72  # height of a line of labels
NO_LIGATURES = ("-liga",)  # no ligatures, so that "fi" can be searched for
KEY = 0.3  # length of the piece of line before a label
MARKER_SIZES = {"P": 5.6, "X": 5.4, "*": 7.4, "p": 5.2, "^": 5.0, "v": 5.0, "D": 4.1}  # points; sizes that look equal
STYLE = {
    # Sans-serif faces as wide as the first or narrower, for those who read an .svg without it.
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial", "Helvetica", "sans-serif"],
    "font.size": LABEL,
    "axes.labelsize": LABEL,
    "axes.labelcolor": INK,
    "axes.edgecolor": "#888888",
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "text.color": INK,
    "text.parse_math": False,  # labels are what users type
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "figure.dpi": 200,  # of .png
    "savefig.dpi": "figure",
    "text.hinting": "no_hinting",  # as wide at any resolution
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "groie",  # ids that do not change from one call to the next
    "pdf.fonttype": 42,  # TrueType: text can be searched and edited
}

P = ParamSpec("P")
R = TypeVar("R")


def styled(draw: Callable[P, R]) -> Callable[P, R]:
    """Returns the function, run with the style of all figures and not with the user's settings."""

    @wraps(draw)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        with matplotlib.style.context(["default", STYLE]):
            return draw(*args, **kwargs)

    return run


class Sheet:
    """A figure of WIDTH with its title above and its foot below; y is counted from the frame's lower edge."""

    def __init__(self, heading: Heading, foot: Sequence[str], high: float, below: float = 0.42) -> None:
        """Leaves `high` for the frame and `below` for the ticks and the text of the axis below it."""
        room = WIDTH - 2 * MARGIN
        head = [(line, TITLE, INK, "bold") for line in wrap(heading.title, room, TITLE, "bold")]
        head += [(line, SMALL, GREY, "normal") for line in wrap(heading.about, room, SMALL)]
        feet = [(line, SMALL, GREY, "normal") for text in foot for line in wrap(text, room, SMALL)]
        above = sum(_line_height(size) for _, size, _, _ in head) + 0.16
        under = sum(_line_height(size) for _, size, _, _ in feet) + below
        self.base = MARGIN + under
        self.high = high
        self.tall = self.base + high + above + MARGIN
        self.figure = Figure(figsize=(WIDTH, self.tall))
        self._stack(head, high + above)
        self._stack(feet, -below)

    def _stack(self, lines: Sequence[tuple[str, float, str, str]], top: float) -> None:
        for text, size, colour, weight in lines:
            self.text(MARGIN, top - 0.78 * _line_height(size), text, size=size, color=colour, weight=weight)
            top -= _line_height(size)

    def text(self, x: float, y: float, text: str, **look: Any) -> None:
        """Writes a line of text with its baseline at y."""
        style = {"size": LABEL, "fontfeatures": NO_LIGATURES, **look}
        self.figure.text(x / WIDTH, (self.base + y) / self.tall, text, **style)

    def line(self, x: Sequence[float], y: Sequence[float], **look: Any) -> None:
        """Draws a line."""
        heights = [(self.base + one) / self.tall for one in y]
        self.figure.add_artist(Line2D([one / WIDTH for one in x], heights, **look))

    def axes(self, left: float, width: float, low: float = 0.0, high: float | None = None) -> Axes:
        """Adds axes; by default they take the whole height of the frame."""
        tall = self.high - low if high is None else high - low
        return self.figure.add_axes((left / WIDTH, (self.base + low) / self.tall, width / WIDTH, tall / self.tall))

    def at(self, axes: Axes, x: float, y: float) -> tuple[float, float]:
        """Returns the place on the sheet of a point of axes with their final limits."""
        across, up = self.figure.transFigure.inverted().transform(axes.transData.transform((x, y)))
        return float(across * WIDTH), float(up * self.tall - self.base)

    def key(self, x: float, y: float, look: Look, hollow: bool = False) -> None:
        """Draws a label's key: a piece of line with a marker."""
        self.line((x, x + KEY), (y, y), linewidth=1.6, **line_style(look))
        self.line((x + KEY / 2,), (y,), linestyle="", **marker_style(look, hollow))

    def label(self, x: float, y: float, lines: Sequence[tuple[str, str]]) -> None:
        """Writes lines of a label, each with its colour, the first with its middle at y."""
        for number, (text, colour) in enumerate(lines):
            self.text(x, y - 0.36 * LABEL / 72 - number * LINE, text, color=colour)


def signed(value: float) -> str:
    """Returns a difference with one decimal and its sign, with a true minus; zero has no sign."""
    text = f"{value:+.1f}".replace("-", "\N{MINUS SIGN}")
    return text[1:] if float(text[1:]) == 0 else text


def line_style(look: Look) -> dict[str, Any]:
    """Returns how matplotlib draws a line of this look."""
    return {"color": look.colour, "linestyle": (0, look.dashes) if look.dashes else "-"}


def marker_style(look: Look, hollow: bool = False) -> dict[str, Any]:
    """Returns how matplotlib draws a marker of this look; its white edge separates overlapping markers."""
    face, edge = ("white", look.colour) if hollow else (look.colour, "white")
    return {
        "marker": look.marker,
        "markerfacecolor": face,
        "markeredgecolor": edge,
        "markeredgewidth": 1.0 if hollow else 0.4,
        "markersize": MARKER_SIZES.get(look.marker, 4.6),
    }


def wide(text: str, size: float = LABEL, weight: str = "normal") -> float:
    """Returns the width of a line of text."""
    return sum(_advance(character, weight) for character in text) * size / 72


@cache
def _advance(character: str, weight: str) -> float:
    # Without kerning: slightly wider than what is drawn.
    font = FontProperties(family="DejaVu Sans", weight=weight, size=100)
    pair = TextToPath().get_text_width_height_descent(f"|{character}|", font, ismath=False)[0]
    alone = TextToPath().get_text_width_height_descent("||", font, ismath=False)[0]
    return float(pair - alone) / 100


def wrap(text: str, width: float, size: float = LABEL, weight: str = "normal", most: int = 99) -> list[str]:
    """Returns the lines of a text of this width, at most `most`; the last ends in "..." where text is cut."""
    lines: list[str] = []
    for word in text.split():
        while wide(word, size, weight) > width:  # a word without a place to break
            fits = next(n for n in range(len(word), 0, -1) if n == 1 or wide(word[:n], size, weight) <= width)
            lines.append(word[:fits])
            word = word[fits:]
        joined = f"{lines[-1]} {word}" if lines else word
        if lines and wide(joined, size, weight) <= width:
            lines[-1] = joined
        else:
            lines.append(word)
    if len(lines) > most:
        last = lines[most - 1]
        while wide(f"{last} ...", size, weight) > width:
            last = textwrap.shorten(last, len(last) - 1, placeholder="") or last[:-1]
        lines = [*lines[: most - 1], f"{last} ..."]
    return lines


def _line_height(size: float) -> float:
    return LEADING * size / 72


def spread(wanted: Sequence[float], heights: Sequence[float], low: float, high: float) -> list[float]:
    """Returns the middles of boxes from top to bottom: none overlap, and the sum of squared moves is least.

    Args:
        wanted: where each middle should be, falling.
        low: of the room; `high` is exceeded where the boxes need more room than there is.
    """
    if not heights:
        return []
    # With the heights above each box subtracted, the only constraint is the order.
    above = np.concatenate([[0.0], np.cumsum(heights)[:-1]]) + np.array(heights) / 2
    tops = isotonic_regression(np.array(wanted) + above, increasing=False).x
    floor = low + sum(heights)
    return list(np.clip(tops, floor, max(high, floor)) - above)
