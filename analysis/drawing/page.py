"""Draws the figures of a study with matplotlib, and writes them as .png, .pdf and .svg."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path

import matplotlib.style
from matplotlib.figure import Figure

from analysis.drawing import curves, forest, mistakes, pareto, sheet, side_by_side, sizes, strips
from analysis.figures.curves import Curves
from analysis.figures.mistakes import Mistakes
from analysis.figures.plots import Forest, Pareto, Sizes
from analysis.figures.side_by_side import SideBySide
from analysis.figures.strips import Strips
from analysis.read.study import Progress

Drawable = Curves | Forest | Mistakes | Pareto | SideBySide | Sizes | Strips

# No date and no version: the same study gives the same bytes.
METADATA: dict[str, dict[str, None]] = {
    ".png": {"Software": None},
    ".pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    ".svg": {"Date": None, "Creator": None},
}


def draw(data: Drawable) -> Figure:
    """Returns the drawing of a figure's data, nothing written."""
    match data:
        case Curves():
            return curves.draw(data)
        case Forest():
            return forest.draw(data)
        case Mistakes():
            return mistakes.draw(data)
        case Pareto():
            return pareto.draw(data)
        case SideBySide():
            return side_by_side.draw(data)
        case Sizes():
            return sizes.draw(data)
        case Strips():
            return strips.draw(data)


def write(data: Drawable, path: Path) -> None:
    """Draws into a file; its ending, a key of METADATA, is the format."""
    _save(draw(data), path)


@contextmanager
def in_background(progress: Progress) -> Iterator[Callable[[Path, Drawable], None]]:
    """Yields a function that draws into a path with all endings of METADATA, in as many processes as there are CPUs.

    All figures are written when the block ends. Raises what a drawing raises.
    """
    with ProcessPoolExecutor() as pool:
        begun: list[Future[None]] = []
        yield lambda path, data: begun.append(pool.submit(_draw_and_write, data, path))
        with progress("drawing figures", len(begun)) as on_drawn:
            for one in as_completed(begun):
                one.result()
                on_drawn()


def _draw_and_write(data: Drawable, path: Path) -> None:
    figure = draw(data)
    for ending in METADATA:
        _save(figure, path.with_name(path.name + ending))


def _save(figure: Figure, path: Path) -> None:
    with matplotlib.style.context(["default", sheet.STYLE]):
        figure.savefig(path, metadata=METADATA[path.suffix])
