"""Draws the figures of a study with matplotlib, and writes them as .png, .pdf and .svg."""

from pathlib import Path

import matplotlib.style
from matplotlib.figure import Figure

from analysis import drawing_curves, drawing_forest, drawing_pareto, drawing_sizes, sheet
from analysis.figures import Curves
from analysis.looks import COLOURS
from analysis.plots import Forest, Pareto, Sizes
from analysis.sheet import GREY

__all__ = ["COLOURS", "GREY", "draw", "write"]

# No date and no version: the same study gives the same bytes.
METADATA: dict[str, dict[str, None]] = {
    ".png": {"Software": None},
    ".pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    ".svg": {"Date": None, "Creator": None},
}


def draw(data: Curves | Forest | Pareto | Sizes) -> Figure:
    """Returns the drawing of a figure's data, sheet.WIDTH wide; nothing is written."""
    match data:
        case Curves():
            return drawing_curves.draw(data)
        case Forest():
            return drawing_forest.draw(data)
        case Pareto():
            return drawing_pareto.draw(data)
        case Sizes():
            return drawing_sizes.draw(data)


def write(figure: Figure, path: Path) -> list[Path]:
    """Writes a drawing as `path` with each of the endings .png, .pdf and .svg; returns the files."""
    written = []
    with matplotlib.style.context(["default", sheet.STYLE]):
        for ending, metadata in METADATA.items():
            file = path.with_name(path.name + ending)
            figure.savefig(file, metadata=metadata)
            written.append(file)
    return written
