"""Opens an MLflow tracking store for reading, without creating, initialising or upgrading anything in it."""

import logging
import os
import sqlite3
import textwrap
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from experiments import passwords, sqlite_uri
from experiments.errors import UserError

if TYPE_CHECKING:
    from mlflow import MlflowClient

# No log lines, and no waiting of minutes for a dead server; the user's own settings take precedence.
DEFAULTS = {
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_DISABLE_AGENT_HINT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
}
KINDS = ("sqlite:", "http:", "https:", "postgresql", "mysql", "mssql")  # of stores
# The first answer must come within 2 x 4 s.
FIRST_ANSWER = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "4"}


def nothing_recorded(uri: str) -> UserError:
    """Returns the error for a store that is absent or holds no sweep."""
    return UserError(f"no sweeps recorded yet in {passwords.hidden(uri)}; run `python run.py` first")


@contextmanager
def reading(uri: str) -> Iterator["MlflowClient"]:
    """Yields a client whose store has answered once.

    Raises UserError if nothing is recorded yet, if a server does not answer within about ten seconds or stops
    answering later, and if MLflow cannot read the URI.
    """
    if not uri.startswith(KINDS):
        raise UserError(
            f"the tracking URI {passwords.hidden(uri)} is not a kind of store; give sqlite:///PATH or "
            "http(s)://HOST:PORT"
        )
    if uri.startswith("sqlite:"):
        _check_sqlite(uri)
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    warnings.filterwarnings("ignore", module=r"(mlflow|alembic|sqlalchemy)\b")
    for noisy in ("alembic", "urllib3"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    try:
        if not uri.startswith(("sqlite:", "http")):
            _connect(uri)
        with _environment(FIRST_ANSWER):
            client = MlflowClient(tracking_uri=uri)
            client.search_experiments(max_results=1)
    except Exception as error:  # a wrong URI raises one of a dozen exception types of MLflow and the drivers
        raise _unreadable(uri, error) from error
    try:
        yield client
    except MlflowException as error:
        raise _unreadable(uri, error) from error


def _unreadable(uri: str, error: Exception) -> UserError:
    public = passwords.hidden(uri)
    text = str(error).strip() or repr(error)
    if uri.startswith(("http:", "https:")) and "failed with exception" in text:  # MLflow's words for a lost connection
        return UserError(
            f"the MLflow server {public} does not answer; start it (mlflow server) or name another --tracking-uri"
        )
    reason = textwrap.shorten(text.splitlines()[0], 160, placeholder=" ...").rstrip(".")
    return UserError(f"cannot read the tracking URI {public} ({reason}); give sqlite:///PATH or http(s)://HOST:PORT")


def _connect(uri: str) -> None:
    """Raises the driver's error if a database server cannot be reached; MLflow itself would retry for minutes."""
    from sqlalchemy import create_engine
    from sqlalchemy.engine import make_url

    engine = create_engine(make_url(uri))
    engine.connect().close()
    engine.dispose()


def _check_sqlite(uri: str) -> None:
    # MLflow creates a missing database and initialises an empty one. A reader that did so while a study starts would
    # race with the writer and can leave the file unusable. A file that has a run is complete, so look for one.
    path = sqlite_uri.file(uri)
    if path is None or not path.is_file():
        raise nothing_recorded(uri)
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        try:
            (recorded,) = connection.execute("SELECT EXISTS (SELECT 1 FROM runs)").fetchone()
        finally:
            connection.close()
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):
            raise nothing_recorded(uri) from error
        raise UserError(f"cannot read {path} ({error}); check its permissions, or try again in a moment") from error
    except sqlite3.DatabaseError as error:
        raise UserError(f"{path} is not a sqlite database ({error}); name another --tracking-uri") from error
    if not recorded:
        raise nothing_recorded(uri)


def artifacts(uri: str, run_id: str, recorded: str) -> str:
    """Returns the URI of a run's artifacts; in an output folder that was moved or copied, they are next to its store.

    Args:
        uri: of the store.
        run_id: of the run.
        recorded: the URI that the store has, with the whole path of the folder as it was.
    """
    file = sqlite_uri.file(uri)
    if file is None:
        return recorded
    moved = file.absolute().parent / "artifacts" / run_id / "artifacts"
    return moved.as_uri() if moved.is_dir() else recorded


@contextmanager
def _environment(changes: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
