"""Trials that really train on a real Slurm: pushed out and gone on with, and on two nodes at once."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import harness
from tests.support.engines.cluster import Cluster
from tests.support.engines.commands import Command, recorded, start, wait_for

pytestmark = pytest.mark.filterwarnings("ignore")

SLURM = ("hydra/launcher=submitit_slurm", "hydra.launcher.timeout_min=30")
RESUMED = ("seed=0", "schedule.epochs=6")
SHARED = ("seed=1", "resources.gpus=0")  # by two ranks
# The last bits of a sum follow the number of threads, whose default follows the number of ranks on a machine.
ONE_THREAD = {"OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def undisturbed(cluster: Cluster, output_folder: Callable[[], Path]) -> tuple[Command, Command]:
    """The same two trials on this machine: the first in one go, the second by two ranks of one machine."""
    commands = (
        start(output_folder(), *RESUMED, environment=ONE_THREAD, trains=True),
        start(output_folder(), *SHARED, "resources.cpu_processes=2", environment=ONE_THREAD, trains=True),
    )
    assert [command.wait().code for command in commands] == [0, 0], [command.text for command in commands]
    return commands


def test_trial_pushed_out_by_a_higher_partition_goes_on_as_if_nothing_had_happened(
    cluster: Cluster, output_folder: Callable[[], Path], clean_up: list[Command], undisturbed: tuple[Command, Command]
) -> None:
    command = start(
        output_folder(), *RESUMED, *SLURM, "hydra.launcher.partition=low",
        environment={**cluster.environment, **ONE_THREAD}, trains=True,
    )  # fmt: skip
    clean_up.append(command)
    wait_for(lambda: len(command.trial(0).steps) >= 2 or not command.running())
    urgent = ("--partition=high", "--nodes=2", "--exclusive", "--output=/dev/null", "--wrap=sleep 2")
    cluster.command("sbatch", *urgent)
    assert command.wait().code == 0, command.text
    trial = command.trial(0)
    assert trial.statuses == ["KILLED", "FINISHED"]
    assert trial.steps == [1, 2, 3, 4, 5, 6]
    assert trial.results == undisturbed[0].trial(0).results
    (run,) = harness.runs(command.outputs)
    assert run.info.status == "FINISHED"
    assert recorded(command.outputs, trial, run) == trial.points


def test_ranks_on_two_nodes_train_as_two_ranks_of_one_machine(
    cluster: Cluster, output_folder: Callable[[], Path], clean_up: list[Command], undisturbed: tuple[Command, Command]
) -> None:
    command = start(
        output_folder(), *SHARED, "resources.nodes=2", *SLURM, "hydra.launcher.gres=null",
        environment={**cluster.environment, **ONE_THREAD}, trains=True,
    )  # fmt: skip
    clean_up.append(command)
    assert command.wait().code == 0, command.text
    trial = command.trial(1)
    assert trial.statuses == ["FINISHED"]
    assert (trial.root / "log.node1.txt").exists()
    assert trial.results == undisturbed[1].trial(1).results
    (run,) = harness.runs(command.outputs)
    assert run.info.status == "FINISHED"
    assert harness.processes_of(command.outputs) == []
