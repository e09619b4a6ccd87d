"""The journal: what the training tells is read whole, in order and once, while it grows."""

import json
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from experiments import journal
from experiments.hooks import JournalHook


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl"


def test_reader_gives_each_record_once_in_order(path: Path) -> None:
    reader = journal.Reader(path)
    assert reader.new_records() == []  # there is no file yet
    journal.append(path, step=1)
    journal.append(path, step=2)
    assert [record["step"] for record in reader.new_records()] == [1, 2]
    assert reader.new_records() == []
    journal.append(path, step=3)
    assert [record["step"] for record in reader.new_records()] == [3]


def test_line_still_being_written_waits(path: Path) -> None:
    reader = journal.Reader(path)
    whole = json.dumps({"step": 1}) + "\n" + json.dumps({"step": 2, "metrics": {"caf\u00e9": 1.5}}, ensure_ascii=False)
    data = whole.encode() + b"\n"
    seen = []
    for end in range(len(data) + 1):  # cut at every byte, within the two-byte letter too
        path.write_bytes(data[:end])
        seen.append([record["step"] for record in reader.new_records()])
    assert [steps for steps in seen if steps] == [[1], [2]]
    assert seen[-1] == [2]


def test_torn_last_line_of_a_dead_worker_is_left_out(path: Path) -> None:
    journal.append(path, step=1, metrics={"bbox/AP": 0.5})
    with path.open("a") as file:
        file.write('{"time": 12, "step": 2, "metr')
    assert [record["step"] for record in journal.Reader(path).new_records()] == [1]


def test_record_keeps_every_digit_and_is_stamped_in_milliseconds(path: Path) -> None:
    before = time.time() * 1000
    journal.append(path, step=1, metrics={"a": 0.1 + 0.2, "b": 1 / 3, "c": float("nan")})
    (record,) = journal.Reader(path).new_records()
    assert record["metrics"]["a"] == 0.1 + 0.2
    assert record["metrics"]["b"] == 1 / 3
    assert record["metrics"]["c"] != record["metrics"]["c"]
    assert before - 1 <= record["time"] <= time.time() * 1000


def epoch(hook: JournalHook, runner: Any, losses: list[float]) -> None:
    """What MMEngine calls in a training epoch."""
    hook.before_train_epoch(runner)
    for index, loss in enumerate(losses):
        hook.after_train_iter(runner, index, None, {"loss": torch.tensor(loss)})
    hook.after_train_epoch(runner)


def test_hook_writes_the_mean_loss_of_each_epoch_at_its_number(path: Path) -> None:
    hook, runner = JournalHook(str(path)), SimpleNamespace(epoch=0, train_dataloader=range(2))
    epoch(hook, runner, [1.0, 2.0])
    runner.epoch = 1
    epoch(hook, runner, [4.0, 8.0])
    kept = [record for record in journal.Reader(path).new_records() if "metrics" in record]
    assert [(record["step"], record["metrics"]["train/loss"]) for record in kept] == [(1, 1.5), (2, 6.0)]
    assert all(0 <= record["metrics"]["train/epoch_seconds"] < 10 for record in kept)


def test_hook_writes_validation_under_our_names_at_the_epoch_that_ended(path: Path) -> None:
    """MMEngine has counted the epoch by then, and has put the metric's prefix before each name."""
    hook = JournalHook(str(path))
    hook.after_val_epoch(SimpleNamespace(epoch=3), {"coco/bbox/AP": 0.123456789, "coco/segm/APl": -1.0})
    (record,) = journal.Reader(path).new_records()
    assert (record["step"], record["metrics"]) == (3, {"bbox/AP": 0.123456789, "segm/APl": -1.0})


def test_hook_tells_progress_now_and_then(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hook, runner = JournalHook(str(path)), SimpleNamespace(epoch=4, train_dataloader=range(3))
    monkeypatch.setattr("experiments.hooks.PROGRESS_SECONDS", 0.0)
    epoch(hook, runner, [1.0, 2.0, 3.0])
    told = [record for record in journal.Reader(path).new_records() if "iteration" in record]
    assert [(r["epoch"], r["iteration"], r["iterations"], r["loss"]) for r in told] == [
        (5, 1, 3, 1.0),
        (5, 2, 3, 2.0),
        (5, 3, 3, 3.0),
    ]
