"""The cost of a trial, estimated by training it for some seconds."""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from experiments.jobs import calibration, ranks
from experiments.planning.estimate import Estimate
from experiments.planning.plan import Entry, Plan
from experiments.trial import journal
from tests.support import harness

EPOCHS = 12


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a measurement puts what it needs, empty."""
    made = tmp_path / "temporary"
    made.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(made))
    return made


def entry(folder: Path, *overrides: str) -> Entry:
    told = (*harness.TINY, f"schedule.epochs={EPOCHS}", f"output_dir={folder}", *overrides)
    one = Entry(harness.labelled(harness.composed(*told), told))
    one.runs, one.cost = True, Estimate(None, "no similar trial was measured yet")
    return one


def trains(monkeypatch: pytest.MonkeyPatch, *records: dict, seconds: int = 600) -> None:
    """Has a training write these records and last so long."""

    def start(paths, *_):  # type: ignore[no-untyped-def]
        for record in records:
            journal.append(paths.journal, record)
        return subprocess.Popen([sys.executable, "-c", f"import time; time.sleep({seconds})"], start_new_session=True)

    monkeypatch.setattr(ranks, "start", start)


def at(seconds: float, iteration: int) -> dict:
    return {"time": round(1000 * seconds), "epoch": 1, "iteration": iteration, "iterations": 200, "loss": 1.0}


@pytest.mark.long
def test_real_training_is_measured_and_leaves_nothing(place: Path, tmp_path: Path) -> None:
    began = time.monotonic()
    one = entry(tmp_path)
    calibration.fill(Plan((one,), ("x",), 1))
    assert one.cost.device_hours is not None
    assert 0 < one.cost.device_hours / EPOCHS * 3600 < time.monotonic() - began
    assert list(place.iterdir()) == []
    assert harness.processes_of(place) == []


def test_start_up_is_not_counted(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From step 3 at 40 s to step 28 at 50 s: 0.4 s a step, 200 steps an epoch."""
    trains(monkeypatch, at(40, 3), at(45, 15), at(50, 28))
    one = entry(tmp_path)
    calibration.fill(Plan((one,), ("x",), 1))
    assert one.cost.device_hours == pytest.approx(EPOCHS * 80 / 3600)
    assert one.cost.source == "10 s of training here; evaluation not included"


def test_epoch_that_is_sooner_over_is_taken_whole(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trains(monkeypatch, at(1, 100), {"time": 3000, "step": 1, "metrics": {"epoch/train_seconds": 2.5}})
    one = entry(tmp_path)
    calibration.fill(Plan((one,), ("x",), 1))
    assert one.cost.device_hours == pytest.approx(EPOCHS * 2.5 / 3600)


def test_variant_that_does_not_get_to_train_says_so(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trains(monkeypatch, seconds=0)
    entries = (entry(tmp_path, "seed=0"), entry(tmp_path, "seed=1"), entry(tmp_path, "pre=conv3"))
    calibration.fill(Plan(entries, ("x",), 1))
    assert {one.cost for one in entries} == {
        Estimate(None, "calibration did not reach the first training step; start the trial to see why")
    }
    assert capsys.readouterr().out.count("measuring") == 2  # the seeds of a variant together
