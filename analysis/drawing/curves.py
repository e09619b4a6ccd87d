"""Draws a metric against the epoch: all epochs, the last ones larger, and each curve's name at its end."""

from bisect import bisect_left

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from analysis.drawing import sheet
from analysis.drawing.sheet import GREY, INK, KEY, LINE, WIDTH, Sheet
from analysis.figures.curves import Curve, Curves

FRAME = 2.7  # height
LEFT = 0.56  # of the frame: width of the axis' text and numbers
GAP, LEAD = 0.42, 0.4  # between panels; from the last panel to the labels
NUMBER, PUBLISHED = 0.32, 0.4  # width of the columns before a label
LABELS = 2.55  # width of the labels at the right
ZOOM_FROM = 8  # epochs; from this number on, the last quarter has a larger panel
SPARSE = 16  # epochs; with more, only some have a marker


@sheet.styled
def draw(curves: Curves) -> Figure:
    """Returns the drawing; labels stand in the order of the last values."""
    order = sorted(curves.curves, key=lambda curve: -curve.final)
    columns = KEY + 0.08 + NUMBER + PUBLISHED * any(curve.published is not None for curve in order)
    texts = [_texts(curve, LABELS - columns) for curve in order]
    heights = [LINE * len(lines) + 0.03 for lines in texts]
    page = Sheet(curves.heading, curves.remarks, max(FRAME, sum(heights)))
    room = WIDTH - LEFT - LEAD - LABELS - sheet.MARGIN
    last = max(curve.mean.epochs[-1] for curve in order)
    if last >= ZOOM_FROM:
        narrow = 0.46 * (room - GAP)
        whole = _panel(page.axes(LEFT, narrow), curves, 0, last)
        start = last - last // 4
        panel = _panel(page.axes(LEFT + narrow + GAP, room - GAP - narrow), curves, start, last)
        low, high = panel.get_ylim()
        box = Rectangle((start - 0.3, low), last - start + 0.6, high - low, facecolor="#F0F0F0", edgecolor="#AAAAAA")
        box.set(linewidth=0.6, zorder=0)
        whole.add_patch(box)
    else:
        panel = whole = _panel(page.axes(LEFT, room), curves, 0, last)
    whole.set_ylabel(curves.metric.axis)
    _label(page, panel, order, texts, heights, columns)
    return page.figure


def _panel(axes: Axes, curves: Curves, start: int, last: int) -> Axes:
    """Draws the curves from an epoch on."""
    for curve in reversed(curves.curves):  # the best on top
        _draw(axes, curve, start)
    first = max(start, min(curve.mean.epochs[0] for curve in curves.curves))
    pad = max(0.25, 0.04 * (last - first))
    axes.set_xlim(first - pad, last + pad)
    shown = [
        value
        for curve in curves.curves
        for line in (curve.mean, *curve.seeds)
        for epoch, value in zip(line.epochs, line.values, strict=True)
        if epoch >= start
    ] + [curve.published for curve in curves.curves if curve.published is not None]
    low, high = min(shown), max(shown)
    pad = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    axes.set_ylim(max(low - pad, 0.0) if curves.lowest >= 0 else low - pad, high + pad)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.yaxis.set_major_locator(MaxNLocator(6))
    axes.set_xlabel("epoch")
    axes.grid(axis="y")
    return axes


def _draw(axes: Axes, curve: Curve, start: int) -> None:
    look, from_start = curve.look, slice(bisect_left(curve.mean.epochs, start), None)
    epochs = curve.mean.epochs[from_start]
    if curve.band is not None:
        low, high = curve.band.low[from_start], curve.band.high[from_start]
        axes.fill_between(epochs, low, high, color=look.colour, alpha=0.14, linewidth=0)
    for seed in curve.thin:
        own = slice(bisect_left(seed.epochs, start), None)
        axes.plot(seed.epochs[own], seed.values[own], color=look.colour, linewidth=0.6, alpha=0.5)
    axes.plot(
        epochs,
        curve.mean.values[from_start],
        linewidth=1.5,
        markevery=max(1, len(epochs) // SPARSE),
        **sheet.line_style(look),
        **sheet.marker_style(look, hollow=not curve.complete),
    )


def _texts(curve: Curve, width: float) -> list[tuple[str, str]]:
    """Returns the lines of a label and their colours."""
    note = sheet.wrap(f"({curve.note})", width, most=2) if curve.note else []
    return [(line, INK) for line in sheet.wrap(curve.label, width, most=3)] + [(line, GREY) for line in note]


def _label(
    page: Sheet,
    axes: Axes,
    order: list[Curve],
    texts: list[list[tuple[str, str]]],
    heights: list[float],
    columns: float,
) -> None:
    ends = [page.at(axes, curve.mean.epochs[-1], curve.final) for curve in order]
    left = WIDTH - sheet.MARGIN - LABELS
    edge = left - LEAD
    places = sheet.spread([y for _, y in ends], heights, 0.0, page.high)
    for curve, lines, end, y in zip(order, texts, ends, places, strict=True):
        colour = curve.look.colour
        y += LINE * (len(lines) - 1) / 2  # the middle of its first line
        if curve.mean.epochs[-1] >= axes.get_xlim()[0]:  # else the curve ends outside the panel
            page.line((end[0] + 0.04, edge + 0.1, left - 0.04), (end[1], end[1], y), color=colour, linewidth=0.5)
        page.key(left, y, curve.look, hollow=not curve.complete)
        at = left + KEY + 0.08
        page.label(at, y, [(f"{curve.final:.1f}", INK)])
        if curve.published is not None:
            page.label(at + NUMBER, y, [(f"({curve.published:.1f})", GREY)])
            _, height = page.at(axes, 0, curve.published)
            page.line((edge, edge + 0.1), (height, height), color=colour, linewidth=2.2, solid_capstyle="butt")
        page.label(left + columns, y, lines)
