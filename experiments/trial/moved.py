"""An output folder that was moved or copied: what its files say of its old place is read as of the new one."""

import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from experiments import sqlite_uri
from experiments.paths import OutputPaths


def here(config: dict[str, Any], outputs: Path) -> dict[str, Any]:
    """Returns a trial's frozen configuration as of the output folder that it lies in now.

    Args:
        config: resolved.
        outputs: the folder. A store that was in the folder is still in it, another stays where it is.
    """
    then = Path(config["output_dir"])
    uri = sqlite_uri.of_typed(config["tracking"]["uri"], then)
    file = sqlite_uri.file(uri)
    if file and file.is_relative_to(then):
        uri = sqlite_uri.of(outputs / file.relative_to(then))
    return config | {"output_dir": str(outputs), "tracking": config["tracking"] | {"uri": uri}}


def settle(uri: str) -> None:
    """Has the store in an output folder name the folder's artifacts where they are now.

    MLflow keeps whole paths, and has no function that changes them. What is not in the folder stays as it is.
    """
    file = sqlite_uri.file(uri)
    if file is None or not file.is_file():
        return
    artifacts = OutputPaths(file.absolute().parent).artifacts
    # What is no store yet, or a broken one, MLflow makes or is told by whoever opens it next.
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
    """Returns whether an experiment's artifacts were in the folder that is here now, by all that tells."""
    place = _path(then)
    if place.name != now.name or then == now.as_uri():
        return False
    return now.is_dir() or not place.parent.is_dir()


def _path(uri: str | None) -> Path:
    parts = urlsplit(uri or "")
    return Path(unquote(parts.path)) if parts.scheme in ("", "file") else Path()
