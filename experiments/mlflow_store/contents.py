"""The content of a trial's run, from its folder: params, tags, metrics, files; and whether a run has all of it."""

import hashlib
import json
import math
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric, Run

from experiments import names
from experiments.mlflow_store import texts
from experiments.paths import TrialPaths
from experiments.trial import attempts, described
from experiments.trial.attempts import Attempt
from experiments.trial.journal import Reader, Record


def params(description: dict[str, Any]) -> dict[str, str]:
    """Returns the factors, kernel sizes and seed of a trial."""
    found = {**description["factors"], **description["kernel_sizes"], names.SEED: description[names.SEED]}
    return {key: str(value) for key, value in found.items()}


def tags(description: dict[str, Any]) -> dict[str, str]:
    """Returns the tags that identify the trial, and those of its sweeps."""
    found = {key: description[key] for key in (names.TRIAL_ID, names.VARIANT_ID, names.VARIANT, names.RECORD)}
    return {**found, names.OVERRIDES: shlex.join(description[names.OVERRIDES]), **description["sweeps"]}


def text_tags(description: dict[str, Any], outputs: Path, there: dict[str, str]) -> dict[str, str]:
    """Returns the run's name and description unless a person has changed them, with digests to detect such changes.

    Args:
        description: of the trial.
        outputs: the output folder.
        there: the tags that the run has.
    """
    ours = {"mlflow.runName": described.title(description), "mlflow.note.content": texts.note(description, outputs)}
    found: dict[str, str] = {}
    for tag, text in ours.items():
        if there.get(tag) in (None, text) or there.get(names.WRITTEN + tag) == _digest(there[tag]):
            found |= {tag: text, names.WRITTEN + tag: _digest(text)}
    return found


def points(records: Iterable[Record]) -> list[Metric]:
    """Returns the metrics of records with their own times and steps, by which MLflow recognizes duplicates."""
    return [
        Metric(name, value, point["time"], point["step"])
        for record in records
        for point in (record, *record.get("samples", ()))
        for name, value in point.get("metrics", {}).items()
    ]


def spent(tried: list[Attempt]) -> list[Metric]:
    """Returns the sum of the times of all attempts, with the end of the last attempt as its time."""
    wall = sum(one.heard - one.started for one in tried)
    when, step = milliseconds(tried[-1].heard), tried[-1].number
    found = {names.ATTEMPTS: len(tried), names.WALL_SECONDS: wall, names.DEVICE_SECONDS: attempts.device_seconds(tried)}
    return [Metric(name, value, when, step) for name, value in found.items()]


def milliseconds(seconds: float) -> int:
    """Returns a time in MLflow's unit."""
    return round(1000 * seconds)


def differs(client: MlflowClient, run: Run, paths: TrialPaths, status: str, tried: list[Attempt]) -> bool:
    """Returns whether an ended run differs from its folder in status, the last value of a metric, or a file's size.

    Older values of a metric are not compared: MLflow does not allow to change or remove them.
    """
    if run.info.status != status:
        return True
    records = Reader(paths.journal).new_records()
    records += [json.loads(path.read_text()) for path in (paths.cost, paths.errors) if path.exists()]
    last: dict[str, Metric] = {}
    for point in [*points(records), *spent(tried)]:
        if point.key not in last or _order(point) >= _order(last[point.key]):
            last[point.key] = point
    if not all(_same(run.data.metrics.get(name), point.value) for name, point in last.items()):
        return True
    there = dict(_there(client, run.info.run_id, None))
    return any(there.get(name, -1) not in (None, path.stat().st_size) for name, path in kept(paths).items())


def kept(paths: TrialPaths) -> dict[str, Path]:
    """Returns the files that a run keeps of its trial, by their names there."""
    files = [path for path in (*paths.kept, *paths.provenance(1).parent.glob("*")) if path.is_file()]
    return {str(path.relative_to(paths.root)): path for path in files}


def _there(client: MlflowClient, run_id: str, folder: str | None) -> Iterator[tuple[str, int | None]]:
    """Yields name and size of each file that a run has; no size if the store does not know it."""
    for file in client.list_artifacts(run_id, folder):
        if file.is_dir:
            yield from _there(client, run_id, file.path)
        else:
            yield file.path, file.file_size


def _order(point: Metric) -> tuple[int, int, float]:
    return point.step, point.timestamp, point.value


def _same(there: float | None, value: float) -> bool:
    return there is not None and (there == value or (math.isnan(there) and math.isnan(value)))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
