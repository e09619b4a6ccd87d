"""Draws AP by object size: a panel per size, a line per row, and the baseline as a vertical line through its rows."""

import math

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from analysis.drawing import sheet
from analysis.drawing.sheet import GREY, INK, KEY, LINE, MARGIN, SMALL, WIDTH, Sheet
from analysis.figures.plots import SIZES, SizeRow, Sizes

LABELS, NUMBER, GAP = 2.1, 0.36, 0.14  # width of the labels, of the numbers right of a panel, between panels
ROOM = 0.1  # between rows
HEAD = 0.2  # above the panels


@sheet.styled
def draw(sizes: Sizes) -> Figure:
    """Returns the drawing, the first row on top; each size has its own scale."""
    texts = [[(line, INK) for line in sheet.wrap(row.label, LABELS - MARGIN - KEY - 0.2, most=3)] for row in sizes.rows]
    heights = [LINE * len(lines) + ROOM for lines in texts]
    tall = sum(heights) + ROOM
    page = Sheet(sizes.heading, sizes.remarks, tall + HEAD)
    middles: list[float] = []
    top = tall - ROOM / 2
    for lines, height in zip(texts, heights, strict=True):
        y = top - (height - LINE * (len(lines) - 1)) / 2
        page.key(MARGIN, y, sizes.rows[len(middles)].look)
        page.label(MARGIN + KEY + 0.1, y, lines)
        middles.append(y)
        top -= height
    width = (WIDTH - LABELS - MARGIN - len(SIZES) * NUMBER - (len(SIZES) - 1) * GAP) / len(SIZES)
    for size, (metric, word) in enumerate(zip(sizes.metrics, SIZES.values(), strict=True)):
        left = LABELS + size * (width + NUMBER + GAP)
        axes = page.axes(left, width, high=tall)
        axes.set_ylim(0, tall)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.grid(axis="x")
        page.text(left, tall + 0.07, f"{word} objects", weight="bold")
        axes.set_xlabel(metric.axis)
        if all(math.isnan(row.values[size].estimate) for row in sizes.rows):
            axes.set_xticks([])
            page.text(left, tall / 2, "none in the data", size=SMALL, color=GREY)
            continue
        _reference(axes, sizes.rows, size, middles)
        for row, y in zip(sizes.rows, middles, strict=True):
            _draw(axes, row, size, y)
            page.label(left + width + 0.05, y, [_number(sizes.rows, row, size)])
        axes.margins(x=0.08)
        axes.xaxis.set_major_locator(MaxNLocator(4))
    return page.figure


def _reference(axes: Axes, rows: tuple[SizeRow, ...], size: int, middles: list[float]) -> None:
    for place, row in enumerate(rows):
        compared = [middles[other] for other, one in enumerate(rows) if one.baseline == place]
        if compared:
            ends = (min(compared) - 0.1, middles[place])
            axes.plot([row.values[size].estimate] * 2, ends, linewidth=1.0, **sheet.line_style(row.look))


def _draw(axes: Axes, row: SizeRow, size: int, y: float) -> None:
    value, seeds = row.values[size], row.seeds[size]
    if not math.isnan(value.low):
        axes.plot((value.low, value.high), (y, y), color=row.look.colour, linewidth=1.5, solid_capstyle="butt")
    if len(seeds) > 1:
        axes.plot(seeds, [y] * len(seeds), "|", color=row.look.colour, markersize=5, markeredgewidth=0.7)
    axes.plot(value.estimate, y, linestyle="", **sheet.marker_style(row.look))


def _number(rows: tuple[SizeRow, ...], row: SizeRow, size: int) -> tuple[str, str]:
    value = row.values[size].estimate
    if math.isnan(value):
        return "-", GREY
    if row.baseline is None:
        return f"{value:.1f}", GREY
    return sheet.signed(value - rows[row.baseline].values[size].estimate), INK
