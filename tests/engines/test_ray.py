"""Sweeps on a real Ray of this machine, two trials at a time."""

import os
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support import harness
from tests.support.engines.commands import Command, recorded, start, wait_for

pytest.importorskip("ray", reason="Ray is not installed: make test-engines")
pytestmark = pytest.mark.filterwarnings("ignore")

RAY = (
    "hydra/launcher=ray",
    "hydra.launcher.ray.init.num_cpus=2",
    "hydra.launcher.ray.remote.num_gpus=0",
)
# It shall neither leave a token in the home folder nor tell its makers about us.
ENVIRONMENT = {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}


@pytest.fixture(scope="module")
def ray(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, ...]]:
    """What to add to a command line for a Ray of two CPUs that writes below a temporary folder."""
    folder = tmp_path_factory.mktemp("ray")
    yield (*RAY, f"+hydra.launcher.ray.init._temp_dir={folder}")
    assert harness.processes_of(folder) == []  # nothing of Ray outlives the commands


@pytest.fixture(scope="module")
def trained(ray: tuple[str, ...], output_folder: Callable[[], Path]) -> Command:
    """Two trials that really train."""
    return start(output_folder(), "seed=0,1", *ray, environment=ENVIRONMENT, trains=True).wait()


def test_sweep_trains_and_records_every_trial(trained: Command) -> None:
    assert trained.code == 0, trained.text
    assert "2 of 2 trials finished" in trained.text
    for run in harness.runs(trained.outputs):
        assert run.info.status == "FINISHED"
        trial = trained.trial(int(run.data.params["seed"]))
        assert recorded(trained.outputs, trial, run) == trial.points != []


def test_two_trials_share_the_machine(trained: Command) -> None:
    """Both have begun before either is done."""
    trials = [trained.trial(seed) for seed in (0, 1)]
    assert max(trial.attempts[0]["started"] for trial in trials) < min(
        trial.epochs[-1]["time"] / 1000 for trial in trials
    )


@pytest.fixture(scope="module")
def shot(ray: tuple[str, ...], output_folder: Callable[[], Path]) -> Command:
    """Four trials, the first of which loses its process; the others start before and after that."""
    command = start(output_folder(), "seed=0,1,2,3", *ray, environment=ENVIRONMENT, fates={0: "go on"})
    wait_for(lambda: (command.trial(0).steps and command.trial(2).attempts) or not command.running())
    os.kill(command.trial(0).attempts[0]["process"], signal.SIGKILL)
    return command.wait()


def test_killed_process_costs_one_trial(shot: Command) -> None:
    assert shot.code == 1
    assert "3 of 4 trials finished" in shot.text
    assert [shot.trial(seed).statuses for seed in (1, 2, 3)] == [["FINISHED"]] * 3


def test_its_trial_is_not_done_twice(shot: Command) -> None:
    assert len(shot.trial(0).attempts) == len(shot.trial(0).jobs) == 1
    assert re.search(r"interrupted +faster_rcnn-sum-none-none-s0", shot.text)


def test_same_command_finishes_what_was_lost(shot: Command, ray: tuple[str, ...]) -> None:
    again = start(shot.outputs, "seed=0,1,2,3", *ray, environment=ENVIRONMENT, fates={0: "finish"}).wait()
    assert again.code == 0, again.text
    assert again.trial(0).statuses == [None, "FINISHED"]
    assert [again.trial(seed).statuses for seed in (1, 2, 3)] == [["FINISHED"]] * 3
    assert len(harness.runs(shot.outputs)) == 4
    assert harness.processes_of(shot.outputs) == []  # not even what the killed process had started


@pytest.fixture(scope="module")
def stopped(
    ray: tuple[str, ...], output_folder: Callable[[], Path], clean_up: list[Command]
) -> dict[signal.Signals, Command]:
    """Sweeps of three trials, two of which run when the terminal sends Ctrl-C, or somebody SIGTERM."""
    commands = {}
    for number in (signal.SIGINT, signal.SIGTERM):
        commands[number] = start(
            output_folder(), "seed=0,1,2", *ray, environment=ENVIRONMENT, fates={0: "go on", 1: "go on"}
        )
        clean_up.append(commands[number])
    for number, command in commands.items():
        wait_for(lambda c=command: (c.trial(0).steps and c.trial(1).steps) or not c.running())
        if number == signal.SIGINT:
            os.killpg(command.process.pid, number)
        else:
            command.process.send_signal(number)
    return {number: command.wait() for number, command in commands.items()}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_stops_the_running_trials_and_starts_no_others(
    stopped: dict[signal.Signals, Command], number: signal.Signals
) -> None:
    command = stopped[number]
    assert command.code == 130, command.text
    assert [command.trial(seed).statuses for seed in (0, 1, 2)] == [["KILLED"], ["KILLED"], []]
    assert all("stopped as asked" in command.trial(seed).attempts[0]["reason"] for seed in (0, 1))
    assert harness.processes_of(command.outputs) == []


def test_only_ctrl_c_waits_for_the_epoch(stopped: dict[signal.Signals, Command]) -> None:
    ends = {number: command.trial(0).attempts[0]["reason"] for number, command in stopped.items()}
    assert "after epoch" in ends[signal.SIGINT]
    assert "after epoch" not in ends[signal.SIGTERM]
