"""What tests of a trial's matches share: the trial, its run, what is complete, and the command again."""

from pathlib import Path
from typing import Any

from mlflow.entities import Run

from experiments import names
from tests.support import faults, harness
from tests.support.running import Command, Preloaded, Swept

MADE = ("matches.npz", "errors.json")


def folder(outputs: Path, pre: str = "none") -> Path:
    (found,) = outputs.glob(f"trials/*-{pre}-attention-*")
    return found


def run_of(outputs: Path, trial: Path) -> Run:
    (run,) = (run for run in harness.runs(outputs) if run.data.tags[names.TRIAL_ID] == trial.name)
    return run


def artifacts(outputs: Path, trial: Path) -> set[str]:
    return {file.path for file in harness.client(outputs).list_artifacts(run_of(outputs, trial).info.run_id)}


def assert_complete(outputs: Path, trial: Path, swept: Swept) -> None:
    """A trial has what its undisturbed twin has, to the last bit, in its folder and in MLflow, each value once."""
    twin = swept.outputs / "trials" / trial.name
    expected = harness.repeatable(harness.journal_metrics(twin))
    points = harness.mlflow_metrics(outputs, run_of(outputs, trial))
    assert points == harness.journal_metrics(trial)
    assert harness.repeatable(points) == expected
    assert {(name, step) for name, step, _ in expected} >= {("bbox_errors/Cls", 2), ("bbox_errors/FalseNeg", 2)}
    assert (trial / "matches.npz").read_bytes() == (twin / "matches.npz").read_bytes()
    assert {"matches.npz", "errors.json", "detections.npz"} <= artifacts(outputs, trial)
    assert not (trial / "unmatched.txt").exists()
    assert list(trial.glob("*.part")) == []
    run = run_of(outputs, trial)
    assert (run.info.status, run.data.tags[names.UNMATCHED]) == ("FINISHED", "")


def trained(trial: Path) -> tuple[Any, ...]:
    """What a training would change."""
    log = (trial / "log.txt").read_text()
    kept = {path.name: path.stat().st_mtime_ns for path in trial.glob("work/*.pth")}
    return log.count("Epoch(train)"), kept, (trial / "journal.jsonl").read_bytes(), harness.attempts(trial)


def again(
    preloaded: Preloaded, swept: Swept, outputs: Path, fault: Path | None = None, kind: str = "", *more: str
) -> Command:
    """Starts the command that trained them again, with a fault if one is named."""
    environment = faults.make(fault, kind) if fault else {}
    return preloaded.start(*swept.arguments, *more, f"output_dir={outputs}", environment=environment)
