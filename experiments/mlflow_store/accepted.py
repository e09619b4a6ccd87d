"""Checks an MLflow store without writing to it: first its address, then whether it answers."""

import os
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from experiments import output_folder, passwords, sqlite_uri
from experiments.commands import Place, installs
from experiments.errors import UserError
from experiments.sentences import is_printable, shown

if TYPE_CHECKING:
    from mlflow import MlflowClient

KINDS = "sqlite:///PATH, http://HOST:PORT, or a database such as postgresql+psycopg://HOST/NAME"
DATABASES = ("postgresql", "mysql", "mssql")
LONGEST_NAME = 200  # characters of an experiment's name
HEADER = b"SQLite format 3\0"


class UnusableError(UserError):
    """A store that cannot be opened."""

    def __init__(self, told: str, what: str) -> None:
        super().__init__(told)
        self.what = what  # the reason, without the rest of the sentence


def accept_of(places: Iterable[Place]) -> None:
    """Raises UserError if trials of one command have several stores, or one that is not accepted."""
    stores = sorted({(str(place.uri), str(place.experiment)) for place in places})
    if len(stores) > 1:
        raise UserError(
            f"{' and '.join(map(' '.join, stores))} are {len(stores)} stores; one command writes to one store"
        )
    (uri, experiment), *_ = stores
    if not experiment.strip() or not is_printable(experiment) or len(experiment) > LONGEST_NAME:
        raise UserError(
            f"tracking.experiment={shown(experiment)} is refused; give a name of 1 to {LONGEST_NAME} characters"
        )
    accept(uri)


def judge(place: Place) -> None:
    """Raises UserError if a store does not answer, is damaged, or its experiment was deleted; nothing is written."""
    from experiments.mlflow_store import store_file
    from experiments.mlflow_store.client import MlflowClient

    uri = str(place.uri)
    file = sqlite_uri.file(uri)
    try:
        if file:
            found = store_file.judge(file, place).schema
        elif not uri.startswith("http"):
            found = schema(uri)
        if uri.startswith("http") or found == store_file.newest_schema():  # otherwise it is created or upgraded later
            experiment(MlflowClient(uri), place)
    except UserError:
        raise
    except Exception as error:  # of MLflow, SQLAlchemy or a driver
        raise unusable(uri, error) from error


def schema(uri: str) -> str | None:
    """Returns the MLflow schema of a database, None if it has no tables yet."""
    from alembic.migration import MigrationContext
    from sqlalchemy import create_engine

    engine = create_engine(uri)
    try:
        with engine.connect() as connection:
            return MigrationContext.configure(connection).get_current_revision()
    finally:
        engine.dispose()


def experiment(client: "MlflowClient", place: Place) -> str | None:
    """Returns the id of the experiment of a store, None if there is none; UserError if it was deleted."""
    found = client.get_experiment_by_name(str(place.experiment))
    if found is None or found.lifecycle_stage == "active":
        return str(found.experiment_id) if found else None
    command = place.mlflow("experiments", "restore", "--experiment-id", str(found.experiment_id))
    raise UserError(
        f"the experiment {shown(place.experiment)} was deleted in {place.uri}; restore it: {command}, or give another "
        "tracking.experiment"
    )


def unusable(uri: str, error: Exception) -> UnusableError:
    """Returns the error for a store with a valid address that cannot be opened."""
    from experiments.mlflow_store import texts

    what, remedy = texts.trouble(error), "start it, or use tracking=sqlite"
    if uri.startswith("sqlite:"):
        remedy = f"give {KINDS}"
    elif isinstance(error, ImportError):
        remedy = f"install its driver (PostgreSQL's: {installs('server')}), or use tracking=sqlite"
    return UnusableError(f"the MLflow store {_source(uri)} cannot be used ({what}); {remedy}", what)


def accept(uri: str) -> None:
    """Raises UserError for an address that cannot be a store's, without contacting the store."""
    kind = uri.partition(":")[0]
    reason = None
    if kind == "sqlite":
        reason = _file(uri)
    elif kind in ("http", "https"):
        reason = _server(uri)
    elif kind.partition("+")[0] not in DATABASES or not re.match(r"[\w+]+://.", uri):
        reason = "because it is not the address of a store"
    if reason:
        raise UserError(f"{_source(uri)} cannot be used, {reason}; give {KINDS}, or leave it out")


def _file(uri: str) -> str | None:
    """Returns why a file's address cannot be a store's."""
    path = sqlite_uri.file(uri)
    if path is None:
        return "because it names no file"
    nearest = next(one for one in (path.absolute(), *path.absolute().parents) if one.exists())
    if nearest == path.absolute():
        if not path.is_file():
            return f"because {path} is not a file"
        with path.open("rb") as file:
            start = file.read(len(HEADER))
        cut_or_empty = start in (HEADER[: len(start)], bytes(len(start)))  # a damaged store gets another error
        return None if cut_or_empty else f"because {path} is not an SQLite database"
    return None if output_folder.takes_files(nearest) else f"because {nearest} is not a folder that can be written to"


def _server(uri: str) -> str | None:
    """Returns why an address cannot be a server's."""
    try:
        parts = urlsplit(uri)
        return None if parts.hostname and parts.port != 0 else "because it names no host"
    except ValueError as error:  # of an invalid port
        return f"because {str(error)[0].lower()}{str(error)[1:]}"


def _source(uri: str) -> str:
    """Returns an address without its password, with the setting that it comes from."""
    given = (name for name in ("MLFLOW_TRACKING_URI", "MLFLOW_BACKEND_STORE_URI") if uri == os.environ.get(name))
    name = next(given, "tracking.uri")
    return f"{name}={shown(passwords.hidden(uri), 200)}"
