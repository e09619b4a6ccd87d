"""Commands given inside a job of Slurm's: what they start is not taken for a part of that job."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.engines.cluster import Cluster
from tests.support.engines.commands import Command, start

pytestmark = pytest.mark.filterwarnings("ignore")

SLURM = ("hydra/launcher=submitit_slurm", "hydra.launcher.timeout_min=30")


def test_sweep_from_inside_a_step_gets_jobs_as_it_asks_for_them(
    cluster: Cluster, output_folder: Callable[[], Path], clean_up: list[Command]
) -> None:
    """Not with the options of the step around the command, which Slurm's programs would read as theirs."""
    within = ("srun", "--ntasks=1", "--gpus=2", "--overcommit", "--distribution=plane=4")
    command = start(output_folder(), *SLURM, "resources.gpus=0", environment=cluster.environment, within=within)
    clean_up.append(command)
    assert command.wait().code == 0, command.text
    (job,) = command.trial(0).jobs
    assert job["CUDA_VISIBLE_DEVICES"].isdigit()
    assert [key for key in ("SLURM_GPUS", "SLURM_OVERCOMMIT", "SLURM_DIST_PLANESIZE") if key in job] == []
    assert command.trial(0).statuses == ["FINISHED"]


def test_two_nodes_of_a_shell_are_refused_where_it_starts_one_process(
    cluster: Cluster, output_folder: Callable[[], Path], clean_up: list[Command]
) -> None:
    within = ("salloc", "--nodes=2", "--ntasks=2")
    arguments = ("resources.nodes=2", "resources.gpus=0")
    command = start(output_folder(), *arguments, environment=cluster.environment, within=within)
    clean_up.append(command)
    assert command.wait().code == 2, command.text
    (sentence,) = [line for line in command.log.read_text().splitlines() if line.startswith("error: ")]
    assert sentence.startswith("error: resources.nodes=2 needs one process on each node")
    assert sentence.endswith("hydra/launcher=submitit_slurm")
    assert list(command.outputs.glob("trials/*")) == []
