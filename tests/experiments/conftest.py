"""Expensive things, made once: a sweep of two real trials, and a process that runs `run.py` without starting up."""

import groie  # noqa: F401 (it stands in for the operators that mmcv lacks)

# isort: split
import contextlib
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from tests.support import harness, transferred
from tests.support.running import Fake, Preloaded, Swept


@pytest.fixture(scope="session")
def preloaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Preloaded]:
    server = Preloaded(tmp_path_factory.mktemp("commands"))
    yield server
    assert server.server.stdin is not None
    server.server.stdin.close()
    server.server.wait()


@pytest.fixture(scope="session")
def swept(preloaded: Preloaded, tmp_path_factory: pytest.TempPathFactory) -> Swept:
    """Two real trials; a test that changes their folder takes a copy (`copied`).

    They are trained once, by whichever of the processes that run tests side by side asks first. This does not use
    `preloaded`, which only gets ready meanwhile.
    """
    place = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        place = place.parent  # of all these processes
    outputs, told = place / "swept" / "outputs", place / "swept" / "told.json"
    arguments = ("-m", "pre=none,conv1", "post=attention", *harness.TINY)
    with FileLock(place / "swept.lock"):
        if not told.exists():
            done = harness.run("run.py", *arguments, f"output_dir={outputs}")
            told.write_text(json.dumps([done.args, done.returncode, done.stdout, done.stderr]))
    return Swept(outputs, arguments, subprocess.CompletedProcess(*json.loads(told.read_text())))


@pytest.fixture
def copied(swept: Swept, tmp_path: Path) -> Path:
    """A copy of the two trials' output folder, without the checkpoints."""
    return Path(shutil.copytree(swept.outputs, tmp_path / "outputs", ignore=shutil.ignore_patterns("work")))


@pytest.fixture
def tell(capsys: pytest.CaptureFixture[str]) -> transferred.Teller:
    """Runs `python -m experiments`; returns exit code, stdout and stderr."""
    return lambda *arguments, outputs: transferred.tell(capsys, *arguments, outputs=outputs)


@pytest.fixture
def temporary(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A new folder for temporary files."""
    folder = tmp_path_factory.mktemp("t")
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


@pytest.fixture
def fake(preloaded: Preloaded, output_folder: Callable[[], Path]) -> Iterator[Fake]:
    """Fake trainings in an output folder of this test's; after it, no process is left."""
    fake = Fake(preloaded, output_folder())
    yield fake
    for command in fake.commands:
        if command.running():  # where the test has failed
            command.signal(signal.SIGKILL)
    left = harness.processes_of(fake.outputs)
    for process in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    assert left == []


@pytest.fixture
def small_disk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A small disk, of the size that the test is parametrized with: "56m"."""
    disk = tmp_path / "disk"
    disk.mkdir()
    done = None
    if os.getuid() == 0:
        mount = ["mount", "-t", "tmpfs", "-o", f"size={request.param}", "tmpfs", str(disk)]
        done = subprocess.run(mount, capture_output=True)
    if done is None or done.returncode:
        pytest.skip("a small disk needs root who may mount one")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)  # the process that preloads keeps a file of it open
