"""Launchers that take no job: told at once, in one sentence, with exit code 2, and no trial is begun."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.support.engines.cluster import Cluster
from tests.support.engines.commands import Command, start

pytestmark = pytest.mark.filterwarnings("ignore")

SLURM = "hydra/launcher=submitit_slurm"


@pytest.fixture(scope="module")
def refused(
    cluster: Cluster,
    output_folder: Callable[[], Path],
    tmp_path_factory: pytest.TempPathFactory,
    clean_up: list[Command],
) -> dict[str, Command]:
    """Sweeps that cannot be launched, all at once."""
    cases: dict[str, tuple[list[str], Mapping[str, str]]] = {
        "no Slurm": ([SLURM], {"PATH": str(tmp_path_factory.mktemp("no_programs"))}),
        "no partition": ([SLURM, "seed=0,1", "hydra.launcher.partition=gpus"], cluster.environment),
        "no key": ([SLURM, "hydra.launcher.partitions=low"], cluster.environment),
    }
    for arguments, environment in cases.values():
        clean_up.append(start(output_folder(), *arguments, environment=environment))
    return {name: command.wait() for name, command in zip(cases, clean_up, strict=True)}


@pytest.mark.parametrize(
    ("name", "words"),
    {
        "no Slurm": ["hydra/launcher=submitit_slurm", "sbatch and srun", "leave hydra/launcher out"],
        "no partition": ["cannot start a job", "invalid partition specified: gpus", "settings", "docs/clusters.md"],
        "no key": ["hydra.launcher", "'partitions' is unknown", "did you mean partition?"],
    }.items(),
)
def test_launcher_that_takes_no_job_is_told_in_one_sentence(
    refused: dict[str, Command], name: str, words: list[str]
) -> None:
    command = refused[name]
    assert command.code == 2, command.text
    (sentence,) = [line for line in command.log.read_text().splitlines() if line.startswith("error: ")]
    assert [word for word in words if word not in sentence] == []
    assert "Traceback" not in command.text
    assert list(command.outputs.glob("trials/*/attempts")) == []


def test_nothing_is_said_of_how_presets_are_checked(refused: dict[str, Command]) -> None:
    assert [name for name, command in refused.items() if "ConfigStore" in command.text] == []
