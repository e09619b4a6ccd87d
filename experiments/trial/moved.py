"""Handles an output folder that was moved or copied: old paths in its files are read as paths in the new place."""

import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from experiments import sqlite_uri
from experiments.paths import OutputPaths


def here(config: dict[str, Any], outputs: Path) -> dict[str, Any]:
    """Returns a trial's frozen configuration with the paths of its present output folder.

    Args:
        config: resolved.
        outputs: the folder. A store that was in the old folder is in this one; any other keeps its address.
    """
    then = Path(config["output_dir"])
    uri = sqlite_uri.of_typed(config["tracking"]["uri"], then)
    file = sqlite_uri.file(uri)
    if file and file.is_relative_to(then):
        uri = sqlite_uri.of(outputs / file.relative_to(then))
    return config | {"output_dir": str(outputs), "tracking": config["tracking"] | {"uri": uri}}


def settle(uri: str) -> None:
    """Changes the paths of artifacts in an output folder's store to where the artifacts are now.

    MLflow stores absolute paths, and has no function that changes them. Paths outside the folder stay as they are.
    """
    file = sqlite_uri.file(uri)
    if file is None or not file.is_file():
        return
    artifacts = OutputPaths(file.absolute().parent).artifacts
    # If the file is not a store yet, or is broken, the code that opens it next reports it.
    with suppress(sqlite3.DatabaseError), closing(sqlite3.connect(file)) as store, store:
        for number, then in store.execute("SELECT experiment_id, artifact_location FROM experiments").fetchall():
            if _has_moved(then, artifacts):
                now = artifacts.as_uri()
                store.execute("UPDATE experiments SET artifact_location = ? WHERE experiment_id = ?", (now, number))
        for run, then in store.execute("SELECT run_uuid, artifact_uri FROM runs").fetchall():
            place = artifacts / run / "artifacts"
            if then != place.as_uri() and _path(then).parts[-3:] == place.parts[-3:] and place.is_dir():
                store.execute("UPDATE runs SET artifact_uri = ? WHERE run_uuid = ?", (place.as_uri(), run))


def _has_moved(then: str, now: Path) -> bool:
    """Returns whether an experiment's artifacts were in this folder before it was moved, as far as is known."""
    place = _path(then)
    if place.name != now.name or then == now.as_uri():
        return False
    return now.is_dir() or not place.parent.is_dir()


def _path(uri: str | None) -> Path:
    parts = urlsplit(uri or "")
    return Path(unquote(parts.path)) if parts.scheme in ("", "file") else Path()
