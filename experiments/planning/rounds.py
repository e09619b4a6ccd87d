"""The state of `seed=auto`: decisions so far and the next step. Its file may be deleted; the next round writes it."""

import json
from collections import Counter
from contextlib import suppress
from dataclasses import asdict, dataclass

from pydantic import TypeAdapter
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from experiments import files, names
from experiments.declared import words
from experiments.paths import OutputPaths
from experiments.reading import DamagedError, of_json
from experiments.seeds import OPEN


@dataclass(frozen=True)
class Line:
    """A row and its difference from its baseline, in AP x 100; None if it is unknown."""

    sweep: str
    row: str
    against: str
    state: str
    seeds: int
    estimate: float | None
    low: float | None
    high: float | None
    p: float | None


@dataclass(frozen=True)
class Round:
    """The state of sweeps between two rounds, and a sentence on the next round or on why there is none."""

    sweeps: tuple[str, ...]
    lines: tuple[Line, ...]
    next: str


ROUND = TypeAdapter(Round)


def write(outputs: OutputPaths, found: Round) -> None:
    """Writes the state of sweeps, replacing the earlier state."""
    path = outputs.rounds(names.sweep_key(", ".join(found.sweeps)))
    path.parent.mkdir(exist_ok=True)
    files.sweep(path.parent)
    files.write(path, json.dumps(asdict(found), indent=2))


def read(outputs: OutputPaths, sweep: str | None = None) -> list[Round]:
    """Returns the states of a sweep, or of all sweeps; damaged files are left out."""
    found = []
    for path in sorted(outputs.rounds("").parent.glob("*.json")):
        with suppress(DamagedError):
            found.append(of_json(path, ROUND)[1])
    return [one for one in found if sweep is None or sweep in one.sweeps]


def shown(found: Round) -> RenderableType:
    """Returns the state of sweeps as text: a line for each row, the number of decided rows, and the next step."""
    grid = Table(title=", ".join(found.sweeps), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("row", "against"):
        grid.add_column(column, overflow="fold")
    grid.add_column("state", no_wrap=True)
    for column in ("seeds", "difference", "p"):
        grid.add_column(column, justify="right", no_wrap=True)
    labels = [set(words(label)) for line in found.lines for label in (line.row, line.against)]
    shared = {word for word in set.intersection(*labels) if "=" in word} if labels else set()
    for line in found.lines:
        rows = (" ".join(word for word in words(label) if word not in shared) for label in (line.row, line.against))
        row, against = rows if len(found.sweeps) == 1 else (f"{line.sweep}: {next(rows)}", next(rows))
        cells = (row, against, line.state, str(line.seeds), _difference(line), _p(line.p))
        grid.add_row(*map(Text, cells), style="" if line.state == OPEN else "dim")
    told = [Text(text) for text in filter(None, (totals(found), found.next))]
    return Group(*([grid] if found.lines else []), *told)


def totals(found: Round) -> str:
    """Returns how many comparisons are in each state: "3 different, 2 open"."""
    return ", ".join(f"{count} {state}" for state, count in Counter(line.state for line in found.lines).items())


def _difference(line: Line) -> str:
    if line.estimate is None:
        return ""
    interval = "" if line.low is None or line.high is None else f" [{line.low:+.1f}, {line.high:+.1f}]"
    return f"{line.estimate:+.1f}{interval}"


def _p(value: float | None) -> str:
    return "" if value is None else "< .001" if value < 0.001 else f"{value:.3f}".removeprefix("0")
