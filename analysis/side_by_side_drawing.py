"""Draws images with the objects and two trials' boxes beside each other; nothing is written to disk."""

import textwrap
from typing import Literal

from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from analysis.disagreement import Tally
from analysis.drawing import GREY
from analysis.side_by_side import Box, Line, Sheet

PANEL, GAP, TEXT = 3.0, 0.12, 0.36  # inches: width of a panel, between panels, of the text below a panel
Style = tuple[str, Literal["-", "--", ":"]]
STYLES: dict[str, Style] = {  # colour (Okabe and Ito's) and line of each kind of box
    "object": ("#009E73", "-"),
    "crowd": ("#009E73", ":"),
    "found": ("#0072B2", "-"),
    "false": ("#D55E00", "--"),
    "missed": ("#E69F00", ":"),
}


def draw(sheet: Sheet) -> Figure:
    """Returns the drawing: a line per image; above, those where the first makes fewer mistakes."""
    sections = [
        (f"{label} makes fewer mistakes", lines)
        for label, lines in zip(sheet.labels, (sheet.first_better, sheet.second_better), strict=True)
        if lines
    ]
    lines = [line for _, section in sections for line in section]
    high = sum(_height(line) + TEXT for line in lines) + 0.7 * len(sections)
    width = 3 * PANEL + 2 * GAP
    figure = Figure(figsize=(width, max(high, 1)), dpi=150)
    total = figure.get_figheight()
    top = total
    for title, section in sections:
        figure.text(0, (top - 0.3) / total, title, fontsize=11, fontweight="bold", parse_math=False)
        top -= 0.7
        for number, heading in enumerate(("objects", *sheet.labels)):
            place = (number * (PANEL + GAP) / width, (top + 0.06) / total)
            figure.text(*place, heading, fontsize=9, color=GREY, parse_math=False)
        for line in section:
            tall = _height(line)
            top -= tall
            below = (f"image {line.place.image_id}", _told(line.place.first), _told(line.place.second))
            for number, (boxes, text) in enumerate(zip(line.panels, below, strict=True)):
                left = number * (PANEL + GAP) / width
                axes = figure.add_axes((left, top / total, PANEL / width, tall / total))
                _draw(axes, line, boxes)
                figure.text(left, (top - 0.22) / total, text, fontsize=8, color=GREY)
            top -= TEXT
    figure.text(0, 1 + 0.1 / total, textwrap.fill(sheet.caption, 130), fontsize=9, color=GREY, parse_math=False)
    keys = [
        Patch(fill=False, edgecolor=colour, linestyle=style, label=kind) for kind, (colour, style) in STYLES.items()
    ]
    figure.legend(handles=keys, loc="upper left", bbox_to_anchor=(0, 0), ncols=len(keys), frameon=False, fontsize=8)
    return figure


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
                linewidth=1.4,
                linestyle=style,
                path_effects=casing if style == "-" else None,
            )
        )
        below = box.kind == "false"  # which often lies about where a found one does
        axes.annotate(
            box.text,
            (corner[0], corner[1] + box.height * below),
            (0, -1.5 if below else 1.5),
            textcoords="offset points",
            va="top" if below else "bottom",
            fontsize=5.5,
            color="white",
            annotation_clip=True,
            parse_math=False,
            bbox={"facecolor": colour, "edgecolor": "none", "pad": 0.6, "alpha": 0.85},
        )
