"""`make ui` and `make server`: what they start, and a sentence with exit code 2 where they cannot serve."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from experiments import names
from experiments.commands import Place
from experiments.errors import UserError
from experiments.mlflow_store import serving
from experiments.mlflow_store.runs import Store
from tests.support import harness

SECRET = "hush"
SERVER = "MLFLOW_BACKEND_STORE_URI"


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The environment that make gives to a user who has set nothing, in an empty folder."""
    for name in [name for name in os.environ if name.startswith("MLFLOW_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("MLFLOW_HOST", "127.0.0.1")
    monkeypatch.setenv("MLFLOW_PORT", "0")
    monkeypatch.chdir(tmp_path)


def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], **variables: str) -> str:
    """Returns the sentence with which it is refused; nothing is written."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert serving.main() == 2
    out, err = capsys.readouterr()
    assert (out, err[:7], err.count("\n")) == ("", "error: ", 1)
    assert SECRET not in err
    assert list(Path().iterdir()) == []
    return err


STORES = {
    "": f"{SERVER} is not set; name the database: {SERVER}=postgresql+psycopg://",
    f"postgres://me:{SECRET}@host/runs": f"{SERVER}=postgres://me:***@host/runs cannot be used, because it is not the",
    f"{SECRET}@host": f"{SERVER}=host cannot be used, because it is not the address of a store",
    f"postgresql+pg8000://me:{SECRET}/@x@host/runs": "pip install -c constraints.txt -e '.[server]'",
    f"http://me:{SECRET}@host:5000": "http://me:***@host:5000 is a running server; open that address",
    "sqlite:///outputs/mlflow.db": "outputs/mlflow.db does not exist; run.py creates it with the first trial",
}


@pytest.mark.parametrize("uri", STORES)
def test_store_that_cannot_be_served_is_named(
    uri: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert STORES[uri] in refused(monkeypatch, capsys, MLFLOW_BACKEND_STORE_URI=uri)


def test_port_that_cannot_be_used_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        told = refused(monkeypatch, capsys, MLFLOW_PORT=port)
    assert f"cannot listen at 127.0.0.1:{port} (Address already in use); set MLFLOW_HOST and MLFLOW_PORT" in told
    for port in ("five", "70000", ""):
        assert f"127.0.0.1:{port} (" in refused(monkeypatch, capsys, MLFLOW_PORT=port)


@pytest.mark.filterwarnings("ignore")
def test_file_that_is_no_store_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where its first bytes are those of a database too."""
    for start, sentence in ((b"text", "is not an SQLite database"), (b"SQLite format 3\0", "is damaged (")):
        (tmp_path / "mlflow.db").write_bytes(start + b"these are no runs, but a text that is long enough\n" * 50)
        monkeypatch.setenv(SERVER, harness.store(tmp_path))
        assert serving.main() == 2
        assert sentence in capsys.readouterr().err
        with pytest.raises(UserError, match=sentence.partition(" (")[0]):
            Store(Place(tmp_path, harness.store(tmp_path), "groie"))


def test_address_of_the_runs_is_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], output_folder: Callable[[], Path]
) -> None:
    outputs = output_folder()
    store = Store(Place(outputs, harness.store(outputs), "groie"))
    monkeypatch.setenv(SERVER, store.uri)
    monkeypatch.setenv("MLFLOW_HOST", "0.0.0.0")
    assert serving.main() == 0
    runs = f"/#/experiments/{store.experiment_id}/runs?viewStateShareKey=ap&workflowType=machine_learning"
    assert capsys.readouterr().out == f"http://127.0.0.1:0{runs}\n"


MLFLOW = """import os, sys
if sys.argv[1:3] == ["-m", "experiments.mlflow_store.serving"]:
    sys.exit(int(os.environ.get("REFUSED", "0")))
names = ("BACKEND_STORE_URI", "HOST", "PORT", "SERVER_ENABLE_JOB_EXECUTION")
print(*sys.argv[1:], *(os.environ.get("MLFLOW_" + name) for name in names))
"""


@pytest.fixture
def made(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Gives make a folder whose Python only says what it is asked to run."""
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    python = tmp_path / ".venv" / "bin" / "python"
    python.write_text(f"#!{sys.executable}\n{MLFLOW}")
    python.chmod(0o755)

    def make(target: str, **variables: str) -> subprocess.CompletedProcess[str]:
        command = ["make", "-s", "-f", str(harness.ROOT / "Makefile"), "-o", "setup", target]
        environment = {**harness.of_nobody(), **variables}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    return make


def test_make_starts_mlflow(made: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """The database's address, whatever signs are in it, stays out of the command line."""
    rest = "127.0.0.1 5000 false\n"
    assert made("ui").stdout == f"-m mlflow ui --workers 1 sqlite:///outputs/mlflow.db {rest}"
    for nothing in ("", " "):
        assert f" {names.DEFAULT_TRACKING_URI} " in made("ui", MLFLOW_TRACKING_URI=nothing).stdout
    other = "sqlite:////my $(store)/runs #1.db"
    assert made("ui", MLFLOW_TRACKING_URI=other).stdout == f"-m mlflow ui --workers 1 {other} {rest}"
    uri = "postgresql+psycopg://me:h$u%40sh'@host/runs"
    assert made("server", **{SERVER: uri}).stdout == f"-m mlflow server {uri} {rest}"
    failed = made("ui", REFUSED="2")
    assert (failed.returncode, failed.stdout) == (2, "")


def test_server_is_for_this_machine_unless_told(made: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """Whoever opens it to others without passwords is told what that means."""
    for host, warned in {"127.0.0.1": False, "localhost": False, "::1": False, "0.0.0.0": True, "gpu7": True}.items():
        assert ("may read, change and delete every run" in made("server", MLFLOW_HOST=host).stdout) == warned
    refused = made("server", MLFLOW_AUTH_CONFIG_PATH="users.ini")
    assert refused.returncode == 2
    assert refused.stderr.startswith("error: MLFLOW_AUTH_CONFIG_PATH=users.ini is not a file; ")
    Path("users.ini").write_text("[mlflow]\n")
    served = made("server", MLFLOW_AUTH_CONFIG_PATH="users.ini", MLFLOW_HOST="0.0.0.0")
    assert served.stdout == "-m mlflow server --app-name basic-auth None 0.0.0.0 5000 false\n"
