"""The progress of every trial of an output folder, read from files only, without contacting any process."""

from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from experiments import names
from experiments.errors import UserError
from experiments.paths import OutputPaths, TrialPaths
from experiments.reading import DamagedError
from experiments.sentences import choose_from, shown
from experiments.trial import attempts, completeness, described, journal, origin
from experiments.trial.attempts import Attempt

STYLES = {
    **{names.RUNNING: "green", names.FAILED: "red", attempts.INTERRUPTED: "yellow", names.FINISHED: "dim"},
    attempts.DAMAGED: "red",
}


WHOLE = 10**6  # characters of a text that is not shortened, only made printable


@dataclass(frozen=True)
class Progress:
    """The progress of a trial."""

    paths: TrialPaths
    description: dict[str, Any]  # empty if it cannot be read
    attempt: Attempt | None
    epoch: float  # complete epochs, and the fraction of the current one
    average_precision: float | None  # box AP of the last complete epoch, a fraction; None if records are missing
    epoch_seconds: float | None  # median of the complete epochs
    lacks: completeness.Lacks
    damage: str | None = None  # the file that cannot be used, and the remedy; then all other fields are unknown

    @property
    def state(self) -> str:
        if self.damage:
            return attempts.DAMAGED
        return self.attempt.state if self.attempt else attempts.TO_DO

    @property
    def seconds_left(self) -> float | None:
        """Returns the seconds until the end of a running trial; None for others, and before an epoch is complete."""
        if self.state != names.RUNNING or self.epoch_seconds is None:
            return None
        return max(0.0, self.description["epochs"] - self.epoch) * self.epoch_seconds


def read(outputs: OutputPaths, sweep: str | None = None) -> list[Progress]:
    """Returns every trial of the folder, or of one sweep; UserError, which lists the sweeps, if there is none.

    A damaged trial may belong to any sweep, and is returned with each.
    """
    found = [of(paths) for paths in described.folders(outputs)]
    if not found:
        raise UserError(
            f"no trials in {outputs.root}; name the folder with --output-dir, or start a trial: `python run.py`"
        )
    if sweep is None:
        return found
    members = [one for one in found if sweep in _sweeps(one) or not one.description]
    if all(not one.description for one in members):
        known = sorted({name for one in found for name in _sweeps(one)})
        raise UserError(f"no trial of sweep {shown(sweep)!r} in {outputs.root}{choose_from(sweep, known)}")
    return members


def _sweeps(progress: Progress) -> list[str]:
    return [name for tag, name in progress.description.get("sweeps", {}).items() if tag.startswith(names.SWEEP)]


def of(paths: TrialPaths) -> Progress:
    """Returns the progress of a trial; for a damaged trial, only the damage."""
    description: dict[str, Any] = {}
    try:
        description = described.read(paths)
        return _whole_progress(paths, description)
    except DamagedError as error:
        nothing = completeness.Lacks(None, None)
        return Progress(paths, description, None, 0.0, None, None, nothing, str(error))


def _whole_progress(paths: TrialPaths, description: dict[str, Any]) -> Progress:
    found, tried = journal.so_far(paths.journal), attempts.every(paths.root)
    attempt = tried[-1] if tried else None
    if attempt:
        described.configuration(paths)
    if paths.cost.exists():
        journal.point(paths.cost)
    complete, now = found.complete, found.newest
    lacks = completeness.lacks(paths, description["epochs"], attempt, found)
    running = now["epoch"] - 1 + now["iteration"] / now["iterations"] if now else 0.0
    last = complete[max(complete)]["metrics"] if complete else {}
    seconds = [journal.seconds(record) for record in complete.values()]
    return Progress(
        paths=paths,
        description=description,
        attempt=attempt,
        epoch=max(running, len(complete)),
        average_precision=None if lacks.records else last.get(names.coco_metric("bbox", "AP")),
        epoch_seconds=median(seconds) if seconds else None,
        lacks=lacks,
    )


def find(outputs: OutputPaths, wanted: str) -> Progress:
    """Returns the trial with the id `wanted`, or the only one whose id contains it; else UserError lists candidates."""
    trials = read(outputs)
    matching = [one for one in trials if wanted in one.paths.root.name]
    exact = [one for one in matching if one.paths.root.name == wanted]
    if len(exact or matching) == 1:
        return (exact or matching)[0]
    candidates = ", ".join(one.paths.root.name for one in matching or trials)
    raise UserError(f"trial {wanted!r} is {'ambiguous' if matching else 'unknown'}; choose one of: {candidates}")


def table(trials: list[Progress]) -> Table:
    """Returns the trials as a table. Those that need attention come last, because a terminal shows the end."""
    order = (names.FINISHED, attempts.TO_DO, names.RUNNING, attempts.INTERRUPTED, names.FAILED, attempts.DAMAGED)
    counts = {state: sum(one.state == state for one in trials) for state in order}
    title = ", ".join(f"{count} {state.lower()}" for state, count in counts.items() if count)
    grid = Table(title=f"{len(trials)} trials: {title}", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    grid.add_column("trial", overflow="fold", min_width=max(len(one.paths.root.name) for one in trials))
    grid.add_column("state", no_wrap=True)
    for column in ("epoch", "box AP", "left"):
        grid.add_column(column, justify="right", no_wrap=True)
    for one in sorted(trials, key=lambda one: order.index(one.state)):
        style = STYLES[attempts.INTERRUPTED] if _lacking(one) else STYLES.get(one.state, "")
        grid.add_row(*(Text(cell) for cell in _cells(one)), style=style)
    return grid


def _cells(one: Progress) -> tuple[str, ...]:
    if one.damage:
        return f"{one.paths.root.name}\n  {one.damage}", one.state, "", "", ""
    running = one.state == names.RUNNING
    return (
        "\n  ".join(filter(None, (one.paths.root.name, _told(one.attempt, running), *_lacking(one)))),
        one.state.lower(),
        f"{one.epoch:.1f}/{one.description['epochs']}" if running else f"{one.epoch:.0f}/{one.description['epochs']}",
        "" if one.average_precision is None else f"{100 * one.average_precision:.1f}",
        "" if one.seconds_left is None else _span(one.seconds_left),
    )


def _told(attempt: Attempt | None, running: bool) -> str | None:
    if attempt is None or not running:
        return shown(attempt.reason, WHOLE) if attempt and attempt.reason else None
    return f"{attempt.device} on {attempt.host}, attempt {attempt.number}, last sign of life {attempt.age:.0f} s ago"


def _lacking(one: Progress) -> list[str]:
    """Returns a sentence for each missing part of a trial's folder."""
    found = []
    if one.lacks.records:
        finished = "its command, or sync, repairs it if a checkpoint of the last epoch is kept"
        remedy = finished if one.state == names.FINISHED else "the next attempt removes it"
        found.append(f"{one.paths.journal.name} {one.lacks.records}; {remedy}")
    if one.lacks.matches:
        found.append(f"without {one.paths.matches.name} ({one.lacks.matches}); its command makes it, without training")
    return found + origin.flaws(one.paths)


def _span(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min" if minutes else "< 1 min"


def tail(path: Path, lines: int) -> str:
    """Returns the last lines of a file, "" if there is no file."""
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:]) if path.exists() else ""
