"""A trial that goes wrong: it is told truthfully, it costs no other trial, and nothing of it stays behind."""

import contextlib
import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import harness
import pytest
from conftest import Command, Preloaded, Swept, wait_for
from mlflow.entities import Run

from experiments import names

pytestmark = pytest.mark.filterwarnings("ignore")


@dataclass(frozen=True)
class BadDay:
    """A sweep of three real trials: one cannot be built in its worker, one is shot, one is as good as in `swept`."""

    outputs: Path
    code: int
    stdout: str
    runs: dict[str, Run]  # by what happened


@pytest.fixture(scope="module")
def bad_day(preloaded: Preloaded, output_folder: Callable[[], Path]) -> BadDay:
    outputs = output_folder()
    fates = {"LBFGS": "unbuilt", "SGD": "shot", "AdamW": "good"}
    arguments = ("pre=conv1", "post=attention", *harness.TINY, f"output_dir={outputs}")
    command = preloaded.start("-m", f"schedule.optimizer.type={','.join(fates)}", *arguments)
    wait_for(lambda: len(list(outputs.glob("trials/*/work"))) == 2 or not command.running())
    shot = max(outputs.glob("trials/*/work"), key=lambda work: work.stat().st_mtime).parent
    workers = [pid for pid in harness.processes_of(shot) if b"torch.distributed.run" not in command_line(pid)]
    os.kill(min(workers), signal.SIGKILL)  # the rank; its data loaders came later
    command.wait()
    found = {fates[optimizer_of(outputs, run)]: run for run in harness.runs(outputs)}
    return BadDay(outputs, command.code, command.stdout, found)


def command_line(process: int) -> bytes:
    return Path(f"/proc/{process}/cmdline").read_bytes()


def optimizer_of(outputs: Path, run: Run) -> str:
    config = (harness.trial_folder(outputs, run) / "config.yaml").read_text()
    return next(name for name in ("LBFGS", "SGD", "AdamW") if f"type: {name}" in config)


def test_sweep_with_failed_trials_ends_with_exit_code_1(bad_day: BadDay) -> None:
    assert bad_day.code == 1
    assert "1 of 3 trials finished" in bad_day.stdout
    assert "Traceback" not in bad_day.stdout


def test_trial_that_cannot_be_built_failed_with_the_reason(bad_day: BadDay) -> None:
    run = bad_day.runs["unbuilt"]
    folder = harness.trial_folder(bad_day.outputs, run)
    reason = run.data.tags[names.REASON]
    assert run.info.status == "FAILED"
    assert reason in (folder / "log.txt").read_text().splitlines()  # the last line of a traceback
    assert json.loads((folder / "outcome.json").read_text()) == {"status": "FAILED", "reason": reason}


def test_message_names_reason_and_log(bad_day: BadDay) -> None:
    run = bad_day.runs["unbuilt"]
    log = harness.trial_folder(bad_day.outputs, run) / "log.txt"
    (line,) = (line for line in bad_day.stdout.splitlines() if "FAILED" in line and str(log) in line)
    assert run.data.tags[names.REASON] in line


def test_reason_is_what_the_constructor_says(bad_day: BadDay) -> None:
    """LBFGS takes no weight decay: found only where it is built."""
    assert "weight_decay" in bad_day.runs["unbuilt"].data.tags[names.REASON]


def test_log_of_a_failed_trial_is_in_mlflow(bad_day: BadDay) -> None:
    kept = harness.client(bad_day.outputs).list_artifacts(bad_day.runs["unbuilt"].info.run_id)
    assert {"config.yaml", "log.txt"} <= {file.path for file in kept}


def test_worker_ended_by_a_signal_failed_and_the_reason_names_it(bad_day: BadDay) -> None:
    run = bad_day.runs["shot"]
    assert run.info.status == "FAILED"
    assert "SIGKILL" in run.data.tags[names.REASON]


def test_other_trials_of_the_sweep_still_run(bad_day: BadDay) -> None:
    assert bad_day.runs["good"].info.status == "FINISHED"


def test_nothing_of_a_failed_trial_lives_on(bad_day: BadDay) -> None:
    assert harness.processes_of(bad_day.outputs) == []


def test_same_trial_anywhere_has_the_same_id_and_the_same_metrics(bad_day: BadDay, swept: Swept) -> None:
    """Trained twice, in two output folders and two sweeps: equal to the last bit but for its times."""
    (twin,) = (run for run in harness.runs(swept.outputs) if run.data.params["pre"] == "conv1")
    good = bad_day.runs["good"]
    assert good.data.tags[names.TRIAL_ID] == twin.data.tags[names.TRIAL_ID]
    first, second = (
        [
            (name, step, value)
            for name, step, value, _ in harness.mlflow_metrics(outputs, run)
            if name != names.EPOCH_SECONDS
        ]
        for outputs, run in ((swept.outputs, twin), (bad_day.outputs, good))
    )
    assert first == second


@pytest.fixture(scope="module")
def interrupted(preloaded: Preloaded, output_folder: Callable[[], Path]) -> dict[str, tuple[Path, int, list[int]]]:
    """Real trainings stopped in their first epochs: folder, exit code and the processes that are left, by signal."""
    endless = (*harness.TINY, "schedule.epochs=1000")
    folders = {number: output_folder() for number in (signal.SIGINT, signal.SIGTERM)}
    commands = {number: preloaded.start(*endless, f"output_dir={folder}") for number, folder in folders.items()}
    result = {}
    for number, folder in folders.items():
        wait_for(lambda folder=folder: list(folder.glob("trials/*/journal.jsonl")))
        assert len(harness.processes_of(folder / "trials")) >= 2  # torchrun and a rank
        commands[number].signal(number)
        code = commands[number].wait().code
        result[number.name] = folder, code, harness.processes_of(folder / "trials")
        for process in result[number.name][2]:
            os.kill(process, signal.SIGKILL)
    return result


@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM"])
def test_interrupted_training_is_killed_with_all_its_processes(
    interrupted: dict[str, tuple[Path, int, list[int]]], number: str
) -> None:
    folder, code, left = interrupted[number]
    assert code == 130
    assert left == []
    (run,) = harness.runs(folder)
    assert run.info.status == "KILLED"
    assert run.data.tags[names.REASON]
    assert json.loads((harness.trial_folder(folder, run) / "outcome.json").read_text())["status"] == "KILLED"


@pytest.fixture(scope="module")
def outputs(output_folder: Callable[[], Path]) -> Iterator[Path]:
    """One folder for all trials with a fake training, each of another seed."""
    folder = output_folder()
    yield folder
    for process in harness.processes_of(folder):  # what a failing test leaves running
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def statuses(outputs: Path, *seeds: int) -> list[tuple[str, str]]:
    """Seed and status of the runs of these seeds."""
    found = ((run.data.params["seed"], run.info.status) for run in harness.runs(outputs))
    return sorted(item for item in found if int(item[0]) in seeds)


def trains(outputs: Path, seed: int, command: Command) -> bool:
    """Whether a command's (fake) training of a seed has begun."""
    begun = f"s{seed}: starting" in command.stdout and list(outputs.glob(f"trials/*-s{seed}-*/journal.jsonl"))
    return bool(begun) or not command.running()


IMPATIENT = [signal.SIGINT, signal.SIGINT, signal.SIGINT]


@pytest.mark.parametrize(
    ("seed", "numbers"), [(1, IMPATIENT), (3, [signal.SIGHUP])], ids=["Ctrl-C three times", "terminal closed"]
)
def test_every_way_to_stop_leaves_no_process_and_a_true_status(
    preloaded: Preloaded, outputs: Path, seed: int, numbers: list[signal.Signals]
) -> None:
    command = preloaded.start(*harness.TINY, f"seed={seed}", f"output_dir={outputs}", fake_training=True)
    wait_for(lambda: trains(outputs, seed, command))
    for number in numbers:
        if command.running():
            command.signal(number)
        time.sleep(0.3)
    assert command.wait().code != 0
    (folder,) = outputs.glob(f"trials/*-s{seed}-*")
    assert harness.processes_of(folder) == []
    assert statuses(outputs, seed) == [(str(seed), "KILLED")]


def test_study_under_nohup_outlives_its_terminal(preloaded: Preloaded, outputs: Path) -> None:
    """What the caller chose to ignore stays ignored."""
    command = preloaded.start(
        *harness.TINY, "seed=9", f"output_dir={outputs}", fake_training=True, ignored=[signal.SIGHUP]
    )
    wait_for(lambda: trains(outputs, 9, command))
    command.signal(signal.SIGHUP)
    time.sleep(2)  # longer than the fake training takes to be stopped
    assert command.running()
    assert statuses(outputs, 9) == [("9", "RUNNING")]
    command.signal(signal.SIGTERM)
    assert command.wait().code == 130
    assert statuses(outputs, 9) == [("9", "KILLED")]


def test_killed_trial_runs_anew_when_asked_again(preloaded: Preloaded, outputs: Path) -> None:
    """From its first epoch, as a second run; what was finished stays so, and what was not begun was not."""
    arguments = ("seed=4,5,6", *harness.TINY, f"output_dir={outputs}")
    first = preloaded.start(*arguments, fake_training=True)
    wait_for(lambda: trains(outputs, 5, first))
    first.signal(signal.SIGTERM)
    assert first.wait().code == 130
    assert statuses(outputs, 4, 5, 6) == [("4", "FINISHED"), ("5", "KILLED")]
    second = preloaded.start(*arguments, fake_training=True)
    wait_for(lambda: trains(outputs, 5, second))
    assert "2 to run" in second.stdout
    second.signal(signal.SIGINT)
    assert second.wait().code == 130
    assert statuses(outputs, 4, 5, 6) == [("4", "FINISHED"), ("5", "KILLED"), ("5", "KILLED")]


def test_trial_that_another_process_runs_is_left_to_it(preloaded: Preloaded, outputs: Path) -> None:
    arguments = ("seed=7", *harness.TINY, f"output_dir={outputs}")
    first = preloaded.start(*arguments, fake_training=True)
    wait_for(lambda: trains(outputs, 7, first))
    second = preloaded.run(*arguments, fake_training=True)
    assert second.code == 1  # what was asked for is not finished
    assert first.running()
    assert statuses(outputs, 7) == [("7", "RUNNING")]
    first.signal(signal.SIGINT)
    first.wait()
    assert "another process" in second.stdout


def test_run_py_works_from_any_folder(preloaded: Preloaded, empty_store: Path, tmp_path: Path) -> None:
    """The worker is found wherever the command is typed, and outputs/ is made there."""
    (tmp_path / "outputs").mkdir()
    shutil.copy(empty_store, tmp_path / "outputs")
    done = preloaded.run(*harness.TINY, "schedule.optimizer.type=LBFGS", cwd=tmp_path)
    assert list(tmp_path.glob("outputs/trials/*/detector.py")), done.stdout  # the worker came that far
