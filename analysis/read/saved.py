"""The small plain files that a study is saved as: their names, and whether a folder has all of them as they were."""

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from analysis.errors import AnalysisError
from experiments import files
from experiments.sentences import shown

FORMAT = 3  # of the files that `save` writes
DATA = "data"  # the folder of these files, in a folder of results
ABOUT = "study.json"  # names the sweep
RUNS, HISTORIES, AROUND, DECIDED = "runs.jsonl", "metrics.csv", "surroundings.json", "matches/*.npz"
SUMS = "SHA256SUMS"  # of all of them, as `sha256sum --check` reads it


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Raises AnalysisError, with the file's name, for whatever a reader finds wrong in it."""
    try:
        yield
    except (ValueError, TypeError, LookupError, RecursionError, OverflowError, csv.Error) as error:
        reason = shown(" ".join(str(error).split()), 200)
        raise AnalysisError(
            f"{path} is damaged ({reason}); bring back the files that `python -m analysis paper` wrote there"
        ) from error


def check_whole(folder: Path) -> None:
    """Raises AnalysisError where a file is lacking, or is not the one that was written."""
    try:
        flaw = _flaw(folder)
    except OSError as error:
        flaw = f"{error.filename}: {error.strerror}"
    if flaw:
        raise AnalysisError(
            f"{folder} holds no whole study ({flaw}); bring back the files that `python -m analysis paper` wrote there"
        )


def _flaw(folder: Path) -> str:
    if not (folder / SUMS).is_file():
        return f"{SUMS} is not there"
    lines = (line.partition("  ") for line in (folder / SUMS).read_text(errors="replace").splitlines())
    sums = {name: digest for digest, _, name in lines}
    for name in dict.fromkeys((*written(folder), *sums)):
        if not (folder / name).is_file():
            return f"{name} is not there"
        if sums.get(name) != files.digest(folder / name):
            return f"{name} is not as it was written"
    return ""


def written(folder: Path) -> list[str]:
    """Returns the files that a study's folder has, but for the sums."""
    decided = sorted(path.relative_to(folder).as_posix() for path in folder.glob(DECIDED))
    return [ABOUT, RUNS, HISTORIES, AROUND, *decided]


def studies_near(folder: Path) -> list[Path]:
    """Returns the folders that hold a study: those in this one, else beside it, else that which it lies in."""
    for around in (folder, folder.parent):
        if found := sorted(path.parent.parent for path in around.glob(f"[!.]*/{DATA}/{ABOUT}")):
            return found
    return [folder.parent] if (folder.parent / DATA / ABOUT).is_file() else []
