"""Puts tables, figures and progress where people see them: the only file that prints and writes."""

import math
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.progress import Progress
from rich.table import Table as Grid
from rich.text import Text

from analysis.errors import AnalysisError
from analysis.read.metrics import KINDS
from analysis.statistics import numbers as shown
from analysis.statistics.compare import Comparison
from analysis.statistics.evidence import Evidence
from analysis.statistics.factors import Effects
from analysis.statistics.means import ALPHA
from analysis.tables import ablation, formats, full
from analysis.tables.ablation import Published, Row, Table
from analysis.tables.costs import Costs
from analysis.tables.full import Details
from experiments import names

if TYPE_CHECKING:
    from analysis.drawing.page import Drawable

SEEDS = {
    True: "what a seed adds in all cells alike is no part of their noise",
    False: "what a seed adds in all cells alike is part of their noise",
}
INDENT = (0, 0, 0, 2)  # of what belongs to the line above


@contextmanager
def progress(text: str, steps: int) -> Iterator[Callable[[], None]]:
    """Shows a bar on stderr while the body runs, where that is a terminal; yields what to call after each step."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(text, total=steps)
        yield lambda: bar.advance(task)


def print_table(table: Table) -> None:
    """Prints the table: a block of lines for boxes, for masks, or for each of both."""
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = 1000  # a file or a pipe has no edge to wrap at
    console.print(table.caption, style="bold")
    for iou_type in table.blocks:
        console.print()
        console.print(_grid(table, iou_type))
    console.print()
    if table.rest:
        console.print(table.rest, style="yellow", soft_wrap=True)  # in one piece, to be copied
    for doubt in table.doubts:
        console.print(doubt, style="yellow", soft_wrap=True)
    console.print(ablation.note(table), style="dim")


def print_evidence(found: Evidence) -> None:
    """Prints how sure the differences of a table are."""
    _print_cells(found.caption, found.columns, found.cells)
    Console(highlight=False, markup=False).print(found.note, style="dim")


def print_effects(grid: Effects) -> None:
    """Prints what each module of a grid adds, and what only two together; nothing where the trials tell of none."""
    if not grid.effects:
        return
    cells = [
        (
            " x ".join(f"{factor}={level}" for factor, level in effect.levels.items()),
            shown.points(effect.estimate, "+"),
            shown.interval(effect, "+"),
            shown.p_value(effect.p) + " *" * (effect.p < ALPHA),
            str(effect.n),
        )
        for effect in grid.effects
    ]
    heads = ("levels", "effect", "95 %", "p", "n")
    _print_cells("What each factor adds to box AP, and what two add together", heads, cells)
    lacking = "; ".join(" x ".join(term) for term in grid.not_estimated)
    note = (
        f"Intervals (95 %) are over seeds alone, each for itself; {SEEDS[grid.blocked]}. p is corrected for all these "
        "effects (Holm). Effects of a factor add up to 0. "
        f"Not told by these trials: {lacking or 'nothing'}."
    )
    Console(highlight=False, markup=False).print(note, style="dim")


def print_costs(found: Costs) -> None:
    """Prints what each variant costs."""
    _print_cells("Costs", ("variant", *found.columns), found.cells)


def _print_cells(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = 1000
    grid = Grid(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    for place, head in enumerate(heads):
        grid.add_column(head, justify="right" if place else "left", overflow="fold")
    for row in rows:
        grid.add_row(*(Text(cell) for cell in row))
    console.print()
    console.print(title, style="bold")
    console.print(grid)


def print_comparison(found: Sequence[Comparison]) -> None:
    """Prints a line for each metric of each row."""
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = 1000
    for row in dict.fromkeys(one.row for one in found):
        grid = Grid(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
        for head in (row, "before", "after", "difference", "95 %", "p", "verdict"):
            grid.add_column(head, justify="left" if head in (row, "verdict") else "right", no_wrap=head != row)
        for one in found:
            if one.row == row and not math.isnan(one.difference.estimate):
                numbers = (shown.points(one.before), shown.points(one.after.estimate))
                apart = (shown.points(one.difference.estimate, "+"), shown.interval(one.difference, "+"))
                style = {"worse": "red", "better": "green"}.get(one.verdict, "")
                told = shown.p_value(one.p)
                grid.add_row(one.metric.label, *numbers, *apart, told, Text(one.verdict, style))
        console.print(grid)
        console.print()


def _grid(table: Table, iou_type: str) -> Grid:
    grid = Grid(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))  # fits in 80 characters
    widest = max(len(line.label) for line in table.lines)
    grid.add_column(KINDS[iou_type], max_width=max(widest, 44), overflow="fold")
    for head in (*names.COCO_METRICS, "n", "epoch"):
        grid.add_column(head, justify="right", no_wrap=True)
    for line in table.lines:
        style = "dim" if isinstance(line, Published) else ""
        numbers = [
            Text(line.shown(name), style="bold" if table.is_best(line, name) else style)
            for name in table.blocks[iou_type]
        ]
        grid.add_row(_what(line), *numbers, Text(line.n), Text(line.epoch))
    return grid


def _what(line: Row | Published) -> RenderableType:
    if isinstance(line, Published):
        return Padding(Text(line.label, "dim"), INDENT)
    style = "red" if names.FAILED.lower() in line.state else "yellow"
    state = textwrap.shorten(line.state, 160, placeholder=" ...")
    return Group(Text(line.label), *([Padding(Text(state, style), INDENT)] if state else []))


def write_table(table: Table, path: Path) -> Path:
    """Writes the table in the format of the path's ending, a key of `formats.WRITERS`; returns the path."""
    return _write(formats.WRITERS[path.suffix](table), path)


def write_details(found: Details, path: Path) -> Path:
    """Writes the table in full in the format of the path's ending, a key of `full.WRITERS`; returns the path."""
    return _write(full.WRITERS[path.suffix](found), path)


def _write(text: str, path: Path) -> Path:
    with _writable(path):
        path.write_text(text, encoding="utf-8")
    return path


def write_figure(data: "Drawable", path: Path) -> Path:
    """Draws into a .png, .pdf or .svg file; returns the path."""
    from analysis.drawing import page

    with _writable(path):
        page.write(data, path)
    return path


@contextmanager
def _writable(path: Path) -> Iterator[None]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise AnalysisError(f"cannot write {path} ({error.strerror}); name another place with --out") from error
