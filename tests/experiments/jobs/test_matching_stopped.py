"""The process that makes a trial's matches is killed, hangs or is interrupted: the same command makes them again."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from experiments import names
from tests.support import faults, harness
from tests.support.matched import again, assert_complete, folder, run_of, trained
from tests.support.running import Preloaded, Swept, wait_for

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.long
@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("crash", "its process was ended by SIGSEGV"),
        ("hang", "hung: no sign of life for 3 s (resources.patience)"),
        ("deaf hang", "hung: no sign of life for 3 s (resources.patience)"),
        ("shot before the errors", "its process was ended by SIGKILL (out of memory?)"),
        ("shot before the matches", "its process was ended by SIGKILL (out of memory?)"),
    ],
)
def test_killed_matching_is_repeated_by_the_same_command(
    preloaded: Preloaded, swept: Swept, bare: Path, tmp_path: Path, fault: str, reason: str
) -> None:
    trials = [folder(bare, "none"), folder(bare, "conv1")]
    before = [trained(trial) for trial in trials]
    first = again(preloaded, swept, bare, tmp_path / "faults", fault, "resources.patience=3").wait()
    assert first.code == 1
    assert first.stdout.count(f"finished, but without matches.npz ({reason}); ") == 2
    assert "2 of 2 trials finished\n" in first.stdout
    assert harness.processes_of(bare / "trials") == []
    assert [run_of(bare, trial).data.tags[names.UNMATCHED] for trial in trials] == [reason] * 2
    second = again(preloaded, swept, bare).wait()
    assert (second.code, second.stderr) == (0, "")
    assert [trained(trial) for trial in trials] == before
    for trial in trials:
        assert_complete(bare, trial, swept)


def test_matching_of_a_killed_command_is_repeated_by_the_next(
    preloaded: Preloaded, swept: Swept, bare: Path, tmp_path: Path
) -> None:
    """The next command kills the process that still hangs and ignores SIGTERM."""
    first = again(preloaded, swept, bare, tmp_path / "faults", "deaf hang")
    wait_for((tmp_path / "faults" / "begun").exists)
    (hung,) = harness.processes_of(bare / "trials")
    first.signal(signal.SIGKILL)
    first.wait()
    second = again(preloaded, swept, bare).wait()
    assert (second.code, second.stderr) == (0, "")
    assert not Path(f"/proc/{hung}").exists()
    for trial in bare.glob("trials/*"):
        assert_complete(bare, trial, swept)


def test_two_commands_share_the_matching(preloaded: Preloaded, swept: Swept, bare: Path, tmp_path: Path) -> None:
    """The second waits for the matches that the first makes; no training begins meanwhile."""
    fault = tmp_path / "faults"
    first = again(preloaded, swept, bare, fault, "slow")
    wait_for((fault / "begun").exists)
    second = again(preloaded, swept, bare)
    wait_for(lambda: "another command makes its matches; this command skips it\n" in second.stdout)
    refused = again(preloaded, swept, bare, None, "", "rerun=true").wait()
    assert refused.code == 2
    assert "error: another command is making the matches of " in refused.stderr
    (fault / "go").touch()
    for command in (first, second):
        assert command.wait().code == 0, command.stdout + command.stderr
    assert second.stdout.count("another command makes its matches; this command skips it\n") <= 2
    for trial in bare.glob("trials/*"):
        assert_complete(bare, trial, swept)
        assert len(harness.attempts(trial)) == 1


@pytest.mark.long
@pytest.mark.parametrize("times", [1, 2])
def test_first_ctrl_c_waits_for_the_matching_and_a_second_kills_it(
    preloaded: Preloaded, swept: Swept, bare: Path, tmp_path: Path, times: int
) -> None:
    fault = tmp_path / "faults"
    command = again(preloaded, swept, bare, fault, "slow")
    wait_for((fault / "begun").exists)
    for number in range(times):
        command.signal(signal.SIGINT)
        wait_for(lambda wanted=number + 1: command.stdout.count("\nstopping ") == wanted)
    if times == 1:
        (fault / "go").touch()
    assert command.wait().code == 130
    assert "2 of 2 trials finished\n" in command.stdout
    assert len([*bare.glob("trials/*/matches.npz")]) == (1 if times == 1 else 0)  # the other was not begun
    assert ("(stopped as asked)" in command.stdout) == (times == 2)
    assert harness.processes_of(bare / "trials") == []
    assert again(preloaded, swept, bare).wait().code == 0
    for trial in bare.glob("trials/*"):
        assert_complete(bare, trial, swept)


def test_matching_process_ends_with_its_command(tmp_path: Path, bare: Path) -> None:
    """It watches the process that started it, as ranks do."""
    trial, environment = folder(bare), faults.make(tmp_path / "faults", "hang")
    os.utime(trial / "attempts" / "0001.json")
    launcher = "import subprocess, sys; subprocess.run([sys.executable, '-m', *sys.argv[1:]])"
    process = subprocess.Popen(
        [sys.executable, "-c", launcher, "experiments.training.decisions", str(trial), "1"],
        cwd=harness.ROOT,
        env=harness.of_nobody() | {"PYTHONPATH": f"{harness.ROOT}:{environment['PYTHONPATH']}"},
    )
    wait_for((tmp_path / "faults" / "begun").exists)
    process.kill()
    process.wait()
    wait_for(lambda: not harness.processes_of(trial))
