"""Starts `run.py` in a process that is already warm, with real or fake training, and reads what it left."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlflow.entities import Run

from tests.support import harness

HERE = Path(__file__).parent


@dataclass
class Command:
    """A `run.py` that was started."""

    folder: Path
    process: int

    def signal(self, number: int) -> None:
        os.kill(self.process, number)

    def running(self) -> bool:
        return not (self.folder / "code").exists()

    def wait(self) -> "Command":
        """Waits for its end."""
        wait_for(lambda: not self.running())
        return self

    @property
    def code(self) -> int:
        """Exit code, or minus the signal that ended it."""
        return int((self.folder / "code").read_text())

    @property
    def stdout(self) -> str:
        return (self.folder / "stdout").read_text()

    @property
    def stderr(self) -> str:
        return (self.folder / "stderr").read_text()


def wait_for(condition: Callable[[], object]) -> None:
    """Waits until a condition holds."""
    end = time.monotonic() + harness.PATIENCE
    while not condition():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.02)


class Preloaded:
    """Starts `run.py` as a user does, in a process that need not import torch, MMDetection and MLflow first."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.count = 0
        self.server = subprocess.Popen(
            [sys.executable, str(HERE / "preloaded.py")],
            cwd=harness.ROOT,
            env={**harness.of_nobody(), "PYTHONPATH": str(harness.ROOT)},
            stdin=subprocess.PIPE,
            stdout=(folder / "server.log").open("w"),
            stderr=subprocess.STDOUT,
            text=True,
        )

    def start(
        self,
        *arguments: str,
        cwd: Path = harness.ROOT,
        fake_training: bool = False,
        torchrun: bool = False,
        ignored: Sequence[int] = (),
        environment: Mapping[str, str] | None = None,
    ) -> Command:
        """Starts `python run.py ARGUMENTS`; if asked, signals are ignored and fake_worker.py replaces the training.

        The fake is started by torchrun only where that is asked for, too. More may be set in the environment.
        """
        worker = str(HERE / "fake_worker.py") if fake_training else None
        return self._begin(
            program="run.py",
            cwd=str(cwd),
            arguments=arguments,
            ignored=ignored,
            worker=worker,
            torchrun=torchrun,
            environment=dict(environment or {}),
        )

    def start_rank(self, trial: Path, attempt: int, accident: tuple[str, int] | None = None) -> Command:
        """Starts the only rank of a trial, as torchrun does; see accidents.py for what may happen to it."""
        environment = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1"}
        arguments = (str(trial), str(attempt))
        return self._begin(
            program="experiments/training/worker.py", arguments=arguments, environment=environment, accident=accident
        )

    def several(self, lines: Path, results: Path, cwd: Path) -> Command:
        """Runs several.py to its end."""
        arguments = (str(lines), str(results))
        return self._begin(program="tests/support/several.py", arguments=arguments, cwd=str(cwd)).wait()

    def _begin(self, **job: Any) -> Command:
        self.count += 1
        folder = self.folder / str(self.count)
        folder.mkdir()
        defaults = {"cwd": str(harness.ROOT), "environment": {}, "ignored": (), "worker": None, "accident": None}
        assert self.server.stdin is not None
        self.server.stdin.write(json.dumps({**defaults, **job, "folder": str(folder)}) + "\n")
        self.server.stdin.flush()
        wait_for((folder / "pid").exists)
        return Command(folder, int((folder / "pid").read_text()))

    def run(self, *arguments: str, **options: Any) -> Command:
        """Runs `python run.py ARGUMENTS` to its end, with the options of `start`."""
        return self.start(*arguments, **options).wait()


@dataclass(frozen=True)
class Swept:
    """Two trials as the first command of the README runs them, only smaller."""

    outputs: Path
    arguments: tuple[str, ...]
    done: subprocess.CompletedProcess[str]


@dataclass
class Fake:
    """Commands whose training is fake_worker.py's."""

    preloaded: Preloaded
    outputs: Path
    commands: list[Command] = field(default_factory=list)

    def start(self, fates: dict[int, str], *more: str, **options: Any) -> Command:
        harness.set_fates(self.outputs, fates)
        seeds = f"seed={','.join(map(str, fates))}"
        arguments = (*harness.TINY, seeds, f"output_dir={self.outputs}", *more)
        self.commands.append(self.preloaded.start("-m", *arguments, fake_training=True, **options))
        return self.commands[-1]

    def run(self, fates: dict[int, str], *more: str, **options: Any) -> Command:
        return self.start(fates, *more, **options).wait()

    def folder(self, seed: int) -> Path:
        (found,) = self.outputs.glob(f"trials/*-s{seed}-*")
        return found

    def began(self, seed: int, attempt: int = 1) -> bool:
        """Whether a training has made an epoch in an attempt."""
        files = [
            found / name for found in self.outputs.glob(f"trials/*-s{seed}-*") for name in ("began", "journal.jsonl")
        ]
        return all(file.exists() for file in files) and bool(files) and f"{attempt}\n" in files[0].read_text()

    def runs(self, seed: int) -> list[Run]:
        return [run for run in harness.runs(self.outputs) if run.data.params["seed"] == str(seed)]

    def statuses(self, *seeds: int) -> list[tuple[int, str]]:
        return [(seed, run.info.status) for seed in seeds for run in self.runs(seed)]

    def attempts(self, seed: int) -> list[tuple[str, str]]:
        """Returns status and reason of each attempt."""
        return [(attempt["status"], attempt["reason"]) for attempt in harness.attempts(self.folder(seed))]

    def planned(self, seed: int) -> tuple[str, bool, str]:
        """Returns what the newest plan says of a trial: state, whether it is to run, and why."""
        newest = max(self.outputs.glob("plans/*.json"), key=lambda path: path.stat().st_mtime)
        (found,) = (trial for trial in json.loads(newest.read_text())["trials"] if trial["seed"] == seed)
        return found["state"], found["to_run"], found["why"]

    def assert_each_epoch_once(self, seed: int) -> None:
        """One MLflow run has what the journal has, and no step twice."""
        (run,) = self.runs(seed)
        points = harness.mlflow_metrics(self.outputs, run)
        assert points == harness.journal_metrics(self.folder(seed))
        steps = [(name, step) for name, step, _, _ in points]
        assert len(set(steps)) == len(steps)
