"""Stop requests, stored as files that the supervisor of a trial polls, on any machine."""

from pathlib import Path

from experiments import files

DRAIN, NOW = "drain", "now"  # after the epoch that runs, or at once


def ask(folder: Path, how: str) -> None:
    """Asks a trial, or all jobs of a launch, to stop; a request to stop NOW is not weakened to DRAIN."""
    path = folder / "stop"
    if not path.exists() or how == NOW:
        files.write(path, how)


def asked(*folders: Path) -> str | None:
    """Returns the most urgent request in any of the folders, None if there is none."""
    requests = [_read(path) for folder in folders if (path := folder / "stop").exists()]
    return NOW if NOW in requests else DRAIN if requests else None


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, ValueError):  # damaged, or removed meanwhile: the file itself is a request
        return DRAIN
