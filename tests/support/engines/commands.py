"""What tests of engines share: commands started as a user starts them, and what they left."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlflow.entities import Run

from tests.support import harness

PATIENCE = 240  # seconds until something has happened that takes seconds on an idle machine


def wait_for(condition: Callable[[], object]) -> None:
    """Waits until a condition holds."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.1)


@dataclass
class Command:
    """A sweep that was started, what it prints in `log`."""

    process: subprocess.Popen
    log: Path
    outputs: Path

    def wait(self) -> "Command":
        self.process.wait(PATIENCE)
        return self

    def running(self) -> bool:
        return self.process.poll() is None

    @property
    def code(self) -> int:
        assert self.process.returncode is not None
        return self.process.returncode

    @property
    def text(self) -> str:
        """What it has printed, its lines joined."""
        return " ".join(self.log.read_text().split())

    def trial(self, seed: int) -> "TrialFolder":
        """Returns the trial of a seed once it is planned."""
        wait_for(lambda: list(self.outputs.glob(f"trials/*-s{seed}-*")) or not self.running())
        (folder,) = self.outputs.glob(f"trials/*-s{seed}-*")
        return TrialFolder(folder)


@dataclass(frozen=True)
class TrialFolder:
    """What a trial's folder tells, read without the project's code."""

    root: Path

    @property
    def attempts(self) -> list[dict[str, Any]]:
        return [json.loads(path.read_text()) for path in sorted(self.root.glob("attempts/*.json"))]

    @property
    def statuses(self) -> list[str | None]:
        """How each attempt ended."""
        return [attempt["status"] for attempt in self.attempts]

    @property
    def jobs(self) -> list[dict[str, str]]:
        """The environment of each job that came to run it (only with the stand-in for the training)."""
        path = self.root / "jobs"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    @property
    def epochs(self) -> list[dict[str, Any]]:
        """The journal's records of complete epochs."""
        path = self.root / "journal.jsonl"
        records = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        return [record for record in records if "step" in record]

    @property
    def steps(self) -> list[int]:
        return [record["step"] for record in self.epochs]

    @property
    def points(self) -> list[tuple[str, int, float, int]]:
        """The complete epochs' metrics as (name, step, value, time), sorted."""
        return sorted(
            (name, record["step"], value, record["time"])
            for record in self.epochs
            for name, value in record["metrics"].items()
        )

    @property
    def results(self) -> list[dict[str, float]]:
        """Each epoch's metrics but for durations."""
        return [
            {name: value for name, value in record["metrics"].items() if "seconds" not in name}
            for record in self.epochs
        ]


def recorded(outputs: Path, trial: TrialFolder, run: Run) -> list[tuple[str, int, float, int]]:
    """Returns what MLflow has of the metrics of complete epochs, in the same form as `TrialFolder.points`."""
    found = harness.mlflow_metrics(outputs, run)
    return [point for point in found if point[0] in {name for name, *_ in trial.points}]


def start(
    outputs: Path,
    *arguments: str,
    environment: Mapping[str, str],
    trains: bool = False,
    fates: Mapping[int, str] | None = None,
    cwd: Path = harness.ROOT,
    within: Sequence[str] = (),
) -> Command:
    """Starts `python run.py ARGUMENTS` in a process group of its own, as a terminal does; by default without training.

    `within` is a command that starts others, such as `srun`. `fates` says what becomes of each seed that does not train
    (see fake_worker.py).
    """
    outputs.mkdir(exist_ok=True)
    if fates:
        (outputs / "fates.json").write_text(json.dumps({str(seed): fate for seed, fate in fates.items()}))
    program = harness.ROOT / "run.py" if trains else Path(__file__).with_name("stand_in.py")
    log = outputs / f"command{len(list(outputs.glob('command*')))}.txt"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [*within, sys.executable, str(program), "-m", *harness.TINY, *arguments, f"output_dir={outputs}"],
            cwd=cwd,
            env={**harness.of_nobody(), **environment},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return Command(process, log, outputs)
