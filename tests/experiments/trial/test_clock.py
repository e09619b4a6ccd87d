"""Clocks that are set back: every attempt expires, and nothing ends before it starts."""

import json
import os
import shutil
import time
from functools import partial
from pathlib import Path

import pytest

from experiments import names
from experiments.trial import attempts, journal
from tests.support import harness, prepared, transferred

pytestmark = pytest.mark.filterwarnings("ignore")

OVERRIDES = (f"schedule.epochs={prepared.EPOCHS}",)


def test_attempt_that_was_touched_tomorrow_is_over(tmp_path: Path) -> None:
    """An attempt of another machine that was touched tomorrow, by a clock since set back, is over."""
    attempts.claim(tmp_path, "1 x cpu")
    path = tmp_path / "attempts" / "0001.json"
    transferred.edit_json(path, host="elsewhere")
    tomorrow = time.time() + 86400
    os.utime(path, (tomorrow, tomorrow))
    assert attempts.state(tmp_path) == "interrupted"
    assert attempts.claim(tmp_path, "1 x cpu").attempt.number == 2


def test_no_run_ends_before_it_starts(tmp_path: Path, empty_store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever a clock did between two attempts, and within one."""
    tell = partial(transferred.tell, capsys, outputs=tmp_path)
    shutil.copy(empty_store, tmp_path)
    paths = prepared.finished(tmp_path, *OVERRIDES)
    transferred.edit_json(paths.root / "attempts" / "0001.json", ended=prepared.BEGAN - 3600)
    assert tell("sync")[0] == 0
    (run,) = harness.runs(tmp_path)
    assert run.info.end_time >= run.info.start_time == 1000 * prepared.BEGAN
    assert run.data.metrics[names.WALL_SECONDS] >= 0
    claim = json.loads((paths.root / "attempts" / "0001.json").read_text())
    second = claim | {"number": 2, "started": prepared.BEGAN - 7200, "ended": prepared.BEGAN - 3600}
    (paths.root / "attempts" / "0002.json").write_text(json.dumps(second))
    assert tell("sync")[0] == 0
    (run,) = harness.runs(tmp_path)
    assert run.info.end_time >= run.info.start_time
    assert run.data.metrics[names.WALL_SECONDS] == 3600


def test_records_of_a_process_come_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    before = journal.stamped(step=1)
    assert abs(before["time"] / 1000 - time.time()) < 60
    monkeypatch.setattr(time, "time_ns", lambda: 0)
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert journal.stamped(step=2)["time"] >= before["time"]


def test_attempt_ends_after_it_started(tmp_path: Path) -> None:
    """As the trial's folder has it, whatever its file says."""
    attempts.claim(tmp_path, "1 x cpu").update(status="FAILED", ended=1.0)
    attempt = attempts.last(tmp_path)
    assert attempt is not None
    assert attempt.heard == attempt.started > 1.0
