"""Draws strips: for each row its difference and repeated interval against the number of seeds, on one scale."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from analysis.drawing import sheet
from analysis.drawing.sheet import GREY, INK, LINE, MARGIN, WIDTH, Sheet
from analysis.figures.strips import Strip, Strips, reach

LABELS, OUTCOMES = 2.2, 1.75  # width of the columns left and right of the frame
TALL, GAP = 0.62, 0.12  # a strip, and the room between two


@sheet.styled
def draw(found: Strips) -> Figure:
    """Returns the drawing, the first row on top."""
    page = Sheet(found.heading, found.remarks, len(found.strips) * (TALL + GAP))
    low, high = reach(found)
    seeds = sorted({one.n for strip in found.strips for one in strip.intervals})
    for number, strip in enumerate(found.strips):
        top = page.high - number * (TALL + GAP)
        axes = page.axes(LABELS, WIDTH - LABELS - OUTCOMES - MARGIN, top - TALL, top)
        axes.set_xlim(min(seeds) - 0.5, max(seeds) + 0.5)
        axes.set_ylim(low, high)
        axes.axhline(0, color=INK, linewidth=0.8)
        axes.set_xticks(seeds)
        axes.grid(axis="y")
        axes.yaxis.set_major_locator(MaxNLocator(4))
        _draw(axes, strip)
        last = number == len(found.strips) - 1
        axes.tick_params(labelbottom=last, bottom=last)
        axes.spines["bottom"].set_visible(last)
        if last:
            axes.set_xlabel("seeds of the row and its baseline")
        lines = [(line, INK) for line in _wrap(strip.label)] + [(line, GREY) for line in _wrap(f"less {strip.against}")]
        page.label(MARGIN, top - LINE / 2, lines)
        newest = strip.intervals[-1]
        interval = f"{sheet.signed(newest.estimate)} [{sheet.signed(newest.low)}, {sheet.signed(newest.high)}]"
        told = [(strip.outcome, INK), (interval, GREY), (f"{newest.n} seeds", GREY)]
        page.label(WIDTH - OUTCOMES, top - LINE / 2, told)
    page.text(LABELS - 0.3, page.high + 0.05, found.axis, color=GREY, size=sheet.SMALL)
    return page.figure


def _draw(axes: Axes, strip: Strip) -> None:
    low, high = axes.get_ylim()
    for one in strip.intervals:
        ends = (max(one.low, low), min(one.high, high))
        axes.plot((one.n, one.n), ends, color=strip.look.colour, linewidth=1.5, solid_capstyle="butt")
        for end, beyond, arrow in ((low, one.low < low, "v"), (high, one.high > high, "^")):
            if beyond:
                axes.plot(one.n, end, arrow, color=strip.look.colour, markersize=4, clip_on=False)
    points = ([one.n for one in strip.intervals], [one.estimate for one in strip.intervals])
    axes.plot(*points, linewidth=0.8, **sheet.line_style(strip.look))
    axes.plot(*points, linestyle="", **sheet.marker_style(strip.look))


def _wrap(text: str) -> list[str]:
    return sheet.wrap(text, LABELS - MARGIN - 0.45, most=2)
