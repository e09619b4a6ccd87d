"""Sweeps on a real Slurm: job arrays, and everything that befalls a job there. The training is replaced."""

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import harness
from tests.support.engines.cluster import NODES, Cluster
from tests.support.engines.commands import Command, TrialFolder, start, wait_for

pytestmark = pytest.mark.filterwarnings("ignore")

SLURM = ("hydra/launcher=submitit_slurm", "hydra.launcher.timeout_min=30")


def states(cluster: Cluster, trial: TrialFolder) -> dict[str, str]:
    """Returns what accounting says of each task of the job array that a trial is run in, by the task's number."""
    array = trial.jobs[0]["SLURM_ARRAY_JOB_ID"]
    jobs = {name.partition("_"): state for name, state in cluster.jobs().items()}
    return {task: state.split()[0] for (number, _, task), state in jobs.items() if number == array}


def statuses(outputs: Path) -> list[tuple[str, str]]:
    """Returns seed and status of every run."""
    return sorted((run.data.params["seed"], run.info.status) for run in harness.runs(outputs))


@pytest.fixture(scope="module")
def swept(cluster: Cluster, output_folder: Callable[[], Path], tmp_path_factory: pytest.TempPathFactory) -> Command:
    """Three trials, asked for in a folder that is not the repository's."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    return start(output_folder(), "seed=0,1,2", *SLURM, environment=cluster.environment, cwd=elsewhere).wait()


def test_sweep_is_one_job_array_with_a_task_for_each_trial(cluster: Cluster, swept: Command) -> None:
    assert swept.code == 0, swept.text
    wait_for(lambda: set(states(cluster, swept.trial(0)).values()) == {"COMPLETED"})
    assert len(states(cluster, swept.trial(0))) == 3
    assert {swept.trial(seed).jobs[0]["SLURM_ARRAY_TASK_ID"] for seed in range(3)} == {"0", "1", "2"}


def test_every_trial_gets_one_gpu(swept: Command) -> None:
    for seed in range(3):
        (job,) = swept.trial(seed).jobs
        assert job["CUDA_VISIBLE_DEVICES"].isdigit()


def test_every_trial_is_finished_and_recorded_as_such(swept: Command) -> None:
    assert [swept.trial(seed).statuses for seed in range(3)] == [["FINISHED"]] * 3
    assert statuses(swept.outputs) == [("0", "FINISHED"), ("1", "FINISHED"), ("2", "FINISHED")]
    assert "3 of 3 trials finished" in swept.text


def test_attempt_names_the_job_it_was_made_in(swept: Command) -> None:
    for seed in range(3):
        trial = swept.trial(seed)
        assert trial.attempts[0]["job"] == f"{trial.jobs[0]['SLURM_JOB_ID']}.0"


def test_jobs_leave_their_logs_in_the_folder_of_the_launch(swept: Command) -> None:
    array = swept.trial(0).jobs[0]["SLURM_ARRAY_JOB_ID"]
    logs = {log.name for log in swept.outputs.glob("launches/*/slurm/*/*.out")}
    assert logs == {f"{array}_{task}_0_log.out" for task in range(3)}


@pytest.fixture(scope="module")
def troubled(cluster: Cluster, output_folder: Callable[[], Path], clean_up: list[Command]) -> dict[str, Command]:
    """Sweeps to which something happens, all at once: most of their time is waiting."""
    short = ("hydra.launcher.timeout_min=1", "hydra.launcher.signal_delay_s=30")
    one_by_one = ("seed=0,1", "hydra.launcher.array_parallelism=1")
    for arguments, fate in ((short, "go on until attempt 2"), (one_by_one, "go on"), (one_by_one, "go on")):
        clean_up.append(start(output_folder(), *SLURM, *arguments, environment=cluster.environment, fates={0: fate}))
    commands = dict(zip(("short", "cancelled", "interrupted"), clean_up, strict=True))
    for name in ("cancelled", "interrupted"):
        wait_for(lambda command=commands[name]: command.trial(0).steps or not command.running())
    cluster.command("scancel", f"{commands['cancelled'].trial(0).jobs[0]['SLURM_ARRAY_JOB_ID']}_0")
    commands["interrupted"].process.send_signal(signal.SIGINT)
    return commands


def test_ctrl_c_stops_trials_after_their_epoch_and_starts_no_others(
    cluster: Cluster, troubled: dict[str, Command]
) -> None:
    command = troubled["interrupted"]
    assert command.wait().code == 130
    (attempt,) = command.trial(0).attempts
    assert (attempt["status"], "stopped as asked" in attempt["reason"]) == ("KILLED", True)
    assert command.trial(1).attempts == []
    wait_for(lambda: states(cluster, command.trial(0)) == {"0": "COMPLETED", "1": "COMPLETED"})


def test_trial_that_runs_out_of_time_is_queued_again_and_goes_on(
    cluster: Cluster, troubled: dict[str, Command]
) -> None:
    command = troubled["short"]
    assert command.wait().code == 0, command.text
    trial = command.trial(0)
    assert trial.statuses == ["KILLED", "FINISHED"]
    (first, restarts), (second, more) = (attempt["job"].split(".") for attempt in trial.attempts)
    assert first == second
    assert int(restarts) < int(more)
    assert trial.steps == list(range(1, len(trial.steps) + 1))
    assert statuses(command.outputs) == [("0", "FINISHED")]


def test_cancelled_job_is_told_and_the_others_go_on(cluster: Cluster, troubled: dict[str, Command]) -> None:
    """The second trial waited for the first, which was cancelled while it ran."""
    command = troubled["cancelled"]
    assert command.wait().code == 1
    assert "1 of 2 trials finished" in command.text
    assert "CANCELLED" in command.text
    assert command.trial(0).statuses == ["KILLED"]
    assert "cancelled" in command.trial(0).attempts[0]["reason"]
    assert statuses(command.outputs) == [("0", "KILLED"), ("1", "FINISHED")]
    assert states(cluster, command.trial(0)) == {"0": "CANCELLED", "1": "COMPLETED"}
    assert harness.processes_of(command.outputs) == []


def test_trial_whose_node_fails_goes_on_at_another(
    cluster: Cluster, output_folder: Callable[[], Path], clean_up: list[Command]
) -> None:
    command = start(output_folder(), *SLURM, environment=cluster.environment, fates={0: "go on until attempt 2"})
    clean_up.append(command)
    wait_for(lambda: command.trial(0).steps or not command.running())
    (job,) = command.trial(0).jobs
    cluster.crash_node(job["SLURMD_NODENAME"])
    before = command.trial(0).steps
    command.wait()
    cluster.start_node(job["SLURMD_NODENAME"])
    assert command.code == 0, command.text
    trial = command.trial(0)
    assert trial.statuses == [None, "FINISHED"]  # nobody was left to say how the first ended
    assert [each["SLURMD_NODENAME"] for each in trial.jobs] in (list(NODES), list(reversed(NODES)))
    assert trial.steps[: len(before)] == before
    assert trial.steps == list(range(1, len(trial.steps) + 1))
    assert statuses(command.outputs) == [("0", "FINISHED")]
