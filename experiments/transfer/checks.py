"""Checks, with the readers of a trial's folder, whether a trial that has ended can be used elsewhere.

`export` leaves out the trials that `import` would refuse, because both use these checks.
"""

from pathlib import Path
from zipfile import ZipFile

import numpy as np

from experiments import names
from experiments.reading import DamagedError, reason_of
from experiments.sentences import is_printable
from experiments.trial import journal
from experiments.trial.status import Progress

ARRAYS = 4 * 2**30  # bytes that a file of arrays may unpack to


def flaw(one: Progress) -> str | None:
    """Returns what is wrong with a trial, in a sentence that starts with a file's path; None if nothing is wrong."""
    if one.damage:
        return one.damage
    if one.state == names.FINISHED and one.lacks.records:
        return f"{one.paths.journal} {one.lacks.records}"
    try:
        _check_texts(one)
        if one.paths.errors.exists():
            journal.point(one.paths.errors)
        for path in sorted(one.paths.root.glob("*.npz")):
            _check_arrays(path)
    except DamagedError as error:
        return str(error)
    return None


def _check_texts(one: Progress) -> None:
    """Raises DamagedError if a text that commands print has control characters."""
    described = one.description
    texts = [described[names.VARIANT], *described[names.OVERRIDES], *described["sweeps"], *described["sweeps"].values()]
    if not all(map(is_printable, texts)):
        raise DamagedError(one.paths.description, "holds control characters")


def _check_arrays(path: Path) -> None:
    """Raises DamagedError if numpy cannot read a file as plain arrays. Pickles are not loaded."""
    try:
        with ZipFile(path) as zipped:
            if sum(member.file_size for member in zipped.infolist()) > ARRAYS:
                raise ValueError(f"it unpacks to more than {ARRAYS // 2**30} GiB")
        with np.load(path, allow_pickle=False) as arrays:
            for name in arrays.files:
                _ = arrays[name]
    except Exception as error:  # numpy and zipfile raise a dozen types of error
        raise DamagedError(path, f"is damaged ({reason_of(error) or type(error).__name__})") from error
