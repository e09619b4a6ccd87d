"""Checks the output folder of a command, and marks it as ours."""

import os
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from experiments import files
from experiments.errors import UserError
from experiments.paths import OutputPaths, TrialPaths

MARK = ".groie-ablation"
OURS = {MARK, "trials", "mlflow.db"}  # any of them marks a folder as ours
DRAWN = "figures"  # what analysis may have written before the first trial


def whole(value: object) -> Path:
    """Returns the absolute path of a typed `output_dir`; UserError if it is not a path."""
    if isinstance(value, bool) or not isinstance(value, str | int | float) or not str(value).strip():
        given = "null" if value is None else value
        raise UserError(f"output_dir={given} is not a folder; give a new or empty folder, or one with earlier trials")
    return Path(str(value)).expanduser().resolve()


def accept_of(wanted: Iterable[str]) -> None:
    """Raises UserError if trials of one command have several output folders, or one that is not accepted."""
    folders = sorted(set(wanted))
    if len(folders) > 1:
        raise UserError(f"output_dir={','.join(folders)} are {len(folders)} folders; one command writes to one folder")
    accept(Path(folders[0]))


def accept(folder: Path) -> None:
    """Raises UserError if an absolute path cannot be a folder, or is a folder with files of other programs."""
    try:
        nearest = next(path for path in (folder, *folder.parents) if path.exists())
        if not nearest.is_dir():
            raise UserError(f"output_dir={folder} cannot be a folder: {nearest} is a file; choose another")
        present = {path.name for path in folder.iterdir()} if nearest == folder else set()
        if not takes_files(nearest):
            raise UserError(f"output_dir={folder} cannot be written in {nearest}; choose another folder")
    except OSError as error:
        raise UserError(f"output_dir={folder} cannot be read ({error.strerror}); choose another folder") from error
    others = sorted(name for name in present - {DRAWN} if not name.startswith("."))
    if others and not present & OURS:
        raise UserError(
            f"output_dir={folder} holds other files ({', '.join(others[:3])}); "
            "choose a new or empty folder, or one with earlier trials"
        )


def takes_files(folder: Path) -> bool:
    """Returns whether files can be created in a folder; folders such as /proc only seem to permit it."""
    return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK) and folder.parts[1:2] not in (("proc",), ("sys",))


def put_aside(outputs: OutputPaths, trial: TrialPaths) -> None:
    """Moves the folder of a trial that is trained again to `replaced/`; UserError while its matches are being made."""
    outputs.replaced.mkdir(exist_ok=True)
    trial.work.mkdir(exist_ok=True)
    moment = datetime.now(UTC).strftime("%Y-%m-%d_%H-%M-%S.%f")
    try:
        with FileLock(trial.matching_lock, timeout=0):
            files.move(trial.root, outputs.replaced / f"{trial.root.name}.{moment}")
    except Timeout as error:
        raise UserError(
            f"another command is making the matches of {trial.root.name}; wait for it, then give the same command"
        ) from error


def mark(folder: Path) -> None:
    """Creates the folder and marks it as ours; UserError if it cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MARK).touch()
    except OSError as error:
        raise UserError(f"output_dir={folder} cannot be written ({error.strerror}); choose another folder") from error
