"""Several commands on one output folder: each trial has one owner at a time and is trained once."""

import os
import signal
import time

import psutil
import pytest

from tests.support import harness
from tests.support.running import Fake, wait_for

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.long
def test_suspended_command_leaves_a_lost_trial_to_the_other(fake: Fake) -> None:
    """Stopped for so long that another command took the trial; when it wakes, it ends and touches nothing."""
    first = fake.start({1: "go on"})
    wait_for(lambda: fake.began(1))
    wait_for(lambda: "bbox/AP" in fake.runs(1)[0].data.metrics)  # else it might sleep with MLflow's file locked
    first.signal(signal.SIGSTOP)
    wait_for(lambda: psutil.Process(first.process).status() == psutil.STATUS_STOPPED)
    claim = fake.folder(1) / "attempts" / "0001.json"
    os.utime(claim, (1, 1))
    second = fake.start({1: "go on"})
    wait_for(lambda: fake.began(1, attempt=2))
    before = claim.read_bytes()
    first.signal(signal.SIGCONT)
    assert first.wait().code == 1
    assert "taken over by another" in first.stdout
    assert "FAILED" not in first.stdout
    assert claim.read_bytes() == before
    time.sleep(1)  # for the second to see what the first did, had it done something
    assert second.running()
    second.signal(signal.SIGINT)
    assert second.wait().code == 130
    (lost, taken) = fake.attempts(1)
    assert lost == (None, None)
    assert taken[0] == "KILLED"
    assert taken[1].startswith("stopped as asked after epoch ")
    assert fake.statuses(1) == [(1, "KILLED")]


def test_two_commands_at_once_share_the_work(fake: Fake) -> None:
    """Each trial is trained once, in one MLflow run; both commands end, and a later one sees all finished."""
    seeds = range(1, 7)
    commands = [fake.start(dict.fromkeys(seeds, "finish")) for _ in range(2)]
    for command in commands:
        assert command.wait().code in (0, 1), command.stderr  # 1: the last trial was still the other's
        assert "Traceback" not in command.stdout + command.stderr
    assert 0 in [command.code for command in commands]
    for seed in seeds:
        assert fake.attempts(seed) == [("FINISHED", None)]
        assert (fake.folder(seed) / "began").read_text() == "1\n"
        fake.assert_each_epoch_once(seed)
    later = fake.run(dict.fromkeys(seeds, "finish"))
    assert later.code == 0, later.stdout
    assert "0 to run" in later.stdout
    assert len(harness.runs(fake.outputs)) == len(seeds)
