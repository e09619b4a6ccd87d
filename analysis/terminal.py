"""Prints tables and progress, and writes single tables and figures; no room of analysis prints."""

import math
import sys
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
from experiments.errors import UserError

if TYPE_CHECKING:
    from analysis.drawing.page import Drawable

SEEDS = {
    True: "seeds are blocks: an effect that a seed has on all cells is not part of the noise",
    False: "an effect that a seed has on all cells is part of the noise",
}
INDENT = (0, 0, 0, 2)  # of a line that belongs to the one above


@contextmanager
def progress(text: str, steps: int) -> Iterator[Callable[[], None]]:
    """Shows a bar on stderr while the body runs, if stderr is a terminal; yields a function to call after each step."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(text, total=steps)
        yield lambda: bar.advance(task)


def note(text: str) -> None:
    """Prints on stderr which data a reader skipped, and why."""
    print(f"note: {text}", file=sys.stderr)


def print_table(table: Table) -> None:
    """Prints the table: a block of lines for boxes, for masks, or for each of both."""
    console = _console()
    console.print(table.caption, style="bold")
    for iou_type, block in table.blocks.items():
        widest = max(len(line.label) for line in table.lines)
        grid = _grid(KINDS[iou_type], *names.COCO_METRICS, "n", "epoch", widest=max(widest, 44))
        for line in table.lines:
            style = "dim" if isinstance(line, Published) else ""
            cells = [Text(line.shown(name), "bold" if table.is_best(line, name) else style) for name in block]
            grid.add_row(_what(line), *cells, Text(line.n), Text(line.epoch))
        console.print()
        console.print(grid)
    console.print()
    for text in filter(None, (table.rest, *table.doubts)):
        console.print(text, style="yellow", soft_wrap=True)  # in one piece, to be copied
    console.print(ablation.note(table), style="dim")


def print_evidence(found: Evidence) -> None:
    """Prints the intervals and tests of a table, and how to read them."""
    _print_cells(found.caption, found.columns, found.cells, found.note)


def print_effects(grid: Effects) -> None:
    """Prints the effect of each module of a grid, and the interactions; nothing if there are no effects."""
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
    lacking = "; ".join(" x ".join(term) for term in grid.not_estimated)
    note = (
        f"Intervals (95 %) are over seeds alone, each by itself; {SEEDS[grid.blocked]}. p is corrected for all these "
        "effects (Holm). Effects of a factor add up to 0. "
        f"Not estimable from these trials: {lacking or 'nothing'}."
    )
    heads = ("levels", "effect", "95 %", "p", "n")
    _print_cells("What each factor adds to box AP, and what two add together", heads, cells, note)


def print_costs(found: Costs) -> None:
    """Prints what each variant costs."""
    _print_cells("Costs", ("variant", *found.columns), found.cells)


def _print_cells(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]], note: str = "") -> None:
    console, grid = _console(), _grid(*heads, wrapped=True)
    for row in rows:
        grid.add_row(*map(Text, row))
    console.print()
    console.print(title, style="bold")
    console.print(grid)
    if note:
        console.print(note, style="dim")


def print_comparison(found: Sequence[Comparison]) -> None:
    """Prints a line for each metric of each row."""
    console = _console()
    for row in dict.fromkeys(one.row for one in found):
        grid = _grid(row, "before", "after", "difference", "95 %", "p", "verdict")
        grid.columns[-1].justify = "left"
        for one in found:
            if one.row == row and not math.isnan(one.difference.estimate):
                values = (shown.points(one.before), shown.points(one.after.estimate))
                apart = (shown.points(one.difference.estimate, "+"), shown.interval(one.difference, "+"))
                style = {"worse": "red", "better": "green"}.get(one.verdict, "")
                grid.add_row(one.metric.label, *values, *apart, shown.p_value(one.p), Text(one.verdict, style))
        console.print(grid)
        console.print()


def _console() -> Console:
    """Returns stdout; a file or a pipe has no edge to wrap at."""
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = 1000
    return console


def _grid(first: str, *heads: str, widest: int | None = None, wrapped: bool = False) -> Grid:
    """Returns an empty grid that fits in 80 characters: the first column at the left, numbers at the right."""
    grid = Grid(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    grid.add_column(first, max_width=widest, overflow="fold")
    for head in heads:
        grid.add_column(head, justify="right", no_wrap=not wrapped, overflow="fold")
    return grid


def _what(line: Row | Published) -> RenderableType:
    if isinstance(line, Published):
        return Padding(Text(line.label, "dim"), INDENT)
    style = "red" if names.FAILED.lower() in line.state else "yellow"
    state = textwrap.shorten(line.state, 160, placeholder=" ...")
    return Group(Text(line.label), *([Padding(Text(state, style), INDENT)] if state else []))


def write_table(table: Table | Details, path: Path) -> Path:
    """Writes a table, short or in full, in the format of the path's ending; returns the path."""
    text = formats.WRITERS[path.suffix](table) if isinstance(table, Table) else full.WRITERS[path.suffix](table)
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
        raise UserError(f"cannot write {path} ({error.strerror}); name another place with --out") from error
