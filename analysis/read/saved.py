"""The files of a saved study: their names, and a check that a folder has all of them unchanged."""

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from experiments import files
from experiments.errors import UserError
from experiments.sentences import shown

FORMAT = 3  # of the files that `save` writes
DATA = "data"  # the folder of these files, in a folder of results
ABOUT = "study.json"  # names the sweep
RUNS, HISTORIES, AROUND, DECIDED = "runs.jsonl", "metrics.csv", "surroundings.json", "matches/*.npz"
SUMS = "SHA256SUMS"  # of all of them, as `sha256sum --check` reads it


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Turns any error in reading a file into a UserError with the file's name."""
    try:
        yield
    except (ValueError, TypeError, LookupError, RecursionError, OverflowError, csv.Error) as error:
        reason = shown(" ".join(str(error).split()), 200)
        raise UserError(
            f"{path} is damaged ({reason}); restore the files that `python -m analysis paper` wrote there"
        ) from error


def check_whole(folder: Path) -> None:
    """Raises UserError if a file is missing or was changed."""
    try:
        flaw = _flaw(folder)
    except OSError as error:
        flaw = f"{error.filename}: {error.strerror}"
    if flaw:
        raise UserError(
            f"{folder} holds an incomplete study ({flaw}); "
            "restore the files that `python -m analysis paper` wrote there"
        )


def _flaw(folder: Path) -> str:
    if not (folder / SUMS).is_file():
        return f"{SUMS} is missing"
    lines = (line.partition("  ") for line in (folder / SUMS).read_text(errors="replace").splitlines())
    sums = {name: digest for digest, _, name in lines}
    for name in dict.fromkeys((*written(folder), *sums)):
        if not (folder / name).is_file():
            return f"{name} is missing"
        if sums.get(name) != files.digest(folder / name):
            return f"{name} was changed"
    return ""


def written(folder: Path) -> list[str]:
    """Returns the files of a study's folder, without the checksums."""
    decided = sorted(path.relative_to(folder).as_posix() for path in folder.glob(DECIDED))
    return [ABOUT, RUNS, HISTORIES, AROUND, *decided]


def studies_near(folder: Path) -> list[Path]:
    """Returns the nearest folders that hold a study: inside this one, else next to it, else its parent."""
    for around in (folder, folder.parent):
        if found := sorted(path.parent.parent for path in around.glob(f"[!.]*/{DATA}/{ABOUT}")):
            return found
    return [folder.parent] if (folder.parent / DATA / ABOUT).is_file() else []
