"""MLflow's file: created or upgraded in memory, and written in one transaction.

MLflow creates its tables in some sixty steps, and commits each. After a kill or a full disk between two steps, MLflow
cannot open the file again. SQLite copies a whole database into a file in one transaction, and other readers see the
old or the new content.
"""

import contextlib
import errno
import sqlite3
import uuid
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib import resources
from pathlib import Path

from filelock import FileLock

from experiments import files, sqlite_uri
from experiments.commands import Place
from experiments.console import console
from experiments.errors import UserError
from experiments.trial import moved

LOCK = "store.lock"
PARTS = ("", "-journal", "-wal", "-shm")  # endings of the files of an SQLite database and its writers
WAIT_SECONDS = 20.0  # to wait for another writer, as MLflow does
BROKEN = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


@dataclass(frozen=True)
class StoreFile:
    """The content of a file."""

    tables: tuple[str, ...] = ()
    schema: str | None = None  # its version of MLflow's tables, if they are complete
    runs: bool = False  # whether it holds runs
    flaw: str | None = None  # why it cannot be read completely


@contextmanager
def prepared(uri: str, place: Place, folder_too: bool = True) -> Iterator[None]:
    """Creates a store's file if it is missing, or upgrades an older one, and holds a lock inside the block.

    An incomplete file without runs is renamed, and paths of moved artifacts are corrected. For a server or database
    only the lock is taken.

    Args:
        uri: of the store.
        place: of the trials, for commands that are printed.
        folder_too: whether a missing folder of the file is created. For a store in use, a missing folder means that its
            disk is not mounted.

    Raises UserError for a file that is damaged, was not made by MLflow, or cannot be upgraded.
    """
    file = sqlite_uri.file(uri)
    folder = file.parent if file else Path(str(place.outputs))
    if folder_too or folder == place.outputs:
        folder.mkdir(parents=True, exist_ok=True)
    elif not folder.is_dir():
        raise FileNotFoundError(errno.ENOENT, "its folder does not exist", str(folder))
    with FileLock(folder / LOCK):
        if file:
            _prepare(file, place)
            moved.settle(uri)
        yield


def judge(file: Path, place: Place) -> StoreFile:
    """Returns the content of a file, empty if there is no file; UserError if the file cannot become a store."""
    content = _read(file) if file.exists() else StoreFile()
    if content.flaw and content.runs:
        raise _damaged(file, content.flaw, place)
    if not {"experiments", "alembic_version"}.intersection(content.tables) and content.tables:
        raise UserError(f"{file} is a database of another program than MLflow; give another tracking.uri")
    return content


def _prepare(file: Path, place: Place) -> None:
    content = judge(file, place)
    if content.schema == newest_schema():
        return
    broken, made = content.flaw is not None, None
    try:
        if content.tables and not broken:
            made = _upgraded(file)
    except Exception as error:  # of MLflow, SQLAlchemy or Alembic
        if content.runs:
            raise _foreign(file, error, place) from error
        broken = True
    with closing(made or _upgraded(None)) as whole:
        if broken:
            _put_aside(file)
        with closing(sqlite3.connect(file, WAIT_SECONDS)) as written:
            whole.backup(written)


def _read(file: Path) -> StoreFile:
    """Returns the content of a file; SQLite rolls back the unfinished transaction of a killed writer."""
    tables: tuple[str, ...] = ()
    schema, runs = None, True  # until the opposite is known
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=rw", WAIT_SECONDS, uri=True)) as opened:
            tables = tuple(name for (name,) in opened.execute("SELECT name FROM sqlite_master WHERE type = 'table'"))
            if "runs" in tables:
                ((runs,),) = opened.execute("SELECT EXISTS (SELECT 1 FROM runs)")
            runs = bool(runs) and "runs" in tables
            if "alembic_version" in tables:
                schema = next(
                    (version for (version,) in opened.execute("SELECT version_num FROM alembic_version")), None
                )
            ((told,),) = opened.execute("PRAGMA quick_check(1)")
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode & 0xFF not in BROKEN:
            raise
        return StoreFile(tables, None, runs, str(error))
    return StoreFile(tables, schema, runs) if told == "ok" else StoreFile(tables, None, runs, " ".join(told.split()))


@cache
def newest_schema() -> str | None:
    """Returns the schema of the installed MLflow."""
    from alembic.script import ScriptDirectory

    return ScriptDirectory(str(resources.files("mlflow") / "store" / "db_migrations")).get_current_head()


def _upgraded(file: Path | None) -> sqlite3.Connection:
    """Returns a database in memory with the content of a file, upgraded as `mlflow db upgrade` does."""
    from mlflow.db import upgrade

    name = f"file:{uuid.uuid4().hex}?mode=memory&cache=shared"
    memory = sqlite3.connect(name, uri=True)
    try:
        if file:
            with closing(sqlite3.connect(file, WAIT_SECONDS)) as source:
                source.backup(memory)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of SQLAlchemy, to MLflow, about databases in memory
            upgrade.main([f"sqlite:///{name}&uri=true"], standalone_mode=False)
    except BaseException:
        memory.close()
        raise
    return memory


def _put_aside(file: Path) -> None:
    moment = datetime.now().strftime("%Y-%m-%d_%H-%M-%S.%f")
    kept = file.with_name(f"{file.name}.broken-{moment}")
    for end in PARTS:
        with contextlib.suppress(FileNotFoundError):
            files.move(file.with_name(file.name + end), kept.with_name(kept.name + end))
    console.print(
        f"{file} was broken and held no runs: it was renamed to {kept.name}, and a new file is created", markup=False
    )


def _damaged(file: Path, reason: str, place: Place) -> UserError:
    return UserError(f"the MLflow store {file} is damaged ({reason}); {_remedy(place)}")


def _foreign(file: Path, error: Exception, place: Place) -> UserError:
    from experiments.mlflow_store import texts

    reason = texts.trouble(error)
    return UserError(
        f"the MLflow store {file} does not fit this version of MLflow ({reason}); use the version that wrote it, or "
        f"{_remedy(place)}"
    )


def _remedy(place: Place) -> str:
    return f"move it away, then {place.sync()} fills a new one from the trials' folders"
