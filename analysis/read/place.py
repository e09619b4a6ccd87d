"""Finds the output folder of the trials that are read, for the commands that messages print."""

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from analysis.read.runs import Run
from experiments import names, sqlite_uri
from experiments.commands import Place

STORE = Path(names.DEFAULT_TRACKING_URI).name  # in an output folder, unless tracking.uri names another


def place(arguments: Namespace, runs: Sequence[Run] = ()) -> Place:
    """Returns the output folder and store of the trials, as far as the command line or their runs have them.

    A folder that `paper` wrote does not have this place.
    """
    if getattr(arguments, "source", None):
        return Place()
    uri = arguments.tracking_uri
    file = sqlite_uri.file(uri)
    beside = [file.absolute().parent] if file and file.name == STORE else []
    found = [folder for folder in (*beside, *map(_outputs, runs[:1])) if folder and folder.is_dir()]
    return Place(found[0] if found else None, uri, arguments.experiment)


def _outputs(run: Run) -> Path | None:
    """Returns the output folder of a run's artifacts: FOLDER/artifacts/RUN/artifacts."""
    parts = urlsplit(run.artifacts)
    path = Path(unquote(parts.path))
    return path.parents[2] if parts.scheme in ("", "file") and len(path.parents) > 2 else None
