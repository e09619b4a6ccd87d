"""Ranks end with their attempt: when it is not touched, when another begins, when their launcher is gone."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support import harness
from tests.support.traces import write_attempt

RANK = """
import sys, time
from pathlib import Path
from experiments.trial import attempts
attempts.BEAT_SECONDS, attempts.LAPSE_SECONDS = 0.1, 1.5
attempts.end_with(Path(sys.argv[1]), 1)
(Path(sys.argv[1]) / "began").touch()
time.sleep(600)
"""


LAUNCHER = "import subprocess, sys; subprocess.run([sys.executable, '-c', *sys.argv[1:]])"


class Rank:
    """A process that ends with attempt 1, started by this process or by a launcher."""

    def __init__(self, folder: Path, launcher: bool = False) -> None:
        self.folder = folder
        write_attempt(folder, 1)
        before = [LAUNCHER, RANK] if launcher else [RANK]
        self.process = subprocess.Popen([sys.executable, "-c", *before, str(folder)], cwd=harness.ROOT)
        while not (folder / "began").exists():
            self.touch()
            time.sleep(0.02)

    def touch(self) -> None:
        os.utime(self.folder / "attempts" / "0001.json")

    def touch_until(self, condition: Callable[[], object]) -> None:
        """Is its owner until a condition holds."""
        end = time.monotonic() + harness.PATIENCE
        while not condition():
            assert time.monotonic() < end
            self.touch()
            time.sleep(0.02)


@pytest.fixture
def start_rank(tmp_path: Path) -> Iterator[Callable[..., Rank]]:
    started = []

    def start(**how: bool) -> Rank:
        started.append(Rank(tmp_path, **how))
        return started[-1]

    yield start
    for rank in started:
        rank.process.kill()
        rank.process.wait()


def test_rank_lives_as_long_as_its_attempt_is_touched(start_rank: Callable[..., Rank]) -> None:
    rank = start_rank()
    end = time.monotonic() + 3  # twice as long as an attempt takes to lapse
    rank.touch_until(lambda: time.monotonic() > end)
    assert rank.process.poll() is None
    assert rank.process.wait(harness.PATIENCE) == 1  # touched no more


def test_rank_ends_when_another_attempt_has_begun(start_rank: Callable[..., Rank]) -> None:
    rank = start_rank()
    write_attempt(rank.folder, 2)
    rank.touch_until(lambda: rank.process.poll() is not None)
    assert rank.process.returncode == 1


def test_rank_ends_when_its_launcher_is_gone(start_rank: Callable[..., Rank]) -> None:
    rank = start_rank(launcher=True)
    assert len(harness.processes_of(rank.folder)) == 2
    rank.process.kill()
    rank.process.wait()
    rank.touch_until(lambda: not harness.processes_of(rank.folder))
