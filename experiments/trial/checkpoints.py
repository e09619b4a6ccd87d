"""A trial's checkpoints. Each is complete or absent, and a damaged one costs an epoch, not the trial."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments import files

if TYPE_CHECKING:
    from mmengine.runner import Runner

BEST = "best.pth"


def save(runner: "Runner", folder: Path, epoch: int, records: list[dict[str, Any]]) -> None:
    """Saves what the next epoch needs as `epoch_N.pth`; the file has another name until it is on the disk.

    Args:
        runner: after the training and the evaluation of `epoch`.
        folder: of this trial alone.
        epoch: number of complete epochs.
        records: the journal's record of each, so that no checkpoint is ahead of its journal.
    """
    folder.mkdir(exist_ok=True)
    path = folder / f"epoch_{epoch}.pth"
    part = path.with_suffix(".part")
    meta = {"epoch": epoch, "iter": runner.iter, "records": records}
    try:
        runner.save_checkpoint(str(folder), part.name, meta=meta)
        files.settle(part)
        files.write(_digest_file(path), files.digest(part))
        files.move(part, path)
    finally:
        part.unlink(missing_ok=True)


def newest(folder: Path) -> Path | None:
    """Returns the last epoch's checkpoint that is complete, None if there is none."""
    return next((path for path in reversed(by_epoch(folder)) if is_whole(path)), None)


def by_epoch(folder: Path) -> list[Path]:
    """Returns the epochs' checkpoints, oldest first."""
    return sorted(folder.glob("epoch_*.pth"), key=epoch_of)


def epoch_of(path: Path) -> int:
    """Returns the epoch in a checkpoint's name."""
    return int(path.stem.removeprefix("epoch_"))


def is_whole(path: Path) -> bool:
    """Returns whether a checkpoint's content is what was saved."""
    expected = _digest_file(path)
    return expected.exists() and expected.read_text() == files.digest(path)


def _digest_file(path: Path) -> Path:
    return path.with_suffix(".sha256")


def records(path: Path) -> list[dict[str, Any]]:
    """Returns the journal's records that a checkpoint holds; none if it is absent or damaged."""
    if not path.exists() or (path.name != BEST and not is_whole(path)):  # best.pth has no digest
        return []
    from experiments.trial import safe_loading  # only here: it imports torch and MMEngine

    try:
        found: list[dict[str, Any]] = safe_loading.load(path, map_location="cpu")["meta"]["records"]
    except (OSError, ValueError):
        return []
    return found


def mark_best(folder: Path, epoch: int) -> None:
    """Makes `best.pth` another name of this epoch's checkpoint; the bytes are on the disk once."""
    part = folder / "best.part"
    part.unlink(missing_ok=True)
    os.link(folder / f"epoch_{epoch}.pth", part)
    files.move(part, folder / BEST)
    part.unlink(missing_ok=True)  # renaming a file to another name of the same file does nothing


def prune(folder: Path, last: int, keep: int) -> None:
    """Removes all but `keep` of the epochs' checkpoints, and what an interrupted save left.

    Args:
        folder: of this trial alone.
        last: epoch of the newest checkpoint that is whole; a later one is damaged, and its epoch is trained again.
        keep: how many to keep: this one and those of the epochs just before.
    """
    for path in by_epoch(folder):
        if not last - keep < epoch_of(path) <= last:
            path.unlink(missing_ok=True)
            _digest_file(path).unlink(missing_ok=True)
    for path in folder.glob("*.part"):
        path.unlink(missing_ok=True)
