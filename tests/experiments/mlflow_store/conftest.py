"""A store with nothing in it, and a trial's folder for its first run."""

import json
from pathlib import Path

import pytest

from experiments import names
from experiments.commands import Place
from experiments.factors import FACTORS
from experiments.mlflow_store.runs import Store
from experiments.paths import TrialPaths
from tests.support import harness


@pytest.fixture
def config(empty_store: Path, tmp_path: Path) -> dict:
    (tmp_path / "mlflow.db").write_bytes(empty_store.read_bytes())
    return {"output_dir": str(tmp_path), "tracking": {"uri": harness.store(tmp_path), "experiment": "groie"}}


@pytest.fixture
def store(config: dict) -> Store:
    return Store(Place.of(config))


@pytest.fixture
def paths(tmp_path: Path) -> TrialPaths:
    """A trial's folder as the plan leaves it."""
    found = TrialPaths(tmp_path / "trials" / "a-trial")
    found.root.mkdir(parents=True)
    found.config.write_text("seed: 3\n")
    description = {
        names.TRIAL_ID: "a-trial",
        names.VARIANT_ID: "123",
        names.VARIANT: "faster_rcnn sum",
        names.OVERRIDES: ["pre=none"],
        names.RECORD: "0f" * 16,
        names.SEED: 3,
        "factors": dict.fromkeys(FACTORS, "none"),
        "kernel_sizes": {"post.kernel_size": 5},
        "sweeps": {names.SWEEP + "one": "one"},
        "data": {},
        "epochs": 1,
    }
    found.description.write_text(json.dumps(description))
    return found
