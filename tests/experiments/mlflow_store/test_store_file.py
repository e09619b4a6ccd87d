"""MLflow's file survives whatever happens while it is made or upgraded, and is filled again where it was damaged."""

import multiprocessing
import os
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import mlflow
import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from mlflow import MlflowClient
from mlflow.store.tracking.dbmodels.initial_models import Base
from sqlalchemy import create_engine, event
from sqlalchemy.engine import Engine

from experiments.__main__ import main
from experiments.commands import Place
from experiments.errors import UserError
from experiments.mlflow_store.runs import Store
from experiments.trial import stop_requests
from tests.support import harness, prepared
from tests.support.running import Fake, Preloaded, wait_for

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.usefixtures("empty_store")]  # MLflow's start was made

MOMENTS = 12
MIGRATIONS = str(Path(mlflow.__file__).parent / "store" / "db_migrations")


def opened(outputs: Path) -> Store:
    return Store(Place(outputs, harness.store(outputs), "groie"))


def apart(work: Callable[[], object], seconds: float | None = None) -> int | None:
    """Runs something in another process, kills it after so many seconds, and returns its exit code."""
    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    process.join(seconds)
    process.kill()
    process.join()
    return process.exitcode


def killed_before(statement: str, number: int = 1) -> None:
    """Has this process kill itself before it gives a database the statement of this number that holds a text."""
    seen = 0

    @event.listens_for(Engine, "before_cursor_execute")
    def _(connection: object, cursor: object, text: str, *_: object) -> None:
        nonlocal seen
        seen += statement in text
        if seen >= number:
            os.kill(os.getpid(), signal.SIGKILL)


def names(outputs: Path) -> list[str]:
    return sorted(path.name for path in outputs.iterdir())


@pytest.mark.long
def test_store_of_a_process_killed_while_making_it_is_made_by_the_next(tmp_path: Path) -> None:
    begun = time.monotonic()
    assert apart(lambda: opened(tmp_path / "timed")) == 0
    whole = time.monotonic() - begun
    assert names(tmp_path / "timed") == ["mlflow.db", "store.lock"]
    outputs = tmp_path / "killed"
    ends = [apart(lambda: opened(outputs), whole * moment / MOMENTS) for moment in range(MOMENTS)]
    assert -signal.SIGKILL in ends
    assert opened(outputs).client.search_runs(["0"]) == []
    assert names(outputs) == ["mlflow.db", "store.lock"]


def half_made(outputs: Path, statement: str) -> bytes:
    """Has MLflow itself make a store and killed before a statement; returns what it left."""

    def make() -> None:
        killed_before(statement)
        MlflowClient(harness.store(outputs)).search_experiments()

    assert apart(make) == -signal.SIGKILL
    return (outputs / "mlflow.db").read_bytes()


@pytest.mark.parametrize("statement", ["CREATE TABLE runs", "DROP TABLE"])
def test_store_that_mlflow_left_half_made_is_put_aside(
    statement: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    left = half_made(tmp_path, statement)
    if statement == "DROP TABLE":  # the other is completed by MLflow itself
        with pytest.raises(Exception, match=r"sqlite3\.OperationalError"):
            MlflowClient(harness.store(tmp_path)).search_experiments()
    (tmp_path / "mlflow.db").write_bytes(left)
    assert opened(tmp_path).client.search_runs(["0"]) == []
    (aside,) = (path for path in tmp_path.iterdir() if ".broken-" in path.name)
    assert aside.read_bytes() == left
    (told,) = capsys.readouterr().out.splitlines()
    assert told.startswith(f"{tmp_path}/mlflow.db was broken and held no runs: ")
    assert told.endswith(f": it was renamed to {aside.name}, and a new file is created")


@pytest.fixture(scope="module")
def old_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of an older MLflow with a run in it."""
    outputs = tmp_path_factory.mktemp("old")
    scripts = ScriptDirectory(MIGRATIONS)
    revision = scripts.get_revision(scripts.get_current_head()).down_revision
    assert isinstance(revision, str)
    engine = create_engine(harness.store(outputs))
    Base.metadata.create_all(engine)
    settings = Config()
    settings.set_main_option("script_location", MIGRATIONS)
    with engine.begin() as connection:
        settings.attributes["connection"] = connection
        command.upgrade(settings, revision)
    engine.dispose()
    with closing(sqlite3.connect(outputs / "mlflow.db")) as written, written:
        written.execute("INSERT INTO experiments (experiment_id, name, lifecycle_stage) VALUES (1, 'groie', 'active')")
        run = "run_uuid, name, status, lifecycle_stage, experiment_id, artifact_uri, start_time, source_type, user_id"
        values = "'0f', 'mine', 'FINISHED', 'active', 1, 'file:///a', 5, 'LOCAL', 'me'"
        written.execute(f"INSERT INTO runs ({run}) VALUES ({values})")
    return outputs / "mlflow.db"


def schema(outputs: Path) -> str:
    with closing(sqlite3.connect(outputs / "mlflow.db")) as file:
        return file.execute("SELECT version_num FROM alembic_version").fetchone()[0]


def test_store_of_a_process_killed_while_upgrading_it_is_unchanged(old_store: Path, tmp_path: Path) -> None:
    shutil.copy(old_store, tmp_path)
    for number in (1, 3, 6, 9):

        def upgrade(number: int = number) -> None:
            killed_before("", number)
            opened(tmp_path)

        assert apart(upgrade) == -signal.SIGKILL
        assert (tmp_path / "mlflow.db").read_bytes() == old_store.read_bytes()
    store = opened(tmp_path)
    assert schema(tmp_path) != schema(old_store.parent)
    assert [run.info.run_name for run in store.client.search_runs([store.experiment_id])] == ["mine"]
    assert names(tmp_path) == ["mlflow.db", "store.lock"]


def test_store_of_a_later_mlflow_is_left_alone(old_store: Path, tmp_path: Path) -> None:
    shutil.copy(old_store, tmp_path)
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as written, written:
        written.execute("UPDATE alembic_version SET version_num = 'of tomorrow'")
    before = (tmp_path / "mlflow.db").read_bytes()
    with pytest.raises(
        UserError, match=r"does not fit this version of MLflow \(Can't locate revision .*of tomorrow.*move it away"
    ):
        opened(tmp_path)
    assert (tmp_path / "mlflow.db").read_bytes() == before


def test_database_of_something_else_is_left_alone(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as written, written:
        written.execute("CREATE TABLE bookmarks (address TEXT)")
    before = (tmp_path / "mlflow.db").read_bytes()
    with pytest.raises(UserError, match=r"mlflow\.db is a database of another program"):
        opened(tmp_path)
    assert (tmp_path / "mlflow.db").read_bytes() == before


@pytest.mark.parametrize("small_disk", ["400k"], indirect=True)
def test_full_disk_leaves_nothing_that_is_in_the_way(small_disk: Path) -> None:
    with pytest.raises(UserError, match="disk is full"):
        opened(small_disk)
    subprocess.run(["mount", "-o", "remount,size=4m", str(small_disk)], check=True)
    assert opened(small_disk).client.search_runs(["0"]) == []
    assert names(small_disk) == ["mlflow.db", "store.lock"]


def cut(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def overwrite(file: Path) -> None:
    """Loses all but the first pages, which say which tables there are."""
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 8] + b"\xa5" * (len(content) - len(content) // 8))


def recorded(outputs: Path) -> list[tuple]:
    runs = sorted(harness.runs(outputs), key=lambda run: run.data.params["seed"])
    client = harness.client(outputs)
    return [
        (
            {key: value for key, value in run.data.tags.items() if key != "mlflow.artifactLocation"},
            (run.data.params, run.info.status, run.info.start_time, run.info.end_time),
            harness.mlflow_metrics(outputs, run),
            sorted(file.path for file in client.list_artifacts(run.info.run_id)),
        )
        for run in runs
    ]


@pytest.mark.parametrize(
    "damage", [lambda content: content[:10], lambda content: bytes(len(content))], ids=["10 bytes", "zeros"]
)
def test_truncated_or_zeroed_store_is_reported_as_damaged(
    damage: Callable[[bytes], bytes], empty_store: Path, tmp_path: Path
) -> None:
    (tmp_path / "mlflow.db").write_bytes(damage(empty_store.read_bytes()))
    with pytest.raises(UserError, match=r"mlflow\.db is damaged \(file is not a database\); move it away"):
        opened(tmp_path)


@pytest.mark.parametrize("damage", [cut, overwrite])
def test_damaged_store_is_told_and_made_again_from_the_folders(
    damage: Callable[[Path], None],
    output_folder: Callable[[], Path],
    preloaded: Preloaded,
    capsys: pytest.CaptureFixture[str],
) -> None:
    outputs = output_folder()
    for seed in (0, 1):
        prepared.finished(outputs, seed=seed)
    sync = ["sync", "--output-dir", str(outputs)]
    assert main(sync) == 0
    before = recorded(outputs)
    damage(outputs / "mlflow.db")
    capsys.readouterr()

    assert main(sync) == 2
    told = capsys.readouterr().err
    assert f"the MLflow store {outputs}/mlflow.db is damaged (" in told
    assert f"-m experiments sync --output-dir {outputs} fills a new one" in told
    planned = preloaded.run(*harness.TINY, f"output_dir={outputs}")
    assert (planned.code, "is damaged" in planned.stderr, planned.stdout) == (2, True, "")

    (outputs / "mlflow.db").rename(outputs / "damaged.db")
    assert main(sync) == 0
    assert len(before) == 2
    assert recorded(outputs) == before


def test_store_that_was_moved_away_while_a_trial_runs_is_made_again(fake: Fake) -> None:
    command = fake.start({1: "go on"})
    wait_for(lambda: fake.began(1) and fake.runs(1) and fake.runs(1)[0].data.metrics)
    (fake.outputs / "mlflow.db").rename(fake.outputs / "elsewhere.db")
    stop_requests.ask(fake.folder(1), stop_requests.DRAIN)
    command.wait()
    assert fake.statuses(1) == [(1, "KILLED")]
    fake.assert_each_epoch_once(1)
