"""A folder for the temporary files of a trial's processes, because processes leave such files behind."""

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

# Python's data-loading processes create sockets there; the system limits a socket's path to 107 bytes.
LONGEST = 107 - len("/pymp-01234567/listener-01234567")


def make(trial: Path) -> Path | None:
    """Returns a new folder for one attempt at the trial in a folder; None if the usual folder is used."""
    try:
        folder = Path(tempfile.mkdtemp(prefix=_prefix(trial)))
    except OSError:  # for example a full disk, not necessarily the trial's
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
