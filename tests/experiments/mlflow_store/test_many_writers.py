"""Eight trials that write to one new sqlite store at once: nobody is refused, and the store has all of each."""

import multiprocessing
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
import yaml

from experiments import names
from experiments.commands import Place
from experiments.mlflow_store import runs
from experiments.paths import TrialPaths
from experiments.trial import attempts, journal
from tests.support import harness, prepared

pytestmark = pytest.mark.filterwarnings("ignore")

WRITERS = 8


class Told(runs.Courier):
    """A courier that writes down every trouble, however short."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "trouble" and value is not None:
            with (self.paths.root / "troubles").open("a") as file:
                file.write(f"{value}\n")
        super().__setattr__(name, value)


def write(paths: TrialPaths) -> None:
    """Does what the process of a trial does, only that its updates and epochs follow each other closely."""
    runs.SECONDS, runs.CLOSING_SECONDS = 0.1, harness.PATIENCE
    claim = attempts.claim(paths.root, "1 x cpu")
    courier = Told(Place.of(yaml.safe_load(paths.config.read_text())), paths)
    for epoch in range(1, prepared.EPOCHS + 1):
        journal.append(paths.journal, prepared.record(epoch, 0.4))
        time.sleep(0.1)
    claim.update(status=names.FINISHED, ended=time.time())
    assert courier.close() is None


def side_by_side(work: Callable[[TrialPaths], None], folders: list[TrialPaths]) -> list[BaseProcess]:
    """Runs a function on each folder in its own process, all at once, to their end."""
    context = multiprocessing.get_context("fork")  # MLflow is imported once
    processes: list[BaseProcess] = [context.Process(target=work, args=(paths,)) for paths in folders]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return processes


@pytest.mark.usefixtures("empty_store")  # by which MLflow's own start was made before the forks
def test_eight_writers_of_one_new_store(tmp_path: Path) -> None:
    folders = [prepared.folder(tmp_path, seed=seed) for seed in range(WRITERS)]
    done = side_by_side(write, folders)
    assert [process.exitcode for process in done] == [0] * WRITERS
    assert [line for paths in folders for line in _lines(paths.root / "troubles")] == []
    runs = {run.data.tags[names.TRIAL_ID]: run for run in harness.runs(tmp_path)}
    assert (len(harness.runs(tmp_path)), len(runs)) == (WRITERS, WRITERS)
    for paths in folders:
        run = runs[paths.root.name]
        assert run.info.status == "FINISHED"
        points = [point for point in harness.mlflow_metrics(tmp_path, run) if not point[0].startswith("cost/")]
        assert points == harness.journal_metrics(paths.root)


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []
