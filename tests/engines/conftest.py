"""The servers, started once and stopped at the end, and folders to work in."""

import contextlib
import os
import shutil
import signal
from collections.abc import Iterator

import pytest

from tests.support import harness
from tests.support.engines.cluster import PROGRAMS, Cluster
from tests.support.engines.commands import Command


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing or os.getuid():
        pytest.skip("a Slurm of our own needs root and the packages that `make test-engines` installs")
    started = Cluster(tmp_path_factory.mktemp("slurm"))
    try:
        started.start()
        yield started
    finally:
        started.stop()


@pytest.fixture(scope="module")
def clean_up() -> Iterator[list[Command]]:
    """Commands that are ended, with what they started, when a test breaks off."""
    commands: list[Command] = []
    yield commands
    for command in commands:
        if command.running():
            command.process.kill()
            command.process.wait()
        for process in harness.processes_of(command.outputs):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
