"""Wishes that trials stop, left as files where those who run them look, on whatever machine."""

from pathlib import Path

from experiments import files

DRAIN, NOW = "drain", "now"  # after the epoch that runs, or at once


def ask(folder: Path, how: str) -> None:
    """Asks a trial, or all jobs of a launch, to stop; what was asked to stop NOW is not taken back to DRAIN."""
    path = folder / "stop"
    if not path.exists() or how == NOW:
        files.write(path, how)


def asked(*folders: Path) -> str | None:
    """Returns the gravest wish that was left in any of the folders, None where there is none."""
    wishes = [_wish(path) for folder in folders if (path := folder / "stop").exists()]
    return NOW if NOW in wishes else DRAIN if wishes else None


def _wish(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, ValueError):  # damaged, or taken back meanwhile; that it is there is a wish
        return DRAIN
