"""A study: all that MLflow holds of a sweep and of the tables it is made of, as plain data for a few small files."""

import csv
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from analysis import declarations, frames, rows, surroundings
from analysis.errors import AnalysisError
from analysis.metrics import METRICS
from analysis.runs import Histories, Point, Run, histories, of_experiment, requests
from experiments import matches, names
from experiments.declared import Declaration
from experiments.matches import Matches

if TYPE_CHECKING:
    from mlflow import MlflowClient

FORMAT = 2  # of the files that `save` writes
ABOUT = "study.json"  # names the sweep
MATCHES = "matches.npz"  # a run's artifact
METRIC_COLUMNS = ("run_id", "metric", "step", "timestamp", "value")


def file_name(sweep: str) -> str:
    """Returns a sweep's whole name as a file or a folder has it."""
    return names.sweep_key(sweep).replace("/", "_")


@dataclass(frozen=True)
class Part:
    """One table of a study: `lines` are those of `rows.rows_frame`."""

    sweep: str
    declaration: Declaration | None
    lines: pd.DataFrame

    @property
    def name(self) -> str:
        """Returns what its files in a study's folder are called by: the declaration, without what was typed beside."""
        return self.declaration.name if self.declaration else file_name(self.sweep)


@dataclass(frozen=True)
class Study:
    """What was recorded: runs, their tidy metrics, and what was decided about each detection.

    Args:
        sweep: as it was asked for.
        runs: all of the sweep's trials.
        histories: of `METRICS`, by run id and metric.
        matches: by trial id, then IoU type; absent for trials that did not finish.
        surroundings: of one trial for each commit, machine and data set, as `surroundings.read` has them.
    """

    sweep: str
    runs: list[Run]
    histories: Histories
    matches: dict[str, dict[str, Matches]]
    surroundings: list[dict[str, Any]]

    @property
    def declaration(self) -> Declaration | None:
        return declarations.of_sweep(self.sweep)

    @cached_property
    def parts(self) -> list[Part]:
        """Returns its tables in the order of the declaration; a sweep that includes no other is one table."""
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
        return Part(sweep, declaration, rows.rows_frame(sweep, trials, declaration))

    @cached_property
    def metrics(self) -> pd.DataFrame:
        """Returns one row per trial and epoch, a column for each of `METRICS`."""
        return frames.metrics_frame(self.trials, self.histories, tuple(METRICS))

    @cached_property
    def trials(self) -> pd.DataFrame:
        """Returns one row per trial of the whole study."""
        return frames.trials_frame(frames.runs_frame(self.runs, self.sweep))


Progress = Callable[[str, int], AbstractContextManager[Callable[[], None]]]  # of a text and a number of steps


def read(client: "MlflowClient", experiment: str, uri: str, asked: str, progress: Progress) -> Study:
    """Returns the study of the sweep that is asked for; AnalysisError where MLflow has none or lacks what it should.

    Args:
        uri: of the store, for messages.
        asked: a sweep's name, or "last".
        progress: told of each long step.
    """
    recorded = of_experiment(client, experiment, uri)
    sweep = frames.find_sweep(recorded, asked, uri)
    of_sweep = frames.runs_frame(recorded, sweep)
    trials = frames.trials_frame(of_sweep)
    wanted = frames.wanted_histories(trials, tuple(METRICS))
    with progress("reading metrics", requests(wanted)) as on_read:
        found = histories(client, wanted, on_read)
    members = set(of_sweep["run_id"])
    runs = [run for run in recorded if run.run_id in members]
    finished = set(trials.loc[trials["status"] == names.FINISHED, "run_id"])
    done = [run for run in runs if run.run_id in finished]
    return Study(sweep, runs, found, _matches(done, uri, progress), surroundings.read(done, uri))


def _matches(runs: Sequence[Run], uri: str, progress: Progress) -> dict[str, dict[str, Matches]]:
    from mlflow import artifacts

    decided: dict[str, dict[str, Matches]] = {}
    with progress("reading detections", len(runs)) as on_read, tempfile.TemporaryDirectory() as folder:
        for run in runs:
            # By the URI that is known already: asked for a run's artifacts, MLflow would read the run anew.
            if any(Path(one.path).name == MATCHES for one in artifacts.list_artifacts(run.artifacts, tracking_uri=uri)):
                file = artifacts.download_artifacts(f"{run.artifacts}/{MATCHES}", dst_path=folder, tracking_uri=uri)
                decided[run.tags[names.TRIAL_ID]] = _load(Path(file))
            on_read()
    return decided


def save(study: Study, folder: Path) -> None:
    """Writes a study as small plain files, from which `load` gives it back."""
    (folder / "matches").mkdir(parents=True, exist_ok=True)
    about = {"format": FORMAT, "sweep": study.sweep}
    (folder / ABOUT).write_text(json.dumps(about) + "\n")
    (folder / "surroundings.json").write_text(json.dumps(study.surroundings, indent=1, sort_keys=True) + "\n")
    lines = [json.dumps(run.as_dict(), sort_keys=True) for run in study.runs]
    (folder / "runs.jsonl").write_text("".join(f"{line}\n" for line in lines))
    with (folder / "metrics.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(METRIC_COLUMNS)
        for (run_id, metric), points in study.histories.items():
            writer.writerows((run_id, metric, point.step, point.timestamp, repr(point.value)) for point in points)
    for trial_id, decided in study.matches.items():
        matches.save(folder / "matches" / f"{trial_id}.npz", decided)


def load(folder: Path) -> Study:
    """Returns what was saved; AnalysisError where the folder holds no study, or one of another format."""
    try:
        about = json.loads((folder / ABOUT).read_text())
        if about["format"] != FORMAT:
            raise AnalysisError(f"{folder} has format {about['format']}; this version reads {FORMAT}")
        runs = [Run(**json.loads(line)) for line in (folder / "runs.jsonl").read_text().splitlines()]
        around = json.loads((folder / "surroundings.json").read_text())
        found: Histories = {}
        with (folder / "metrics.csv").open(newline="") as file:
            for run_id, metric, step, timestamp, value in _body(csv.reader(file)):
                found.setdefault((run_id, metric), []).append(Point(int(step), int(timestamp), float(value)))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise AnalysisError(
            f"{folder} holds no study ({error}); give the folder `data` that `python -m analysis paper` wrote"
        ) from error
    decided = {path.stem: _load(path) for path in sorted((folder / "matches").glob("*.npz"))}
    return Study(about["sweep"], runs, found, decided, around)


def _body(lines: Iterable[list[str]]) -> Iterator[list[str]]:
    rest = iter(lines)
    if (head := next(rest, None)) != list(METRIC_COLUMNS):
        raise ValueError(f"metrics.csv begins with {head}")
    yield from rest


def _load(path: Path) -> dict[str, Matches]:
    try:
        return matches.load(path)
    except (OSError, ValueError) as error:
        raise AnalysisError(str(error)) from error
