"""`python -m experiments ...`: every trial's state from its files, an end to one, its record, and how to repeat it."""

import json
import re
import shlex
import shutil
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from experiments import names
from experiments.__main__ import main
from experiments.planning.identity import Trial
from tests.support import harness
from tests.support.running import Fake, Preloaded, wait_for
from tests.support.transferred import folder, sweeps

pytestmark = pytest.mark.filterwarnings("ignore")

MISTAKE = "ValueError: a mistake in the code"
Told = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def study(preloaded: Preloaded, output_folder: Callable[[], Path]) -> Path:
    """One trial that is finished, one that failed, one that was never begun; a test that changes it takes a copy."""
    outputs = output_folder()
    harness.set_fates(outputs, {1: "finish", 2: "error", 12: "finish"})
    done = preloaded.run(
        "-m", *harness.TINY, "seed=1,2,12", "fail_fast=true", f"output_dir={outputs}", fake_training=True
    )
    assert done.code == 1, done.stderr
    return outputs


@pytest.fixture
def told(study: Path, capsys: pytest.CaptureFixture[str]) -> Told:
    """Runs `python -m experiments` on the study, or another folder, and returns exit code, stdout and stderr."""

    def run(*arguments: str, outputs: Path = study) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main([*arguments, "--output-dir", str(outputs)])
        return code, *capsys.readouterr()

    return run


def test_status_lists_every_trial(study: Path, told: Told) -> None:
    """Those that need attention at the end; epochs, box AP in percent, and the reason of what failed."""
    code, out, err = told("status")
    assert (code, err) == (0, "")
    assert out.splitlines()[0].rstrip() == "3 trials: 1 finished, 1 to do, 1 failed"
    rows = (
        f"{folder(study, 1).name} finished 2/2 20.0",
        f"{folder(study, 12).name} to do 0/2",
        f"{folder(study, 2).name} failed 1/2 10.0 {MISTAKE}",
    )
    assert " ".join(out.split()).endswith(" ".join(rows))


def test_status_of_a_sweep(study: Path, told: Told) -> None:
    (sweep,) = set.union(*(sweeps(study, seed) for seed in (1, 2, 12)))
    assert told("status", "--sweep", sweep) == told("status")
    code, out, err = told("status", "--sweep", "table9")
    assert (code, out) == (2, "")
    assert err == f"error: no trial of sweep 'table9' in {study}; choose one of: {sweep}\n"


@pytest.mark.parametrize("command", [["status"], ["logs", "x"], ["cancel", "x"], ["reproduce", "x"], ["sync"]], ids=str)
def test_folder_without_trials(tmp_path: Path, told: Told, command: list[str]) -> None:
    for outputs in (tmp_path, tmp_path / "missing"):
        code, out, err = told(*command, outputs=outputs)
        assert (code, out) == (2, "")
        assert err.startswith(f"error: no trials in {outputs}; name the folder with --output-dir, or start a trial: `")
        assert err.endswith("`\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["logs", "cancel", "reproduce"])
def test_unknown_and_ambiguous_trials(study: Path, told: Told, command: str) -> None:
    every = ", ".join(sorted(path.name for path in study.glob("trials/*")))
    assert told(command, "s7") == (2, "", f"error: trial 's7' is unknown; choose one of: {every}\n")
    both = ", ".join(sorted(folder(study, seed).name for seed in (1, 12)))
    assert told(command, "s1") == (2, "", f"error: trial 's1' is ambiguous; choose one of: {both}\n")


def test_part_of_an_id_selects_the_trial(study: Path, told: Told) -> None:
    name = folder(study, 2).name
    assert told("logs", "s2-") == told("logs", name) == told("logs", name.rpartition("-")[2])


def test_logs_are_the_end_of_the_log(study: Path, told: Told) -> None:
    code, out, err = told("logs", "s2-", "--lines", "3")
    assert (code, out, err) == (0, f"line 18\nline 19\n{MISTAKE}\n", "")
    assert told("logs", "s2-")[1].startswith("--- attempt 1 on ")
    assert told("logs", "s12-") == (2, "", f"error: {folder(study, 12).name} has no log yet; it is to do\n")


@pytest.mark.parametrize(("seed", "state"), [(1, "finished"), (2, "failed")])
def test_ended_trial_is_not_cancelled(study: Path, told: Told, seed: int, state: str) -> None:
    """Nor is another that is named with it."""
    sentence = f"error: {folder(study, seed).name} is {state}; only a trial that runs or waits can be cancelled\n"
    assert told("cancel", "s12-", f"s{seed}-") == (2, "", sentence)
    assert list(study.glob("trials/*/stop")) == []


@pytest.mark.long
@pytest.mark.parametrize(
    ("fate", "more", "when", "reason"),
    [
        ("silent", [], "now", "stopped as asked"),
        ("go on", ["--drain"], "after the current epoch", "stopped as asked after epoch "),
    ],
    ids=["now", "drain"],
)
def test_running_trial_is_cancelled(fake: Fake, told: Told, fate: str, more: list[str], when: str, reason: str) -> None:
    """It alone: the next trial of the same command is done."""
    command = fake.start({1: fate, 2: "finish"})
    wait_for(lambda: fake.began(1))
    code, out, _ = told("status", outputs=fake.outputs)
    assert re.search(
        r" running \d+\.\d/2 .* 1 x cpu on \S+, attempt 1, last sign of life \d+ s ago$", " ".join(out.split())
    ), out
    code, out, err = told("cancel", *more, "s1-", outputs=fake.outputs)
    sentence = f"{fake.folder(1).name}: asked to stop {when}; its run.py command resumes it\n"
    assert (code, out, err) == (0, sentence, "")
    assert command.wait().code == 1
    ((status, why),) = fake.attempts(1)
    assert (status, why.rstrip("0123456789")) == ("KILLED", reason)
    assert fake.statuses(1, 2) == [(1, "KILLED"), (2, "FINISHED")]
    assert "1 interrupted" in told("status", outputs=fake.outputs)[1]
    again = fake.run({1: "finish", 2: "finish"})
    assert again.code == 0, again.stdout
    assert fake.statuses(1, 2) == [(1, "FINISHED"), (2, "FINISHED")]


def test_log_is_followed_while_the_trial_runs(fake: Fake, told: Told) -> None:
    command = fake.start({1: "silent"})
    wait_for(lambda: fake.began(1))
    log = fake.folder(1) / "log.txt"

    def write_and_end() -> None:
        with log.open("a") as file:
            file.write("from before\n")
            file.flush()
            wait_for(reading.is_set)
            file.write("said while it runs\n")
        command.signal(signal.SIGTERM)

    reading = threading.Event()
    writer = threading.Thread(target=write_and_end)
    writer.start()
    wait_for(lambda: "from before" in log.read_text())
    threading.Timer(0.5, reading.set).start()
    code, out, err = told("logs", "s1-", "--follow", outputs=fake.outputs)
    writer.join()
    command.wait()
    assert (code, err) == (0, "")
    assert out.count("from before") == out.count("said while it runs") == 1


def record_of(outputs: Path) -> list[Any]:
    """Returns what MLflow has of each run, but for the names that MLflow itself makes up."""
    return sorted(
        (run.data.tags[names.TRIAL_ID], run.info.status, run.data.params, ours(run.data.tags), metrics)
        for run in harness.runs(outputs)
        for metrics in [harness.mlflow_metrics(outputs, run)]
    )


def ours(tags: dict[str, str]) -> dict[str, str]:
    return {key: value for key, value in tags.items() if not key.startswith("mlflow.")}


@pytest.fixture
def own_study(fake: Fake) -> Path:
    """The same as the study, to be changed: a copy would name the original's folder in its configurations."""
    assert fake.run({1: "finish", 2: "error", 12: "finish"}, "fail_fast=true").code == 1
    return fake.outputs


def test_sync_restores_a_lost_store(own_study: Path, empty_store: Path, told: Told) -> None:
    """Nothing is doubled by a second time; what was never begun has no run."""
    before = record_of(own_study)
    assert [status for _, status, *_ in before] == ["FINISHED", "FAILED"]
    shutil.copy(empty_store, own_study / "mlflow.db")
    for _ in range(2):
        code, out, err = told("sync", outputs=own_study)
        assert (code, err) == (0, "")
        assert out == f"2 trials in MLflow match their folders: {harness.store(own_study)}\n"
        assert record_of(own_study) == before


def test_sync_into_another_store(study: Path, empty_store: Path, tmp_path: Path, told: Told) -> None:
    (tmp_path / "mlflow.db").write_bytes(empty_store.read_bytes())
    code, out, _ = told("sync", "--tracking-uri", harness.store(tmp_path))
    assert (code, out.split(": ")[1]) == (0, harness.store(tmp_path) + "\n")
    assert record_of(tmp_path) == record_of(study)


def test_reproduce_prints_what_to_type(study: Path, told: Told) -> None:
    """Commit, then the overrides: they compose to the same trial."""
    code, out, _ = told("reproduce", "s2-")
    lines = out.splitlines()
    provenance = json.loads((folder(study, 2) / "provenance" / "0001.json").read_text())
    assert (code, lines[0]) == (0, f"git checkout {provenance['source']['commit']}")
    difference = folder(study, 2) / "provenance" / "0001.diff"
    assert (f"git apply --whitespace=nowarn {difference}" in lines) == difference.exists()
    assert lines[-2] == "make setup"
    python, program, *overrides, where = shlex.split(lines[-1])
    assert (python, program, where) == (".venv/bin/python", "run.py", "output_dir=outputs/again")
    assert Trial(harness.composed(*overrides), ()).trial_id == folder(study, 2).name


def test_reproduce_tells_what_differs(study: Path, tmp_path: Path, told: Told) -> None:
    outputs = tmp_path / "outputs"
    shutil.copytree(study, outputs)
    file = folder(outputs, 2) / "provenance" / "0001.json"
    known = json.loads(file.read_text())
    assert "torch " not in told("reproduce", "s2-", outputs=outputs)[2]
    versions = {name: known["packages"][name] for name in ("torch", "numpy")}
    known["packages"] |= {"torch": "0.1", "left-behind": "3"}
    del known["packages"]["numpy"]
    known["machine"]["gpus"] = ["Some GPU"]
    known["source"]["commit"] = "f" * 40
    file.write_text(json.dumps(known))
    described = folder(outputs, 2) / "trial.json"
    described.write_text(json.dumps({**json.loads(described.read_text()), "data": {"train": "x", "val": "y"}}))
    code, out, err = told("reproduce", "s2-", outputs=outputs)
    assert code == 0
    assert out.startswith(f"git checkout {'f' * 40}\n")
    for sentence in (
        f"note: torch was 0.1, now it is {versions['torch']}\n",
        f"note: numpy was absent, now it is {versions['numpy']}\n",
        "note: left-behind was 3, now it is absent\n",
        "note: GPUs were ['Some GPU'], now they are ",
        f"note: the commit was {'f' * 40}, now it is ",
        "note: its annotation files have changed since\n",
    ):
        assert sentence in err


def test_reproduce_of_a_trial_that_never_ran(study: Path, told: Told) -> None:
    sentence = f"error: {folder(study, 12).name} has never started, so there is nothing to reproduce; start it first\n"
    assert told("reproduce", "s12-") == (2, "", sentence)


def test_as_a_program(study: Path) -> None:
    """The exit code and the one line reach the shell."""
    done = harness.run("-m", "experiments", "logs", "s7", "--output-dir", str(study))
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith("error: trial 's7' is unknown; choose one of: ")
