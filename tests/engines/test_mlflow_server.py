"""A real MLflow server over a real PostgreSQL: whatever happens to either, the record is as if nothing had happened."""

import os
import re
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from experiments import names
from experiments.commands import Place
from experiments.errors import UserError
from experiments.mlflow_store.runs import Store, deliver
from experiments.paths import TrialPaths
from tests.support import harness
from tests.support.engines.commands import Command, TrialFolder, start, wait_for
from tests.support.engines.postgres import ENCODED, PASSWORD, Database, programs
from tests.support.engines.served import Served

pytest.importorskip("psycopg", reason="psycopg is not installed: make test-engines")
pytestmark = pytest.mark.filterwarnings("ignore")

EPOCHS = 5
TRIAL = ("seed=0", f"schedule.epochs={EPOCHS}")
ONE_THREAD = {"OMP_NUM_THREADS": "1"}  # the last bits of a sum follow the number of threads
# how tags begin that tell of a time or of one folder
OF_ONE_RECORD = (
    names.RECORD,
    names.PLANNED,
    names.ASKED,
    names.SETTLED,
    names.WRITTEN,
    "commit",
    "mlflow.note.content",
)


@pytest.fixture(scope="module")
def database() -> Iterator[Database]:
    if os.getuid() or programs() is None:
        pytest.skip("a PostgreSQL of our own needs root and the packages that `make test-engines` installs")
    made = Database()
    try:
        made.create()
        made.start()
        made.add()
        yield made
    finally:
        made.remove()


@pytest.fixture(scope="module")
def server(database: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = Served(tmp_path_factory.mktemp("server"), "server", MLFLOW_BACKEND_STORE_URI=database.uri)
    served.start()
    yield served
    served.kill()


@dataclass(frozen=True)
class Record:
    """What a store has of a trial."""

    client: MlflowClient
    run: Run

    @property
    def tags(self) -> dict[str, str]:
        return {key: value for key, value in self.run.data.tags.items() if not key.startswith(OF_ONE_RECORD)}

    @property
    def points(self) -> list[tuple[str, int, float, int]]:
        """The histories of all metrics as (name, step, value, time), sorted."""
        return sorted(
            (point.key, point.step, point.value, point.timestamp)
            for name in self.run.data.metrics
            for point in self.client.get_metric_history(self.run.info.run_id, name)
        )

    def files(self, folder: str | None = None) -> set[str]:
        """The paths of all artifacts."""
        found = set()
        for file in self.client.list_artifacts(self.run.info.run_id, folder):
            found |= self.files(file.path) if file.is_dir else {file.path}
        return found


def recorded(uri: str) -> Record:
    """Returns what a store has of its only trial."""
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(names.EXPERIMENT)
    (run,) = client.search_runs([experiment.experiment_id]) if experiment else ()
    return Record(client, run)


def has_all(uri: str, trial: TrialFolder) -> bool:
    """Returns whether a store has all that a trial's journal has now, and so nothing is being sent."""
    try:
        found = recorded(uri)
    except ValueError:  # no run yet
        return False
    return "host" in found.tags and set(harness.journal_metrics(trial.root)) <= set(found.points)


def to_all(trial: TrialFolder, number: signal.Signals) -> None:
    """Sends a signal to all processes of a trial's training."""
    for process in harness.processes_of(trial.root):
        os.kill(process, number)


@dataclass
class Disturbed:
    """A trial during which now the database, now the server was gone."""

    command: Command
    alone: dict[str, int] = field(default_factory=dict)  # epochs made meanwhile, by when that was
    status_before_sync: str = ""
    points_before_sync: int = 0

    @property
    def trial(self) -> TrialFolder:
        return self.command.trial(0)


@pytest.fixture(scope="module")
def undisturbed(output_folder: Callable[[], Path], clean_up: list[Command]) -> Command:
    """The same trial, recorded in a file; it runs beside the other."""
    command = start(output_folder(), *TRIAL, environment=ONE_THREAD, trains=True)
    clean_up.append(command)
    return command


@pytest.fixture(scope="module")
def disturbed(
    undisturbed: Command, server: Served, database: Database, output_folder: Callable[[], Path], clean_up: list[Command]
) -> Disturbed:
    command = start(
        output_folder(), *TRIAL, "tracking=server", f"tracking.uri={server.uri}", environment=ONE_THREAD, trains=True
    )
    clean_up.append(command)
    told = Disturbed(command)
    trial = told.trial

    def train_alone(when: str, more: int) -> None:
        """Waits for some more epochs and holds the training there."""
        before = len(trial.steps)
        to_all(trial, signal.SIGCONT)
        wait_for(lambda: len(trial.steps) >= before + more or not command.running())
        to_all(trial, signal.SIGSTOP)
        assert command.running(), command.text
        told.alone[when] = len(trial.steps) - before

    wait_for((trial.root / "config.yaml").exists)  # it is planned: the store was there then
    database.stop()
    train_alone("start", 1)
    database.start()
    wait_for(lambda: has_all(server.uri, trial))

    server.kill()
    train_alone("middle", 2)
    server.start()
    wait_for(lambda: has_all(server.uri, trial))

    server.kill()
    to_all(trial, signal.SIGCONT)
    command.wait()
    server.start()
    record = recorded(server.uri)
    told.status_before_sync, told.points_before_sync = record.run.info.status, len(record.points)
    done = harness.run("-m", "experiments", "sync", f"--output-dir={command.outputs}")
    assert (done.returncode, done.stderr) == (0, "")
    assert "1 trials in MLflow match their folders" in done.stdout
    return told


def test_training_goes_on_without_database_and_server(disturbed: Disturbed) -> None:
    assert disturbed.command.code == 0, disturbed.command.text
    assert disturbed.trial.statuses == ["FINISHED"]
    assert disturbed.alone.keys() == {"start", "middle"}
    assert min(disturbed.alone.values()) > 0


def test_each_trouble_is_told_once(disturbed: Disturbed) -> None:
    text = disturbed.command.text
    told = re.findall(r"MLflow does not accept its record now \((.*?)\); training continues", text)
    assert len(told) == 3
    assert "HTTP error 503" in told[0]
    assert told[1:] == ["Connection refused"] * 2
    assert len(re.findall(r"MLflow's record is incomplete \(Connection refused\); \S+ has all", text)) == 1
    assert "Traceback" not in text


def test_sync_had_something_to_deliver(disturbed: Disturbed) -> None:
    assert disturbed.status_before_sync == "RUNNING"
    assert disturbed.points_before_sync < len(harness.journal_metrics(disturbed.trial.root))


@pytest.fixture(scope="module")
def record(disturbed: Disturbed, server: Served) -> Record:
    """What the server has in the end."""
    return recorded(server.uri)


def test_record_is_as_if_nothing_had_happened(record: Record, undisturbed: Command) -> None:
    assert undisturbed.wait().code == 0, undisturbed.text
    other = recorded(harness.store(undisturbed.outputs))
    assert (record.run.info.status, record.run.info.run_name) == ("FINISHED", other.run.info.run_name)
    assert record.run.data.params == other.run.data.params
    assert record.tags == other.tags
    source = {"provenance/0001.diff"}  # there where the source is not as committed, as of then
    assert record.files() - source == other.files() - source
    assert harness.repeatable(record.points) == harness.repeatable(other.points)
    assert [point[:2] for point in record.points] == [point[:2] for point in other.points]
    assert {step for name, step, *_ in record.points if name == "bbox/AP"} == set(range(1, EPOCHS + 1))


def test_record_is_what_the_folder_has(record: Record, disturbed: Disturbed, tmp_path: Path) -> None:
    journal = harness.journal_metrics(disturbed.trial.root)
    others = [point for point in record.points if point not in journal]
    assert sorted([*journal, *others]) == record.points
    assert {name.partition("/")[0] for name, *_ in others} == {"cost"}  # what the trial took as a whole
    for file in record.files():
        copy = Path(record.client.download_artifacts(record.run.info.run_id, file, str(tmp_path)))
        assert copy.read_bytes() == (disturbed.trial.root / file).read_bytes()


def test_server_with_passwords_serves_those_who_have_one(
    disturbed: Disturbed, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow's own users and passwords, kept in the same PostgreSQL."""
    database.add("users")
    users = tmp_path / "users.ini"
    place = database.uri.replace("/runs", "/users").replace("%", "%%")
    users.write_text(f"[mlflow]\ndefault_permission = READ\nadmin_username = admin\ndatabase_uri = {place}\n")
    served = Served(
        tmp_path,
        "server",
        MLFLOW_BACKEND_STORE_URI=database.uri,
        MLFLOW_AUTH_CONFIG_PATH=str(users),
        MLFLOW_AUTH_ADMIN_PASSWORD="a long password",
        MLFLOW_FLASK_SERVER_SECRET_KEY="a key",
    )
    served.start()
    config = {"output_dir": str(tmp_path), "tracking": {"uri": served.uri, "experiment": "locked"}}
    try:
        with pytest.raises(UserError, match="401"):
            Store(Place.of(config))
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "admin")
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "a long password")
        store = Store(Place.of(config))
        deliver(store, TrialPaths(disturbed.trial.root))
        (run,) = store.client.search_runs([store.experiment_id])
        assert run.info.status == "FINISHED"
    finally:
        served.kill()


def test_password_of_the_database_is_shown_nowhere(server: Served, database: Database) -> None:
    """Neither to those who may list processes nor in the log."""
    assert server.process is not None
    processes = [psutil.Process(server.process.pid), *psutil.Process(server.process.pid).children(recursive=True)]
    assert len(processes) > 1
    shown = server.log.read_text() + "".join(word for process in processes for word in process.cmdline())
    assert [secret for secret in (PASSWORD, ENCODED) if secret in shown] == []


MISTAKES = {
    "database": ("/runs", "/others", 'database "others" does not exist'),
    "password": (ENCODED, "wrong", "password authentication failed"),
    "host": ("@127.0.0.1", "@127.0.0.2", "Connection refused"),
}


@pytest.mark.parametrize("wrong", MISTAKES)
def test_database_that_cannot_be_used_is_told_in_a_sentence(database: Database, wrong: str, tmp_path: Path) -> None:
    right, mistaken, words = MISTAKES[wrong]
    served = Served(tmp_path, "server", MLFLOW_BACKEND_STORE_URI=database.uri.replace(right, mistaken))
    served.begin()
    assert served.process is not None
    assert served.process.wait(60) == 2
    told, of_make = served.log.read_text().splitlines()
    assert of_make.startswith("make: *** ")
    assert told.startswith("error: the database postgresql+psycopg://mlflow:***@")
    assert words in told
