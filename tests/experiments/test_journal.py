"""The journal: what the training tells is read whole, in order and once, while it grows."""

import json
import time
from pathlib import Path

import pytest

from experiments.record import journal


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl"


def test_reader_gives_each_record_once_in_order(path: Path) -> None:
    reader = journal.Reader(path)
    assert reader.new_records() == []  # there is no file yet
    journal.append(path, journal.stamped(step=1))
    journal.append(path, journal.stamped(step=2))
    assert [record["step"] for record in reader.new_records()] == [1, 2]
    assert reader.new_records() == []
    journal.append(path, journal.stamped(step=3))
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
    journal.append(path, journal.stamped(step=1, metrics={"bbox/AP": 0.5}))
    with path.open("a") as file:
        file.write('{"time": 12, "step": 2, "metr')
    assert [record["step"] for record in journal.Reader(path).new_records()] == [1]


def test_record_keeps_every_digit_and_is_stamped_in_milliseconds(path: Path) -> None:
    before = time.time() * 1000
    journal.append(path, journal.stamped(step=1, metrics={"a": 0.1 + 0.2, "b": 1 / 3, "c": float("nan")}))
    (record,) = journal.Reader(path).new_records()
    assert record["metrics"]["a"] == 0.1 + 0.2
    assert record["metrics"]["b"] == 1 / 3
    assert record["metrics"]["c"] != record["metrics"]["c"]
    assert before - 1 <= record["time"] <= time.time() * 1000


def test_mended_journal_has_no_torn_line_wherever_it_was_cut(path: Path) -> None:
    """What is appended after a kill is a line of its own, and every record before it is there to the last digit."""
    records = [journal.stamped(step=step, metrics={"bbox/AP": step / 3}) for step in (1, 2, 3)]
    lines = [json.dumps(record).encode() + b"\n" for record in records]
    whole = b"".join(lines)
    for cut in range(len(whole) + 1):
        path.write_bytes(whole[:cut])
        journal.mend(path)
        kept = sum(cut >= len(b"".join(lines[: n + 1])) for n in range(3))
        assert path.read_bytes() == b"".join(lines[:kept])
        journal.append(path, {"time": 1, "step": 9})
        assert [record["step"] for record in journal.Reader(path).new_records()] == [*[1, 2, 3][:kept], 9]


def test_complete_epochs_are_those_with_a_step(path: Path) -> None:
    assert journal.complete_epochs(path) == {}
    journal.append(path, journal.stamped(epoch=1, iteration=1, iterations=2, loss=0.5))
    journal.append(path, journal.stamped(step=1, metrics={"bbox/AP": 0.5}))
    journal.append(path, journal.stamped(epoch=2, iteration=1, iterations=2, evaluating=True))
    assert list(journal.complete_epochs(path)) == [1]


def test_how_far_it_is_is_what_training_said_last(path: Path) -> None:
    assert journal.so_far(path) == ({}, None)
    training = [journal.stamped(epoch=epoch, iteration=1, iterations=2, loss=0.5) for epoch in (1, 2)]
    complete = journal.stamped(step=1, metrics={"bbox/AP": 0.5})
    evaluating = journal.stamped(epoch=2, iteration=1, iterations=9, evaluating=True)
    for record in (training[0], complete, training[1], evaluating):
        journal.append(path, record)
    assert journal.so_far(path) == ({1: complete}, training[1])
