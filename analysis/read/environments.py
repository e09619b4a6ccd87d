"""Packages, machine and data of trials, from the provenance files of their attempts."""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, TypeAdapter

from analysis.read.runs import Run
from experiments import names

FOLDER = "provenance"  # of a run's artifacts: a file for each attempt


class Surroundings(BaseModel):
    """The fields `KEPT` of one trial's provenance."""

    machine: dict[str, Any]
    data: dict[str, dict[str, Any]]
    packages: dict[str, str]


FORM = TypeAdapter(list[Surroundings])  # of what `read` returns
KEPT = ("machine", "data", "packages")  # no paths


def read(runs: Sequence[Run], uri: str) -> list[dict[str, Any]]:
    """Returns `KEPT` of one run for each commit, machine and data set, as its last attempt recorded it.

    Args:
        runs: of trials.
        uri: of their MLflow store.
    """
    from mlflow import artifacts

    different = {(run.tags.get(names.COMMIT), run.tags.get(names.HOST), run.params.get("dataset")): run for run in runs}
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for run in different.values():
            place = f"{run.artifacts}/{FOLDER}"
            attempts = [Path(one.path).name for one in artifacts.list_artifacts(place, tracking_uri=uri)]
            if noted := sorted(name for name in attempts if name.endswith(".json")):
                file = artifacts.download_artifacts(f"{place}/{noted[-1]}", dst_path=folder, tracking_uri=uri)
                found.append(_kept(json.loads(Path(file).read_text())))
    return found


def _kept(noted: dict[str, Any]) -> dict[str, Any]:
    kept = {key: noted[key] for key in KEPT}
    kept["data"] = {
        split: {key: value for key, value in facts.items() if key != "annotations"}
        for split, facts in noted["data"].items()
        if "unreadable" not in facts
    }
    return kept
