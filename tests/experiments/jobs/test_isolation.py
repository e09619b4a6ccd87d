"""A trial that fails: its reason is recorded, it is retried where that helps, the others run, and no process stays."""

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from mlflow.entities import Run

from experiments import names
from tests.support import harness
from tests.support.running import Command, Preloaded, Swept, wait_for

pytestmark = [pytest.mark.long, pytest.mark.filterwarnings("ignore")]


def command_line(process: int) -> bytes:
    return Path(f"/proc/{process}/cmdline").read_bytes()


def ranks_of(folder: Path) -> list[int]:
    """Returns a trial's processes but for torchrun, oldest first; a real rank's data loaders came after it."""
    found = [one for one in harness.processes_of(folder) if b"torch.distributed.run" not in command_line(one)]
    return sorted(found, key=lambda one: psutil.Process(one).create_time())  # numbers begin again after the highest


@dataclass(frozen=True)
class BadDay:
    """A sweep of two real trials: one breaks off in its worker, one is shot after its first epoch."""

    outputs: Path
    command: Command
    broken: Run
    shot: Run


@pytest.fixture(scope="module")
def bad_day(
    preloaded: Preloaded, output_folder: Callable[[], Path], tmp_path_factory: pytest.TempPathFactory
) -> BadDay:
    """Typed in another folder than the repository's, where ranks are found nevertheless."""
    outputs = output_folder()
    arguments = ("pre=conv1", "post=attention", *harness.TINY, f"output_dir={outputs}")
    fates = "+profile.model.train_cfg.rcnn.sampler.neg_pos_ub=many,-1"  # -1 is MMDetection's default
    command = preloaded.start("-m", fates, *arguments, cwd=tmp_path_factory.mktemp("elsewhere"))
    wait_for(lambda: list(outputs.glob("trials/*/work/epoch_1.pth")) or not command.running())
    (shot,) = (path.parents[1] for path in outputs.glob("trials/*/work/epoch_1.pth"))
    os.kill(ranks_of(shot)[0], signal.SIGKILL)
    command.wait()
    by_fate = {harness.trial_folder(outputs, run) == shot: run for run in harness.runs(outputs)}
    return BadDay(outputs, command, by_fate[False], by_fate[True])


def test_sweep_with_a_failed_trial_ends_with_exit_code_1(bad_day: BadDay) -> None:
    assert bad_day.command.code == 1
    assert "1 of 2 trials finished" in bad_day.command.stdout
    assert "Traceback" not in bad_day.command.stderr
    assert harness.processes_of(bad_day.outputs) == []


def test_trial_that_breaks_off_failed_once_with_the_reason(bad_day: BadDay) -> None:
    folder = harness.trial_folder(bad_day.outputs, bad_day.broken)
    reason = bad_day.broken.data.tags[names.REASON]
    assert bad_day.broken.info.status == "FAILED"
    assert reason == "TypeError: '>=' not supported between instances of 'str' and 'int'"
    assert reason in (folder / "log.txt").read_text().splitlines()  # the last line of a traceback
    (attempt,) = harness.attempts(folder)
    assert (attempt["status"], attempt["reason"], attempt["transient"]) == ("FAILED", reason, False)


def test_log_of_a_failed_trial_is_in_mlflow(bad_day: BadDay) -> None:
    kept = harness.client(bad_day.outputs).list_artifacts(bad_day.broken.info.run_id)
    assert {"config.yaml", "log.txt"} <= {file.path for file in kept}


def test_trial_with_a_killed_rank_is_retried(bad_day: BadDay) -> None:
    """In the same MLflow run, which has nothing to say of it in the end."""
    first, second = harness.attempts(harness.trial_folder(bad_day.outputs, bad_day.shot))
    assert (first["status"], first["transient"]) == ("FAILED", True)
    assert "SIGKILL" in first["reason"]
    assert (second["status"], second["reason"]) == ("FINISHED", None)
    assert len(harness.runs(bad_day.outputs)) == 2
    assert bad_day.shot.info.status == "FINISHED"
    assert not bad_day.shot.data.tags.get(names.REASON)


def test_retried_trial_has_the_metrics_of_an_undisturbed_one(bad_day: BadDay, swept: Swept) -> None:
    """Trained in two output folders and two sweeps, once killed: equal to the last bit but for times and memory."""
    (twin,) = (run for run in harness.runs(swept.outputs) if run.data.params["pre"] == "conv1")
    expected = harness.repeatable(harness.mlflow_metrics(swept.outputs, twin))
    assert harness.repeatable(harness.mlflow_metrics(bad_day.outputs, bad_day.shot)) == expected


@dataclass(frozen=True)
class Interrupted:
    """A real training that a signal stopped."""

    outputs: Path
    code: int
    left: list[int]  # its processes, of which there are to be none
    attempt: dict[str, Any]
    status: str  # MLflow's


@pytest.fixture(scope="module")
def interrupted(preloaded: Preloaded, output_folder: Callable[[], Path]) -> dict[str, Interrupted]:
    """Two real trainings, stopped by a signal in their first epochs."""
    endless = (*harness.TINY, "schedule.epochs=1000")
    folders = {number: output_folder() for number in (signal.SIGINT, signal.SIGTERM)}
    commands = {number: preloaded.start(*endless, f"output_dir={folder}") for number, folder in folders.items()}
    result = {}
    for number, folder in folders.items():
        wait_for(lambda folder=folder: list(folder.glob("trials/*/journal.jsonl")))
        assert len(harness.processes_of(folder / "trials")) >= 2  # torchrun and a rank
        commands[number].signal(number)
        code = commands[number].wait().code
        left = harness.processes_of(folder / "trials")
        for process in left:
            os.kill(process, signal.SIGKILL)
        (run,) = harness.runs(folder)
        (attempt,) = harness.attempts(harness.trial_folder(folder, run))
        result[number.name] = Interrupted(folder, code, left, attempt, run.info.status)
    return result


@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM"])
def test_interrupted_training_is_killed_with_all_its_processes(
    interrupted: dict[str, Interrupted], number: str
) -> None:
    found = interrupted[number]
    assert (found.code, found.left, found.status, found.attempt["status"]) == (130, [], "KILLED", "KILLED")


def test_training_stops_between_two_epochs_when_asked_to(interrupted: dict[str, Interrupted]) -> None:
    found = interrupted["SIGINT"]
    (work,) = found.outputs.glob("trials/*/work")
    (run,) = harness.runs(found.outputs)
    epochs = {step for name, step, _, _ in harness.mlflow_metrics(found.outputs, run) if name == "bbox/AP"}
    assert found.attempt["reason"] == f"stopped as asked after epoch {max(epochs)}"
    assert (work / f"epoch_{max(epochs)}.pth").exists()
