"""Transient failures are retried, others are not; and every way to stop a sweep, which resumes where it stopped."""

import os
import shutil
import signal
import socket
import time
from pathlib import Path

import pytest

from tests.experiments.jobs.test_isolation import ranks_of
from tests.support import harness
from tests.support.running import Fake, wait_for

pytestmark = pytest.mark.filterwarnings("ignore")


MISTAKE = "ValueError: a mistake in the code"


def test_error_in_the_code_is_retried_only_when_asked_for(fake: Fake) -> None:
    """The other trial of the sweep runs; the last lines of the log and its path are on the terminal."""
    failed = fake.run({100: "error", 101: "finish"})
    assert failed.code == 1
    assert fake.attempts(100) == [("FAILED", MISTAKE)]
    assert fake.statuses(100, 101) == [(100, "FAILED"), (101, "FINISHED")]
    lines = failed.stdout.splitlines()
    (where,) = (number for number, line in enumerate(lines) if f"FAILED: {MISTAKE}; see" in line)
    assert lines[where].endswith(str(fake.folder(100) / "log.txt"))
    assert lines[where + 1 : where + 9] == [*(f"  line {number}" for number in range(13, 20)), f"  {MISTAKE}"]
    assert "line 12" not in failed.stdout
    assert "1 of 2 trials finished" in lines
    assert f"  failed  {fake.folder(100).name}: {MISTAKE}" in lines
    assert lines[-1].endswith("with retry.failed=true it also retries the failed trials")

    again = fake.run({100: "error", 101: "finish"})
    assert again.code == 1
    assert "0 to run" in again.stdout
    assert fake.planned(100) == ("failed", False, f"{MISTAKE}; correct it and add retry.failed=true")
    assert len(fake.attempts(100)) == 1
    assert fake.statuses(100) == [(100, "FAILED")]

    mended = fake.run({100: "finish", 101: "finish"}, "retry.failed=true")
    assert mended.code == 0, mended.stdout
    assert fake.attempts(100) == [("FAILED", MISTAKE), ("FINISHED", None)]
    assert fake.statuses(100, 101) == [(100, "FINISHED"), (101, "FINISHED")]
    fake.assert_each_epoch_once(100)


@pytest.mark.long
@pytest.mark.parametrize(
    ("seed", "fate", "reason"),
    [
        (110, "memory", "OutOfMemoryError: CUDA out of memory"),
        (116, "half a record", "its processes ended without giving a reason"),
        (111, "silent", "hung: no sign of life for 1 s (resources.patience)"),
    ],
)
def test_transient_failure_is_retried_at_once(fake: Fake, seed: int, fate: str, reason: str) -> None:
    done = fake.run({seed: f"{fate} until attempt 2"}, "resources.patience=1")
    assert done.code == 0, done.stdout
    assert fake.attempts(seed) == [("FAILED", reason), ("FINISHED", None)]
    assert fake.statuses(seed) == [(seed, "FINISHED")]
    fake.assert_each_epoch_once(seed)


def test_transient_failure_that_stays_fails_after_the_last_attempt(fake: Fake) -> None:
    """The next command tries again and resumes after the last epoch."""
    failed = fake.run({112: "memory"}, "retry.attempts=2")
    assert failed.code == 1
    reason = "OutOfMemoryError: CUDA out of memory"
    assert fake.attempts(112) == [("FAILED", reason)] * 2
    assert failed.stdout.splitlines()[-1] == "the same command resumes them"
    again = fake.run({112: "finish"})
    assert again.code == 0, again.stdout
    assert fake.planned(112) == ("failed", True, f"{reason}; resumes after epoch 2")
    fake.assert_each_epoch_once(112)


@pytest.mark.long
def test_out_of_memory_twice_at_one_step_is_not_retried(fake: Fake) -> None:
    """Out of memory at one step in two attempts in a row. One more attempt where somebody asks for it."""
    failed = fake.run({117: "memory at 7"})
    assert failed.code == 1
    reason = "OutOfMemoryError: CUDA out of memory"
    (first, second) = harness.attempts(fake.folder(117))
    assert (first["reason"], first["transient"], first["memory_at"]) == (reason, True, 7)
    assert (second["transient"], second["memory_at"]) == (False, 7)
    assert second["reason"].startswith(f"{reason}, at step 7 in two attempts in a row; it does not fit; keep")
    for setting in ("extractor.checkpoint=true", "resources.gpus", "schedule.batch_size", "profile.image_scale"):
        assert setting in second["reason"]
    again = fake.run({117: "memory at 7"})
    assert (again.code, "0 to run" in again.stdout) == (1, True)
    assert fake.planned(117) == ("failed", False, f"{second['reason']}; correct it and add retry.failed=true")
    asked = fake.run({117: "memory at 7"}, "retry.failed=true")
    assert (asked.code, len(harness.attempts(fake.folder(117)))) == (1, 3)
    assert fake.run({117: "finish"}, "retry.failed=true").code == 0


def test_out_of_memory_at_other_steps_is_retried(fake: Fake) -> None:
    """Where memory runs out at another step each time, other programs may hold some of it."""
    failed = fake.run({118: "memory later"})
    assert failed.code == 1
    found = harness.attempts(fake.folder(118))
    assert [(attempt["memory_at"], attempt["transient"]) for attempt in found] == [(1, True), (2, True), (3, True)]


def test_segfault_of_a_rank_is_named(fake: Fake) -> None:
    failed = fake.run({113: "SIGSEGV"}, "retry.attempts=1", torchrun=True)
    assert failed.code == 1
    assert fake.attempts(113) == [("FAILED", "a process was ended by SIGSEGV")]
    assert f"FAILED: a process was ended by SIGSEGV; see {fake.folder(113) / 'log.txt'}" in failed.stdout


@pytest.mark.long
def test_trial_with_a_killed_torchrun_is_retried(fake: Fake, temporary: Path) -> None:
    """The rank that outlives it is killed first; no temporary file of either is left."""
    command = fake.start({114: "go on until attempt 2"}, torchrun=True, environment={"TMPDIR": str(temporary)})
    wait_for(lambda: fake.began(114))
    (rank,) = ranks_of(fake.folder(114))
    (torchrun,) = set(harness.processes_of(fake.folder(114))) - {rank}
    os.kill(torchrun, signal.SIGKILL)
    wait_for(lambda: len(harness.attempts(fake.folder(114))) == 2)
    assert command.wait().code == 0, command.stdout
    assert not Path(f"/proc/{rank}").exists()
    assert fake.attempts(114) == [("FAILED", "its processes ended without giving a reason"), ("FINISHED", None)]
    assert harness.left_in(temporary) == []
    fake.assert_each_epoch_once(114)


@pytest.mark.long
def test_trial_of_a_killed_command_is_resumed_at_once(fake: Fake, temporary: Path) -> None:
    """The next command ends the processes of the first, removes their files and writes to the same MLflow run."""
    first = fake.start({115: "go on until attempt 2"}, torchrun=True, environment={"TMPDIR": str(temporary)})
    wait_for(lambda: fake.began(115))
    first.signal(signal.SIGKILL)
    assert first.wait().code == -signal.SIGKILL
    orphans = harness.processes_of(fake.folder(115))
    assert len(orphans) == 2  # torchrun and its rank
    assert fake.statuses(115) == [(115, "RUNNING")]
    assert harness.left_in(temporary) != []
    second = fake.run({115: "go on until attempt 2"}, environment={"TMPDIR": str(temporary)})
    assert second.code == 0, second.stdout
    assert harness.left_in(temporary) == []
    state, runs, why = fake.planned(115)
    assert (state, runs, why.rstrip("0123456789")) == ("interrupted", True, "resumes after epoch ")
    assert not any(Path(f"/proc/{process}").exists() for process in orphans)
    assert fake.attempts(115) == [(None, None), ("FINISHED", None)]
    assert fake.statuses(115) == [(115, "FINISHED")]
    fake.assert_each_epoch_once(115)


def test_ctrl_c_stops_after_the_epoch_and_the_same_command_goes_on(fake: Fake) -> None:
    """Finished trials stay finished, and no further trial is begun."""
    first = fake.start({120: "finish", 121: "go on until attempt 2", 122: "finish"})
    wait_for(lambda: fake.began(121))
    first.signal(signal.SIGINT)
    assert first.wait().code == 130
    assert "stopping after the current epoch; Ctrl-C again stops at once" in first.stdout
    assert "1 of 3 trials finished" in first.stdout
    assert "the same command resumes them" in first.stdout
    ((status, reason),) = fake.attempts(121)
    assert (status, reason.rstrip("0123456789")) == ("KILLED", "stopped as asked after epoch ")
    assert fake.statuses(120, 121, 122) == [(120, "FINISHED"), (121, "KILLED")]
    second = fake.run({120: "finish", 121: "go on until attempt 2", 122: "finish"})
    assert second.code == 0, second.stdout
    assert "2 to run" in second.stdout
    assert "3 of 3 trials finished" in second.stdout
    assert fake.statuses(120, 121, 122) == [(120, "FINISHED"), (121, "FINISHED"), (122, "FINISHED")]
    fake.assert_each_epoch_once(121)


@pytest.mark.long
@pytest.mark.parametrize(
    ("seed", "numbers"),
    [(123, [signal.SIGINT] * 3), (124, [signal.SIGHUP]), (125, [signal.SIGTERM])],
    ids=["Ctrl-C three times", "terminal closed", "SIGTERM"],
)
def test_every_way_to_stop_at_once(fake: Fake, seed: int, numbers: list[signal.Signals]) -> None:
    """Of a training that ignores the request to stop after its epoch."""
    command = fake.start({seed: "silent", seed + 10: "finish"})
    wait_for(lambda: fake.began(seed))
    for number in numbers:
        if command.running():
            command.signal(number)
        time.sleep(0.3)
    assert command.wait().code == 130
    assert "stopping at once" in command.stdout
    assert fake.attempts(seed) == [("KILLED", "stopped as asked")]
    assert fake.statuses(seed, seed + 10) == [(seed, "KILLED")]


def test_sweep_under_nohup_ignores_sighup(fake: Fake) -> None:
    """A signal that the caller ignores stays ignored."""
    command = fake.start({126: "silent"}, ignored=[signal.SIGHUP])
    wait_for(lambda: fake.began(126))
    command.signal(signal.SIGHUP)
    time.sleep(2)  # longer than the fake training takes to be stopped
    assert command.running()
    assert fake.statuses(126) == [(126, "RUNNING")]
    command.signal(signal.SIGTERM)
    assert command.wait().code == 130
    assert fake.statuses(126) == [(126, "KILLED")]


def test_fail_fast_starts_no_other_trial(fake: Fake) -> None:
    failed = fake.run({130: "error", 131: "finish"}, "fail_fast=true")
    assert failed.code == 1
    assert fake.statuses(130, 131) == [(130, "FAILED")]
    assert f"  to do  {fake.folder(131).name}" in failed.stdout


def test_trial_that_another_command_runs_is_left_to_it(fake: Fake) -> None:
    first = fake.start({140: "go on"})
    wait_for(lambda: fake.began(140))
    second = fake.run({140: "go on"})
    assert second.code == 1  # what was asked for is not finished
    assert "another command still trains them" in second.stdout
    assert fake.planned(140) == ("running", False, f"attempt 1 on {socket.gethostname()}")
    assert first.running()
    assert fake.statuses(140) == [(140, "RUNNING")]
    first.signal(signal.SIGINT)
    assert first.wait().code == 130


def test_outputs_are_made_where_the_command_is_typed(fake: Fake, empty_store: Path, tmp_path: Path) -> None:
    (tmp_path / "outputs").mkdir()
    shutil.copy(empty_store, tmp_path / "outputs")
    assert fake.preloaded.run(*harness.TINY, cwd=tmp_path, fake_training=True).code == 0
    assert [run.info.status for run in harness.runs(tmp_path / "outputs")] == ["FINISHED"]
