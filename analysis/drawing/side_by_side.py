"""Draws images with the objects and two trials' boxes beside each other."""

from typing import Literal

from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from analysis.drawing import sheet
from analysis.drawing.sheet import GREY, KEY, LINE, MARGIN, SMALL, WIDTH, Sheet
from analysis.figures.disagreement import Tally
from analysis.figures.side_by_side import Box, Line, SideBySide

GAP = 0.1  # between panels, and between images
PANEL = (WIDTH - 2 * MARGIN - 2 * GAP) / 3
HEAD = 0.2 + 2 * LINE  # above the images of a section
Style = tuple[str, Literal["-", "--", ":"]]
STYLES: dict[str, Style] = {  # colour (Okabe and Ito's) and line of each kind of box
    "object": ("#009E73", "-"),
    "crowd": ("#009E73", ":"),
    "found": ("#0072B2", "-"),
    "false": ("#D55E00", "--"),
    "missed": ("#E69F00", ":"),
}


@sheet.styled
def draw(found: SideBySide) -> Figure:
    """Returns the drawing: a row per image; above, those where the first makes fewer mistakes."""
    sections = [
        (f"{label} makes fewer mistakes", lines)
        for label, lines in zip(found.labels, (found.first_better, found.second_better), strict=True)
        if lines
    ]
    images = [line for _, lines in sections for line in lines]
    high = sum(_height(line) + LINE + GAP for line in images) + HEAD * len(sections) + LINE
    page = Sheet(found.heading, (), high, below=0.1)
    columns = [MARGIN + number * (PANEL + GAP) for number in range(3)]
    top = page.high
    for title, lines in sections:
        page.text(MARGIN, top - 0.2, title, weight="bold")
        for left, heading in zip(columns, ("objects", *found.labels), strict=True):
            (first, *_) = sheet.wrap(heading, PANEL, SMALL, most=1)
            page.text(left, top - HEAD + 0.06, first, size=SMALL, color=GREY)
        top -= HEAD
        for line in lines:
            tall = _height(line)
            below = (f"image {line.place.image_id}", _told(line.place.first), _told(line.place.second))
            for left, boxes, text in zip(columns, line.panels, below, strict=True):
                _draw(page.axes(left, PANEL, low=top - tall, high=top), line, boxes)
                page.text(left, top - tall - LINE, text, size=SMALL, color=GREY)
            top -= tall + LINE + GAP
    left = MARGIN
    for kind, (colour, style) in STYLES.items():
        page.line((left, left + KEY), (0.04, 0.04), color=colour, linestyle=style, linewidth=1.4)
        page.text(left + KEY + 0.06, 0, kind, color=GREY)
        left += KEY + 0.3 + sheet.wide(kind)
    return page.figure


def _height(line: Line) -> float:
    rows, columns = line.pixels.shape[:2]
    return PANEL * rows / columns


def _told(tally: Tally) -> str:
    return f"{tally.found} found, {tally.missed} missed, {tally.false} false"


def _draw(axes: Axes, line: Line, boxes: tuple[Box, ...]) -> None:
    axes.imshow(line.pixels)
    axes.set_axis_off()
    casing = [patheffects.withStroke(linewidth=2.6, foreground="white")]  # to be seen on any image
    for box in boxes:
        colour, style = STYLES[box.kind]
        corner = (box.x - 0.5, box.y - 0.5)  # imshow has a pixel's middle at a whole number
        axes.add_patch(
            Rectangle(
                corner,
                box.width,
                box.height,
                fill=False,
                edgecolor=colour,
                linewidth=1.2,
                linestyle=style,
                path_effects=casing if style == "-" else None,
            )
        )
        below = box.kind == "false"  # because a false box is often close to a found one
        axes.annotate(
            box.text,
            (corner[0], corner[1] + box.height * below),
            (0, -1.5 if below else 1.5),
            textcoords="offset points",
            va="top" if below else "bottom",
            fontsize=5,
            color="white",
            annotation_clip=True,
            bbox={"facecolor": colour, "edgecolor": "none", "pad": 0.5, "alpha": 0.85},
        )
