"""A folder for the temporary files of a trial's processes, which leave some however they end, and more when killed."""

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

# Python's data-loading processes make sockets there, whose whole path the system limits to 107 bytes.
LONGEST = 107 - len("/pymp-01234567/listener-01234567")


def make(trial: Path) -> Path | None:
    """Returns a new folder for one attempt at the trial in a folder; None where the usual one must do."""
    try:
        folder = Path(tempfile.mkdtemp(prefix=_prefix(trial)))
    except OSError:  # a full disk, which may be another than the trial's
        return None
    if len(bytes(folder)) > LONGEST:
        folder.rmdir()
        return None
    return folder


def remove(trial: Path) -> None:
    """Removes the folders of all attempts at a trial, once their processes have ended."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_prefix(trial)}*"):
        shutil.rmtree(folder, ignore_errors=True)


def _prefix(trial: Path) -> str:
    whose = f"{os.environ.get('SLURM_NODEID', 0)} {trial}".encode(errors="surrogateescape")
    return f"groie-{hashlib.sha256(whose).hexdigest()[:8]}-"
