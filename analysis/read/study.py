"""A study: a sweep's runs, metrics and matches with the tables that it includes; read from MLflow, saved and loaded."""

import csv
import json
import tempfile
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd
from pydantic import TypeAdapter

from analysis.read import borrowed, declarations, environments, frames, rows
from analysis.read.metrics import METRICS
from analysis.read.runs import Histories, Point, Run, check, histories, of_experiment, requests
from analysis.read.saved import (
    ABOUT,
    AROUND,
    DATA,
    DECIDED,
    FORMAT,
    HISTORIES,
    RUNS,
    SUMS,
    check_whole,
    named,
    studies_near,
    written,
)
from experiments import files, names
from experiments.declared import Declaration
from experiments.errors import UserError
from experiments.trial import matches
from experiments.trial.matches import Matches

if TYPE_CHECKING:
    from mlflow import MlflowClient

MATCHES = "matches.npz"  # a run's artifact
NAMED = 5  # studies, at most, in an error
METRIC_COLUMNS = ("run_id", "metric", "step", "timestamp", "value")


@dataclass(frozen=True)
class Saved:
    """The content of `ABOUT`."""

    format: Literal[3]
    sweep: str


SAVED, RUN = TypeAdapter(Saved), TypeAdapter(Run)


def file_name(sweep: str) -> str:
    """Returns a file name for a sweep, without characters that a shell would need quoted."""
    return names.sweep_key(sweep).replace(" ", "_")


@dataclass(frozen=True)
class Part:
    """One table of a study: `lines` are those of `rows.rows_frame`."""

    sweep: str
    declaration: Declaration | None
    lines: pd.DataFrame

    @property
    def name(self) -> str:
        """Returns the name of its files in a study's folder: the declaration's, without other typed words."""
        return self.declaration.name if self.declaration else file_name(self.sweep)


@dataclass(frozen=True)
class Study:
    """What was recorded of a sweep: runs, metric histories, and COCO's decision on each detection.

    Args:
        sweep: its whole name.
        runs: of the sweep's trials, and of the sweep that includes it: their seeds also show training noise.
        histories: of `METRICS`, by run id and metric.
        matches: by trial id, then IoU type; absent for trials that did not finish.
        surroundings: of one trial for each commit, machine and data set, see `environments.read`.
    """

    sweep: str
    runs: list[Run]
    histories: Histories
    matches: dict[str, dict[str, Matches]]
    surroundings: list[dict[str, Any]]

    def run_of(self, trial_id: str) -> Run:
        """Returns a trial's run: the latest FINISHED one, else the latest started."""
        trials = self.trials.set_index(names.TRIAL_ID)
        return next(run for run in self.runs if run.run_id == trials.loc[trial_id, "run_id"])

    @cached_property
    def own(self) -> list[Run]:
        """Returns the runs of the sweep's own trials."""
        trials = set(self.trials[names.TRIAL_ID])
        return [run for run in self.runs if run.tags[names.TRIAL_ID] in trials]

    @property
    def declaration(self) -> Declaration | None:
        return declarations.of_sweep(self.sweep)

    @cached_property
    def parts(self) -> list[Part]:
        """Returns its tables in the order of the declaration; a sweep that includes no other has one table."""
        declaration = self.declaration
        _, _, typed = self.sweep.partition(" ")
        sweeps = [self.sweep]
        if declaration is not None:
            included = dict.fromkeys(row.sweep for row in declaration.rows)
            sweeps = [f"{name} {typed}".strip() for name in included]
        return [self._part(sweep) for sweep in sweeps]

    @cached_property
    def whole(self) -> Part:
        """Returns all its rows as one table."""
        return self._part(self.sweep)

    def _part(self, sweep: str) -> Part:
        declaration = declarations.of_sweep(sweep)
        trials = frames.trials_frame(frames.runs_frame(self.runs, sweep))
        lines = rows.rows_frame(sweep, trials, declaration).assign(**{rows.ROOT: self.data_root})
        return Part(sweep, declaration, lines)

    @cached_property
    def data_root(self) -> str:
        """Returns the override of the data's folder, "dataset.root=data/mine", "" where there is none."""
        members = set(self.trials["run_id"])
        of_sweep = sorted((run for run in self.runs if run.run_id in members), key=lambda run: run.started)
        return declarations.data_root(word for run in of_sweep for word in run.overrides)

    @cached_property
    def metrics(self) -> pd.DataFrame:
        """Returns one row per trial and epoch, a column for each of `METRICS`."""
        return frames.metrics_frame(self.trials, self.histories, tuple(METRICS))

    @cached_property
    def trials(self) -> pd.DataFrame:
        """Returns one row per trial of the whole study."""
        return frames.trials_frame(frames.runs_frame(self.runs, self.sweep))


Progress = Callable[[str, int], AbstractContextManager[Callable[[], None]]]  # (text, steps) -> calls after each step


Note = Callable[[str], None]  # called with a sentence on skipped data


def read(client: "MlflowClient", experiment: str, uri: str, asked: str, progress: Progress, note: Note) -> Study:
    """Returns the study of a sweep; UserError if MLflow has none.

    Args:
        uri: of the store, for messages.
        asked: a sweep's name, or "last".
        progress: called for each long step.
        note: called for matches that cannot be read; their trial then counts as one without matches.
    """
    recorded = borrowed.of_other_sweeps(of_experiment(client, experiment, uri), asked)
    sweep = frames.find_sweep(recorded, asked, uri)
    wanted = wanted_histories(recorded, sweep, tuple(METRICS))
    with progress("reading metrics", requests(wanted)) as on_read:
        found = histories(client, wanted, on_read)
    members = {run_id for one in _with_whole(sweep) for run_id in frames.runs_frame(recorded, one)["run_id"]}
    runs = [run for run in recorded if run.run_id in members]
    trials = frames.trials_frame(frames.runs_frame(recorded, sweep))
    finished = set(trials.loc[trials["status"] == names.FINISHED, "run_id"])
    done = [run for run in runs if run.run_id in finished]
    return Study(sweep, runs, found, _matches(done, uri, progress, note), environments.read(done, uri))


def wanted_histories(recorded: list[Run], sweep: str, metrics: tuple[str, ...]) -> list[tuple[str, str]]:
    """Returns the (run id, metric) that a sweep's tables need, with those of the sweep that includes it."""
    trials = [frames.trials_frame(frames.runs_frame(recorded, one)) for one in _with_whole(sweep)]
    return [*dict.fromkeys(key for one in trials for key in frames.wanted_histories(one, metrics))]


def _with_whole(sweep: str) -> list[str]:
    return [*dict.fromkeys((sweep, declarations.whole(sweep)))]


def _matches(runs: Sequence[Run], uri: str, progress: Progress, note: Note) -> dict[str, dict[str, Matches]]:
    from mlflow import artifacts

    decided: dict[str, dict[str, Matches]] = {}
    with progress("reading detections", len(runs)) as on_read, tempfile.TemporaryDirectory() as folder:
        for run in runs:
            # By the known URI: given a run id, MLflow would read the run again.
            if any(Path(one.path).name == MATCHES for one in artifacts.list_artifacts(run.artifacts, tracking_uri=uri)):
                file = artifacts.download_artifacts(f"{run.artifacts}/{MATCHES}", dst_path=folder, tracking_uri=uri)
                try:
                    decided[run.tags[names.TRIAL_ID]] = _load(Path(file))
                except UserError as error:
                    note(f"{run.tags[names.TRIAL_ID]} counts as a trial without matches: {error}")
            on_read()
    return decided


def save(study: Study, folder: Path) -> None:
    """Writes a study as plain files, which `load` reads."""
    (folder / "matches").mkdir(parents=True, exist_ok=True)
    about = {"format": FORMAT, "sweep": study.sweep}
    (folder / ABOUT).write_text(json.dumps(about) + "\n")
    (folder / AROUND).write_text(json.dumps(study.surroundings, indent=1, sort_keys=True) + "\n")
    lines = [json.dumps(run.as_dict(), sort_keys=True) for run in study.runs]
    (folder / RUNS).write_text("".join(f"{line}\n" for line in lines))
    with (folder / HISTORIES).open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(METRIC_COLUMNS)
        for (run_id, metric), points in study.histories.items():
            writer.writerows((run_id, metric, point.step, point.timestamp, repr(point.value)) for point in points)
    for trial_id, decided in study.matches.items():
        matches.save(folder / DECIDED.replace("*", trial_id), decided)
    sums = [f"{files.digest(folder / name)}  {name}\n" for name in written(folder)]
    (folder / SUMS).write_text("".join(sums))


def load(folder: Path) -> Study:
    """Returns a saved study; UserError if the folder holds no study, another format, or damaged files."""
    sweep, runs = outline(folder)
    with named(folder / HISTORIES):
        found = _histories(folder / HISTORIES)
    decided = {path.stem: _load(path) for path in sorted(folder.glob(DECIDED))}
    with named(folder / AROUND):
        environments.FORM.validate_json((folder / AROUND).read_bytes(), strict=True)
        around = json.loads((folder / AROUND).read_bytes())
    return Study(sweep, runs, found, decided, around)


def _histories(path: Path) -> Histories:
    found: Histories = {}
    with path.open(newline="") as file:
        rows = csv.DictReader(file, strict=True)
        if tuple(rows.fieldnames or ()) != METRIC_COLUMNS:
            raise ValueError("it has other columns")
        for row in rows:
            point = Point(int(row["step"]), int(row["timestamp"]), float(row["value"]))
            found.setdefault((row["run_id"], row["metric"]), []).append(point)
    return found


def outline(folder: Path) -> tuple[str, list[Run]]:
    """Returns the sweep and the runs of a saved study; UserError as `load` raises it."""
    if not (folder / ABOUT).is_file():
        near = [str(one) for one in studies_near(folder.parent)]
        there = f", such as {', '.join(near[:NAMED])}" if near else ""
        raise UserError(
            f"{folder.parent} holds no study; "
            f"give a folder that `python -m analysis paper` wrote, which holds `{DATA}/`{there}"
        )
    about: Any = None
    with suppress(OSError, ValueError, RecursionError):
        about = json.loads((folder / ABOUT).read_text())
    if isinstance(about, dict) and about.get("format") not in (None, FORMAT):  # which may have other files
        raise UserError(
            f"{folder} has format {about['format']}; this version reads {FORMAT}: "
            "write it again from MLflow with `python -m analysis paper`"
        )
    check_whole(folder)
    with named(folder / ABOUT):
        sweep = SAVED.validate_python(about).sweep
    with named(folder / RUNS):
        runs = [_run(line) for line in (folder / RUNS).read_bytes().splitlines()]
        if not runs:
            raise ValueError("it holds no run")
    return sweep, runs


def _run(line: bytes) -> Run:
    run = RUN.validate_json(line, strict=True)
    check(run)
    return run


def _load(path: Path) -> dict[str, Matches]:
    try:
        return matches.load(path)
    except (OSError, ValueError) as error:
        raise UserError(str(error)) from error
