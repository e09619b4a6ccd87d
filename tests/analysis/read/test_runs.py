"""Histories read in bulk are those that MLflow's client reads one by one, from a database and from a server."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from analysis.read import runs
from analysis.read.runs import Point, Run
from experiments.errors import UserError
from tests.support.recorded import BOX, MASK, Recorder, box


@pytest.fixture(scope="module")
def many(recorder: Recorder) -> Recorder:
    """More runs than one request may name, each with 3 epochs."""
    found = Recorder(recorder.folder, "many")
    for number in range(runs.PAGE + 5):
        found.run("sum", number, points=box([0.1, 0.2, number / 1000]), sweeps=())
    return found


@pytest.fixture(scope="module")
def server(many: Recorder) -> Iterator[MlflowClient]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--host=127.0.0.1", f"--port={port}", "--workers=1"]
    environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    with subprocess.Popen(
        [*command, "--backend-store-uri", many.uri], env=environment, stderr=subprocess.DEVNULL
    ) as one:
        for _ in range(300):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1).close()
                break
            except OSError:
                time.sleep(0.2)
        yield MlflowClient(f"http://127.0.0.1:{port}")
        one.terminate()


def wanted_of(found: list[Run]) -> list[tuple[str, str]]:
    return [(run.run_id, metric) for run in found for metric in (BOX[0], BOX[5], MASK[0])]


def test_bulk_is_what_the_client_reads_one_by_one(many: Recorder) -> None:
    found = runs.of_experiment(many.client, "many", many.uri)
    wanted = wanted_of(found)
    calls: list[None] = []
    read = runs.histories(many.client, wanted, lambda: calls.append(None))
    assert list(read) == wanted
    for run_id, metric in wanted[:6]:
        history = many.client.get_metric_history(run_id, metric)
        assert read[run_id, metric] == [Point(one.step, one.timestamp, one.value) for one in history]
    assert sorted(read[run.run_id, BOX[0]][2].value for run in found) == [n / 1000 for n in range(len(found))]
    assert len(calls) == runs.requests(wanted) == 6  # three metrics, two pages each


def test_server_gives_the_same(many: Recorder, server: MlflowClient) -> None:
    found = runs.of_experiment(server, "many", "http://...")
    assert found == runs.of_experiment(many.client, "many", many.uri)
    wanted = wanted_of(found)
    assert runs.histories(server, wanted) == runs.histories(many.client, wanted)


def test_answer_that_was_cut_is_asked_again(many: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = wanted_of(runs.of_experiment(many.client, "many", many.uri))[:30]
    whole = runs.histories(many.client, wanted)
    monkeypatch.setattr(runs, "MOST_POINTS", 7)
    assert runs.histories(many.client, wanted) == whole


def test_server_that_breaks_off_is_mlflow_s_own_error(many: Recorder) -> None:
    gone = MlflowClient("http://127.0.0.1:9")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        with pytest.raises(MlflowException):
            runs.histories(gone, [("run", "bbox/AP")])


def test_a_store_whose_experiments_hold_nothing_is_told(tmp_path: Path) -> None:
    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    with pytest.raises(UserError, match=r"no sweeps recorded yet in .*; run `python run.py` first"):
        runs.of_experiment(client, "groie", "sqlite:///mlflow.db")


def test_an_experiment_without_trials_is_named_with_those_there_are(many: Recorder) -> None:
    with pytest.raises(UserError) as error:
        runs.of_experiment(many.client, "nope", many.uri)
    told, _, others = str(error.value).partition("; name another with --experiment: ")
    assert told == f"no trials in experiment 'nope' of {many.uri}"
    assert {"groie", "many"} <= set(others.split(", "))


def test_run_is_json(many: Recorder) -> None:
    run = runs.of_experiment(many.client, "many", many.uri)[0]
    assert Run(**run.as_dict()) == run
