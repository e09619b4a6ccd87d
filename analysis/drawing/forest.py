"""Draws a forest plot: for each row its estimate and interval around zero, and their numbers."""

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from analysis.drawing import sheet
from analysis.drawing.sheet import GREY, INK, LINE, MARGIN, WIDTH, Sheet
from analysis.figures.plots import Estimate, Forest

LABELS, NUMBERS = 2.3, 1.45  # width of the columns left and right of the frame
ROOM = 0.1  # between rows
BEYOND = 1.5  # how far the axis reaches beyond the estimates, in their range; longer intervals end in an arrow


@sheet.styled
def draw(forest: Forest) -> Figure:
    """Returns the drawing, the first row on top."""
    texts = [[(line, INK) for line in _wrap(one.label)] for one in forest.estimates]
    above = _above(forest.estimates)
    heights = [LINE * len(lines) + ROOM for lines in texts]
    page = Sheet(forest.heading, forest.remarks, sum(heights) + ROOM + LINE * sum(map(len, above)))
    axes = page.axes(LABELS, WIDTH - LABELS - NUMBERS - MARGIN)
    axes.set_ylim(0, page.high)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    low, high = limits(forest.estimates)
    axes.set_xlim(low, high)
    axes.xaxis.set_major_locator(MaxNLocator(7))
    axes.set_xlabel(forest.axis)
    axes.grid(axis="x")
    axes.axvline(0, color=INK, linewidth=0.8)
    top = page.high - ROOM / 2
    for one, head, lines, height in zip(forest.estimates, above, texts, heights, strict=True):
        page.label(MARGIN, top - (LINE + ROOM) / 2, [(line, GREY) for line in head])
        top -= LINE * len(head)
        y = top - (height - LINE * (len(lines) - 1)) / 2  # the middle of its first line
        _draw(axes, one, y)
        page.label(MARGIN, y, lines)
        page.label(WIDTH - NUMBERS, y, [(sheet.signed(one.estimate), INK)])
        page.label(WIDTH - NUMBERS + 0.42, y, [(_interval(one), GREY)])
        top -= height
    return page.figure


def limits(estimates: Sequence[Estimate]) -> tuple[float, float]:
    """Returns the ends of the axis: all intervals, but no further than BEYOND ranges of the estimates."""
    centres = [0.0, *(one.estimate for one in estimates)]
    low, high = min(centres), max(centres)
    reach = BEYOND * (high - low) or 1.0
    ends = [end for one in estimates for end in (one.low, one.high) if not math.isnan(end)]
    low, high = max(min([low, *ends]), low - reach), min(max([high, *ends]), high + reach)
    pad = 0.06 * (high - low) or 0.5
    return low - pad, high + pad


def _draw(axes: Axes, one: Estimate, y: float) -> None:
    colour = "#8A8A8A" if one.significant is None else one.look.colour
    low, high = axes.get_xlim()
    if not math.isnan(one.low):
        ends = (max(one.low, low), min(one.high, high))
        axes.plot(ends, (y, y), color=colour, linewidth=1.5, solid_capstyle="butt")
        for end, beyond, arrow in ((low, one.low < low, "<"), (high, one.high > high, ">")):
            if beyond:
                axes.plot(end, y, arrow, color=colour, markersize=4, clip_on=False)
    style = sheet.marker_style(one.look, hollow=not one.significant)
    if one.significant is None:
        style |= {"markerfacecolor": colour, "markeredgecolor": "white"}
    axes.plot(one.estimate, y, linestyle="", **{**style, "markersize": 1.25 * style["markersize"]})


def _above(estimates: Sequence[Estimate]) -> list[list[str]]:
    """Returns the lines above each row: the baseline of the next rows, if the table has several baselines."""
    before = [None, *(one.against for one in estimates)]
    several = len({one.against for one in estimates}) > 1
    return [
        _wrap(f"against {one.against}") if several and one.against and one.against != previous else []
        for one, previous in zip(estimates, before, strict=False)
    ]


def _wrap(text: str) -> list[str]:
    return sheet.wrap(text, LABELS - MARGIN - 0.1, most=3)


def _interval(one: Estimate) -> str:
    return "" if math.isnan(one.low) else f"[{sheet.signed(one.low)}, {sheet.signed(one.high)}]"
