"""A study: all that MLflow holds of a sweep and of the tables it is made of, as plain data for a few small files."""

import csv
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
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
DATA = "data"  # the folder of these files, in a folder of results
ABOUT = "study.json"  # names the sweep
MATCHES = "matches.npz"  # a run's artifact
NAMED = 5  # studies, at most, in an error
METRIC_COLUMNS = ("run_id", "metric", "step", "timestamp", "value")


def file_name(sweep: str) -> str:
    """Returns a sweep's whole name as a file or a folder has it: no shell needs it in quotes."""
    return names.sweep_key(sweep).replace(" ", "_")


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
        lines = rows.rows_frame(sweep, trials, declaration).assign(**{rows.ROOT: self.data_root})
        return Part(sweep, declaration, lines)

    @cached_property
    def data_root(self) -> str:
        """Returns what was typed for the place of the data, "dataset.root=data/mine", "" where nothing was."""
        members = set(self.trials["run_id"])
        of_sweep = sorted((run for run in self.runs if run.run_id in members), key=lambda run: run.started)
        return declarations.data_root(run.tags.get(names.OVERRIDES, "") for run in of_sweep)

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
    """Returns what was saved; AnalysisError where the folder holds no study, one of another format or not all of it."""
    sweep, runs = outline(folder)
    with _read_from(folder):
        around = json.loads((folder / "surroundings.json").read_text())
        found: Histories = {}
        for run_id, metric, step, timestamp, value in _points(folder / "metrics.csv"):
            found.setdefault((run_id, metric), []).append(Point(int(step), int(timestamp), float(value)))
    decided = {path.stem: _load(path) for path in sorted((folder / "matches").glob("*.npz"))}
    study = Study(sweep, runs, found, decided, around)
    _check_whole(study, folder)
    return study


def outline(folder: Path) -> tuple[str, list[Run]]:
    """Returns the sweep and the runs of a saved study; AnalysisError as `load` raises it."""
    if not (folder / ABOUT).is_file():
        near = [str(one) for one in _studies_near(folder.parent)]
        there = f", such as {', '.join(near[:NAMED])}" if near else ""
        raise AnalysisError(
            f"{folder.parent} holds no study; "
            f"give the folder that `python -m analysis paper` wrote, the one that holds `{DATA}/`{there}"
        )
    with _read_from(folder):
        about = json.loads((folder / ABOUT).read_text())
        if about["format"] != FORMAT:
            raise AnalysisError(f"{folder} has format {about['format']}; this version reads {FORMAT}")
        if not isinstance(sweep := about.get("sweep"), str):
            raise ValueError(f"{ABOUT} names no sweep")
        runs = [Run(**json.loads(line)) for line in (folder / "runs.jsonl").read_text().splitlines()]
        if any(names.TRIAL_ID not in run.tags for run in runs):
            raise ValueError(f"a run of runs.jsonl has no tag {names.TRIAL_ID}")
        known = sorted({name for run in runs for tag, name in run.tags.items() if tag.startswith(names.SWEEP)})
        if not any(run.tags.get(names.SWEEP + names.sweep_key(sweep)) == sweep for run in runs):
            raise ValueError(
                f"no run is of the sweep {sweep!r} that {ABOUT} names, but of {', '.join(known) or 'none'}"
            )
    return sweep, runs


@contextmanager
def _read_from(folder: Path) -> Iterator[None]:
    """Turns what a damaged file raises into one sentence."""
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise AnalysisError(
            f"{folder} holds no whole study ({error}); bring back the files that `python -m analysis paper` wrote there"
        ) from error


def _studies_near(folder: Path) -> list[Path]:
    """Returns the folders that hold a study: those in this one, else beside it, else that which it lies in."""
    for around in (folder, folder.parent):
        if found := sorted(path.parent.parent for path in around.glob(f"[!.]*/{DATA}/{ABOUT}")):
            return found
    return [folder.parent] if (folder.parent / DATA / ABOUT).is_file() else []


def _points(file: Path) -> Iterator[list[str]]:
    """Yields the lines of metrics.csv; ValueError where one is not whole."""
    with file.open(newline="") as text:
        lines = csv.reader(text)
        if (head := next(lines, None)) != list(METRIC_COLUMNS):
            raise ValueError(f"{file.name} begins with {head}")
        for line in lines:
            if len(line) != len(METRIC_COLUMNS):
                raise ValueError(
                    f"line {lines.line_num} of {file.name} has {len(line)} columns of {len(METRIC_COLUMNS)}"
                )
            yield line
    if not file.read_bytes().endswith(b"\n"):
        raise ValueError(f"the last line of {file.name} is cut off")


def _check_whole(study: Study, folder: Path) -> None:
    """Raises AnalysisError where lines of metrics.csv are gone: a history, or the end of one that others tell."""
    kept = {metric for _, metric in study.histories} or set(METRICS)  # an earlier version knew fewer metrics
    finished = set(study.trials.loc[study.trials["status"] == names.FINISHED, "run_id"])
    ends: dict[tuple[str, str], int] = {}  # of a trial's metrics of one kind, which end together
    with _read_from(folder):
        for run_id, metric in frames.wanted_histories(study.trials, tuple(one for one in METRICS if one in kept)):
            last = max((point.step for point in study.histories.get((run_id, metric), ())), default=None)
            if last is None or (run_id in finished and last != ends.setdefault((run_id, metric.split("/")[0]), last)):
                raise ValueError(f"metrics.csv lacks lines of {metric} of run {run_id}")


def _load(path: Path) -> dict[str, Matches]:
    try:
        return matches.load(path)
    except (OSError, ValueError) as error:
        raise AnalysisError(str(error)) from error
