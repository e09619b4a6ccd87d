"""Kills a rank at a chosen step of an epoch's end, as a machine that fails would."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mmengine.fileio import LocalBackend

from experiments import files
from experiments.training import hooks
from experiments.trial import checkpoints, journal


def prepare(step: str, epoch: int) -> None:
    """Has this process kill itself at a step of STEPS in the given epoch."""
    STEPS[step](epoch)


def _end() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _before(place: Any, name: str) -> Callable[[int], None]:
    """Returns what kills before a function is called while the checkpoint of the epoch is there."""

    def arm(epoch: int) -> None:
        real = getattr(place, name)

        def wrapped(*arguments: Any, **more: Any) -> Any:
            folders = [one.paths.work if isinstance(one, hooks.TrialHook) else one for one in arguments[:1]]
            if (folders[0] / f"epoch_{epoch}.pth").exists():
                _end()
            return real(*arguments, **more)

        setattr(place, name, wrapped)

    return arm


def _within_the_checkpoint(epoch: int) -> None:
    """Half of the file is written."""
    real = LocalBackend.put

    def put(backend: LocalBackend, content: bytes, path: str) -> None:
        if f"epoch_{epoch}." in Path(path).name:
            Path(path).write_bytes(content[: len(content) // 2])
            _end()
        real(backend, content, path)

    LocalBackend.put = put


def _before_the_rename(epoch: int) -> None:
    """All of the file is written, and not yet under its name."""
    real = files.settle

    def settle(path: Path) -> None:
        if path.name == f"epoch_{epoch}.part":
            _end()
        real(path)

    files.settle = settle


def _within_the_record(epoch: int) -> None:
    """Half of the journal's line is written."""
    real = journal.append

    def append(path: Path, record: journal.Record) -> None:
        if record.get("step") == epoch:
            line = json.dumps(record)
            with path.open("a") as file:
                file.write(line[: len(line) // 2])
            _end()
        real(path, record)

    journal.append = append


def _after_the_record(epoch: int) -> None:
    real = journal.append

    def append(path: Path, record: journal.Record) -> None:
        real(path, record)
        if record.get("step") == epoch:
            _end()

    journal.append = append


STEPS: dict[str, Callable[[int], None]] = {
    "within the checkpoint": _within_the_checkpoint,
    "before the rename": _before_the_rename,
    "before the best is marked": _before(checkpoints, "mark_best"),
    "before pruning": _before(checkpoints, "prune"),
    "before the record": _before(hooks.TrialHook, "_record"),
    "within the record": _within_the_record,
    "after the record": _after_the_record,
}
