"""Trials' folders as a training leaves them, without the training: for tests of what is made of them."""

import json
import math
import uuid
from pathlib import Path
from typing import Any

import yaml

from experiments import names
from experiments.paths import TrialPaths
from experiments.trial import attempts, journal
from tests.support import harness

SWEEP = "prepared"
EPOCHS = 12
BEGAN = 1_780_000_000.0  # seconds since 1970
EPOCH_SECONDS = 60
BATCHES = 50  # of an epoch


def folder(outputs: Path, *overrides: str, seed: int = 0) -> TrialPaths:
    """Makes the folder of a trial that is planned and was not begun."""
    config = {**harness.composed(*overrides, f"schedule.epochs={EPOCHS}"), "seed": seed, "output_dir": str(outputs)}
    config["tracking"] = {"uri": harness.store(outputs), "experiment": names.EXPERIMENT}
    trial = harness.labelled(config, (*overrides, f"seed={seed}"))
    trial.paths.root.mkdir(parents=True)
    sweeps = {names.SWEEP + SWEEP: SWEEP}
    described = {**trial.describe(), names.RECORD: uuid.uuid4().hex, "data": {}, "sweeps": sweeps}
    trial.paths.description.write_text(json.dumps(described))
    trial.paths.config.write_text(yaml.dump(config, Dumper=yaml.CSafeDumper))
    return trial.paths


def finished(outputs: Path, *overrides: str, seed: int = 0, best: float = 0.4) -> TrialPaths:
    """Makes the folder of a trial that is finished, whose box AP rises towards `best`."""
    paths = folder(outputs, *overrides, seed=seed)
    claim = attempts.claim(paths.root, "1 x cpu")
    for epoch in range(1, EPOCHS + 1):
        journal.append(paths.journal, record(epoch, best, seed))
    claim.update(status=names.FINISHED, started=BEGAN, ended=BEGAN + EPOCHS * EPOCH_SECONDS)
    return paths


def record(epoch: int, best: float, seed: int = 0) -> dict[str, Any]:
    """Returns the journal's record of a complete epoch."""
    precision = best * (1 - math.exp(-epoch / 3)) + 0.004 * math.sin(7 * epoch + seed)
    shares = {"AP": 1.0, "AP50": 1.6, "AP75": 0.9, "APs": 0.5, "APm": 1.1, "APl": 1.3}
    metrics = {names.coco_metric("bbox", name): share * precision for name, share in shares.items()}
    metrics |= {names.EPOCH_LOSS: 2.0 / epoch, names.EPOCH_SECONDS: 50.0, names.VALIDATION_SECONDS: 10.0}
    samples = []
    for step in (epoch * BATCHES - 25, epoch * BATCHES):
        losses = {names.TRAIN + "loss": 60.0 / (step + 30), names.LEARNING_RATE: 0.001}
        samples.append({"time": _time(step / BATCHES), "step": step, "metrics": losses})
    return {"time": _time(epoch), "step": epoch, "metrics": metrics, "samples": samples}


def _time(epochs: float) -> int:
    return round(1000 * (BEGAN + EPOCH_SECONDS * epochs))
