"""What attempts at a trial leave in its folder, written by hand: for tests of what is made of it."""

import json
import os
import time
from pathlib import Path
from typing import Any

import yaml

from experiments.planning.identity import Trial

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def describe(trial: Trial, **more: Any) -> Path:
    """Makes the folder of a planned trial."""
    folder = trial.paths.root
    folder.mkdir(parents=True)
    trial.paths.description.write_text(json.dumps({**trial.describe(), "data": {}, "sweeps": {}, **more}))
    trial.paths.config.write_text(yaml.dump(trial.config, Dumper=yaml.CSafeDumper))
    return folder


def write_attempt(folder: Path, number: int = 3, age: float = 0.0, **facts: Any) -> Path:
    """Writes an attempt, by default one that runs on another machine; `age` in seconds since its last sign of life."""
    known = {"number": number, "host": "elsewhere", "process": 4, "born": 5.0, "started": 6.0, "device": "1 x cpu"}
    path = folder / "attempts" / f"{number:04d}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**known, **facts}))
    touched = time.time() - age
    os.utime(path, (touched, touched))
    return path


def write_journal(folder: Path, *seconds: tuple[float, float]) -> None:
    """Writes complete epochs with these seconds of training and evaluation, and one more that is not complete."""
    records = [
        {"time": 1, "step": step, "metrics": {"epoch/train_seconds": train, "epoch/val_seconds": val}}
        for step, (train, val) in enumerate(seconds, 1)
    ]
    progress = {"time": 2, "epoch": len(records) + 1, "iteration": 1, "iterations": 9, "loss": 1.0}
    lines = [json.dumps(record) for record in (*records, progress)]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "journal.jsonl").write_text("\n".join([*lines, '{"time": 3, "st']))


def write_provenance(
    folder: Path,
    number: int,
    commit: str | None = COMMIT,
    difference: str = "",
    after: int | None = None,
    files: dict[str, str] | None = None,
    **noted: str,
) -> None:
    """Writes where an attempt's result comes from, and with `after` what its training had loaded when it began."""
    source = {"commit": commit, "dirty": bool(difference), "difference": difference, "untracked": []}
    known = {"source": source, "packages": {}, "machine": {"host": "elsewhere", "gpus": []}}
    known["data"] = {"train": {"images": 99}, "val": {"images": 50}}
    for place, content in (("provenance", known), ("sources", {"after": after, "files": files or {}, **noted})):
        if place == "provenance" or after is not None:
            path = folder / place / f"{number:04d}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(content))
