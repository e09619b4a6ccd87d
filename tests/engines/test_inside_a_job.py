"""Commands given inside a job of Slurm's: what they start is not taken for a part of that job."""

from collections.abc import Callable
from pathlib import Path

import pytest
from cluster import Cluster
from commands import Command, start

pytestmark = pytest.mark.filterwarnings("ignore")

SLURM = ("hydra/launcher=submitit_slurm", "hydra.launcher.timeout_min=30")


def test_sweep_from_inside_a_step_gets_jobs_as_it_asks_for_them(
    cluster: Cluster, output_folder: Callable[[], Path], clean_up: list[Command]
) -> None:
    """Slurm's own programs end where the memory of that job and of this are said in two ways."""
    within = ("srun", "--ntasks=1", "--cpus-per-task=2", "--mem-per-cpu=100", "--job-name=outer")
    mine = ("hydra.launcher.mem_gb=1", "hydra.launcher.cpus_per_task=1", "hydra.launcher.gres=null")
    command = start(output_folder(), *SLURM, *mine, "resources.gpus=0", environment=cluster.environment, within=within)
    clean_up.append(command)
    assert command.wait().code == 0, command.text
    (job,) = command.trial(0).jobs
    assert (job["SLURM_JOB_NAME"], job["SLURM_CPUS_PER_TASK"]) == ("groie", "1")
    assert "SLURM_MEM_PER_CPU" not in job
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
    assert sentence.startswith("error: resources.nodes=2 but ")
    assert sentence.endswith("hydra/launcher=submitit_slurm")
    assert list(command.outputs.glob("trials/*")) == []
