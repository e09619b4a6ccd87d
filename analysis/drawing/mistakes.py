"""Draws the cost of each kind of error: one panel per kind, one bar per variant."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from analysis.drawing import sheet
from analysis.drawing.sheet import GREY, INK, LABEL, LINE, MARGIN, SMALL, WIDTH, Sheet
from analysis.figures.mistakes import MEANING, Bar, Mistakes
from experiments import names

LABELS, NUMBER, GAP, BETWEEN = 1.55, 0.27, 0.04, 0.14  # labels, right of a bar, between panels, between the two groups
ROOM = 0.08  # between rows
BAR = 0.11  # height
COLOURS = dict.fromkeys(names.ERROR_KINDS, "#5B87B5") | dict.fromkeys(names.ERROR_SIDES, "#9A9A9A")
PANELS = len(names.ERROR_KINDS) + len(names.ERROR_SIDES)
PANEL = (WIDTH - LABELS - MARGIN - BETWEEN - PANELS * (NUMBER + GAP)) / PANELS


@sheet.styled
def draw(mistakes: Mistakes) -> Figure:
    """Returns the drawing, the first variant on top; each of the two groups of kinds has one scale."""
    texts = [[(line, INK) for line in sheet.wrap(label, LABELS - MARGIN - 0.1, most=3)] for label in mistakes.labels]
    heights = [LINE * len(lines) + ROOM for lines in texts]
    meanings = {kind: sheet.wrap(MEANING[kind], PANEL + NUMBER, SMALL) for kind in mistakes.bars}
    words = max(map(len, meanings.values()))
    tall = sum(heights) + ROOM
    page = Sheet(mistakes.heading, mistakes.remarks, tall + (1 + words) * LINE + ROOM + 0.05)
    middles: list[float] = []
    top = tall - ROOM / 2
    for lines, height in zip(texts, heights, strict=True):
        middles.append(top - height / 2)
        page.label(MARGIN, top - (height - LINE * (len(lines) - 1)) / 2, lines)
        top -= height
    left = LABELS
    for group in (names.ERROR_KINDS, names.ERROR_SIDES):
        most = max(max(bar.seeds) for kind in group for bar in mistakes.bars[kind]) or 1.0
        for kind in group:
            axes = page.axes(left, PANEL, high=tall)
            axes.set_xlim(0, most)
            axes.set_ylim(0, tall)
            _draw(axes, mistakes.bars[kind], middles, COLOURS[kind])
            for bar, y in zip(mistakes.bars[kind], middles, strict=True):
                end = PANEL * max(bar.seeds) / most
                page.text(left + end + 0.04, y - 0.36 * SMALL / 72, f"{bar.mean:.1f}", size=SMALL, color=GREY)
            page.text(left, tall + 0.05 + words * LINE, kind, size=LABEL, weight="bold")
            for number, line in enumerate(meanings[kind]):
                page.text(left, tall + 0.05 + (words - 1 - number) * LINE, line, size=SMALL, color=GREY)
            left += PANEL + NUMBER + GAP
        left += BETWEEN
    return page.figure


def _draw(axes: Axes, bars: tuple[Bar, ...], middles: list[float], colour: str) -> None:
    axes.barh(middles, [bar.mean for bar in bars], height=BAR, color=colour)
    for y, bar in zip(middles, bars, strict=True):
        if len(bar.seeds) > 1:
            axes.plot(bar.seeds, [y] * len(bar.seeds), "|", color=INK, markersize=5, markeredgewidth=0.7)
    axes.set_yticks([])
    axes.grid(axis="x")
    axes.xaxis.set_major_locator(MaxNLocator(2))
