"""What `make ui` and `make server` say where they cannot serve: a sentence, and exit code 2."""

import os
import re
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException

from experiments.commands import Place
from experiments.errors import UserError
from experiments.mlflow_store import serving
from experiments.mlflow_store.runs import Store
from tests.support import harness

SECRET = "hush"


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The environment of a user who has set nothing, as `main` completes it, in an empty folder."""
    for name in [name for name in os.environ if name.startswith("MLFLOW_")]:
        monkeypatch.delenv(name)
    for name, value in {**serving.DEFAULTS, "MLFLOW_ARTIFACTS_DESTINATION": "artifacts"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)


def refused(what: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], **variables: str) -> str:
    """Returns the sentence with which it is refused."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MLFLOW_PORT", variables.get("MLFLOW_PORT", "0"))
    monkeypatch.setattr("sys.argv", ["serving", what])
    assert serving.main() == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert re.fullmatch("error: .*\n", printed.err)
    assert SECRET not in printed.err
    return printed.err


STORES = {
    "": "MLFLOW_BACKEND_STORE_URI is not set; name the database: MLFLOW_BACKEND_STORE_URI=postgresql+psycopg://",
    f"postgres://me:{SECRET}@host/runs": "=postgres://me:***@host/runs names no database",
    f"{SECRET}@host": "=host names no database",
    f"postgresql+pg8000://me:{SECRET}@host/runs": "pip install -c constraints.txt -e '.[server]'",
}


@pytest.mark.parametrize("uri", STORES)
def test_database_that_is_none_is_named(
    uri: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert STORES[uri] in refused("server", monkeypatch, capsys, MLFLOW_BACKEND_STORE_URI=uri)
    assert list(tmp_path.iterdir()) == []


def test_file_of_users_that_is_none_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    variables = {"MLFLOW_BACKEND_STORE_URI": "sqlite:///runs.db", "MLFLOW_AUTH_CONFIG_PATH": "users.ini"}
    assert "MLFLOW_AUTH_CONFIG_PATH=users.ini is no file" in refused("server", monkeypatch, capsys, **variables)


def test_what_mlflow_refuses_is_told_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Here the key without which its pages do not ask for passwords."""

    def serve(arguments: list[str]) -> None:
        raise MlflowException("A static secret key needs to be set.\nPlease set it")

    monkeypatch.setattr(serving, "ui", lambda: ["ui"])
    monkeypatch.setattr("mlflow.cli.cli", serve)
    assert "MLflow does not start: A static secret key needs to be set. Please" in refused("ui", monkeypatch, capsys)


def test_pages_of_a_server_are_not_served_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    told = refused("ui", monkeypatch, capsys, MLFLOW_TRACKING_URI=f"http://me:{SECRET}@host:5000")
    assert "MLFLOW_TRACKING_URI=http://me:***@host:5000" in told
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("what", ["ui", "server"])
def test_port_that_is_taken_is_named(
    what: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        told = refused(what, monkeypatch, capsys, MLFLOW_PORT=port)
    assert f"cannot listen at 127.0.0.1:{port} (Address already in use); set MLFLOW_HOST and MLFLOW_PORT" in told


@pytest.mark.parametrize("port", ["five", "70000"])
def test_port_that_is_none_is_named(
    port: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert f"127.0.0.1:{port} (" in refused("ui", monkeypatch, capsys, MLFLOW_PORT=port)


@pytest.mark.filterwarnings("ignore")
def test_file_that_is_no_store_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mlflow.db").write_text("these are no runs, but a text that is long enough\n" * 50)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", harness.store(tmp_path))
    with pytest.raises(
        UserError, match=r"the MLflow store \S+/mlflow\.db is damaged \(.*not a database\); move it away"
    ):
        serving.ui()
    with pytest.raises(UserError, match=r"=sqlite:///\S+/mlflow\.db cannot be used, because \S+ is no SQLite database"):
        Store(Place(tmp_path, harness.store(tmp_path), "groie"))


def test_pages_make_the_store_where_the_first_trial_will_find_it(tmp_path: Path) -> None:
    """And not while a trial is making it."""
    assert serving.ui() == ["ui", "--backend-store-uri", "sqlite:///outputs/mlflow.db", "--workers", "1"]
    assert harness.client(tmp_path / "outputs").get_experiment_by_name("groie") is None
    assert (tmp_path / "outputs" / "store.lock").exists()


def test_address_of_the_runs_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], output_folder: Callable[[], Path]
) -> None:
    outputs = output_folder()
    store = Store(Place(outputs, harness.store(outputs), "groie"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store.uri)
    for name, value in {"MLFLOW_HOST": "0.0.0.0", "MLFLOW_PORT": "5001"}.items():
        monkeypatch.setenv(name, value)
    serving.ui()
    runs = f"/#/experiments/{store.experiment_id}/runs?viewStateShareKey=ap&workflowType=machine_learning"
    assert capsys.readouterr().out == f"http://127.0.0.1:5001{runs}\n"


def test_server_is_for_this_machine_unless_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], empty_store: Path
) -> None:
    """Whoever opens it to others without passwords is told what that means."""
    monkeypatch.setenv("MLFLOW_BACKEND_STORE_URI", f"sqlite:///{empty_store}")
    assert serving.DEFAULTS["MLFLOW_HOST"] == "127.0.0.1"
    for host, warned in {"127.0.0.1": False, "localhost": False, "::1": False, "0.0.0.0": True, "gpu7": True}.items():
        monkeypatch.setenv("MLFLOW_HOST", host)
        assert serving.server() == ["server"]
        assert ("may read, change and delete every run" in capsys.readouterr().out) == warned
    Path("users.ini").write_text("[mlflow]\n")
    monkeypatch.setenv("MLFLOW_AUTH_CONFIG_PATH", "users.ini")
    assert serving.server() == ["server", "--app-name", "basic-auth"]
    assert "may read" not in capsys.readouterr().out


@pytest.mark.parametrize("what", ["ui", "server"])
def test_make_starts_this_program(what: str) -> None:
    shown = subprocess.run(["make", "--dry-run", what], cwd=harness.ROOT, capture_output=True, text=True, check=True)
    assert shown.stdout.splitlines()[-1] == f".venv/bin/python -m experiments.mlflow_store.serving {what}"
