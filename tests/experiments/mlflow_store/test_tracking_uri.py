"""Which MLflow store is used: an empty address counts as none for every command."""

import json
import shutil
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from analysis.__main__ import parser
from experiments import names
from experiments.__main__ import main
from experiments.planning.compose import resolve
from tests.support import harness, prepared

pytestmark = pytest.mark.filterwarnings("ignore")

EMPTY = ("", " ")
SERVER = "http://127.0.0.1:5000"


@pytest.fixture(autouse=True, params=[None, *EMPTY], ids=["not set", "empty", "blank"])
def variable(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLFLOW_TRACKING_URI, in a folder without a store."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    if request.param is not None:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", request.param)


def uri(*overrides: str) -> str:
    with initialize_config_dir(str(harness.ROOT / "conf"), version_base="1.3"):
        found: str = resolve(compose("config", ["output_dir=/study", *overrides]))["tracking"]["uri"]
    return found


def test_argument_comes_before_the_variable_and_that_before_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    assert names.tracking_uri("given", "default") == "given"
    assert [names.tracking_uri(nothing, "default") for nothing in (None, *EMPTY)] == ["default"] * 3
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "variable")
    assert names.tracking_uri("given", "default") == "given"
    assert [names.tracking_uri(nothing, "default") for nothing in (None, *EMPTY)] == ["variable"] * 3


@pytest.mark.parametrize("typed", [(), ("tracking.uri=",), ("tracking.uri=' '",), ("tracking.uri=null",)])
def test_trials_use_the_default_store(typed: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    assert uri(*typed) == "sqlite:////study/mlflow.db"
    assert uri(*typed, "tracking=server") == SERVER
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://gpu7:5000")
    assert uri(*typed) == uri(*typed, "tracking=server") == "http://gpu7:5000"
    assert uri("tracking.uri=http://gpu8:5000") == "http://gpu8:5000"


def test_tables_read_the_default_store() -> None:
    for given in ([], *(["--tracking-uri", nothing] for nothing in EMPTY)):
        assert parser().parse_args(["table", *given]).tracking_uri == names.DEFAULT_TRACKING_URI


def test_sync_and_import_write_to_the_default_store(
    empty_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        shutil.copy(empty_store, tmp_path / name)
    here, there = tmp_path / "here", tmp_path / "there"
    paths = prepared.finished(here)
    described = json.loads(paths.description.read_text())
    paths.record.write_text(described[names.RECORD])
    paths.description.write_text(json.dumps({**described, "data": {"train": "0" * 64, "val": "1" * 64}}))
    for nothing in EMPTY:
        assert main(["sync", "--output-dir", str(here), "--tracking-uri", nothing]) == 0
        assert capsys.readouterr().out.endswith(f": {harness.store(here)}\n")
        assert len(harness.runs(here)) == 1
    assert main(["export", "all", str(tmp_path / "all.zip"), "--output-dir", str(here)]) == 0
    capsys.readouterr()
    code = main(["import", str(tmp_path / "all.zip"), "--output-dir", str(there), "--tracking-uri", ""])
    assert code == 0, capsys.readouterr().err
    assert len(harness.runs(there)) == 1
