"""The journal: what the training tells is read whole, in order and once, while it grows."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from experiments.trial import journal


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl"


def record(step: int, **more: Any) -> journal.Record:
    """A complete epoch."""
    return journal.stamped(step=step, metrics={"bbox/AP": step / 3}, **more)


def test_reader_gives_each_record_once_in_order(path: Path) -> None:
    reader = journal.Reader(path)
    assert reader.new_records() == []  # there is no file yet
    journal.append(path, record(1))
    journal.append(path, record(2))
    assert [record["step"] for record in reader.new_records()] == [1, 2]
    assert reader.new_records() == []
    journal.append(path, record(3))
    assert [record["step"] for record in reader.new_records()] == [3]


def test_line_still_being_written_waits(path: Path) -> None:
    reader = journal.Reader(path)
    records = (record(1), {"time": 1, "step": 2, "metrics": {"caf\u00e9": 1.5}})
    data = "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in records).encode()
    seen = []
    for end in range(len(data) + 1):  # cut at every byte, within the two-byte letter too
        path.write_bytes(data[:end])
        seen.append([record["step"] for record in reader.new_records()])
    assert [steps for steps in seen if steps] == [[1], [2]]
    assert seen[-1] == [2]


def test_record_keeps_every_digit_and_is_stamped_in_milliseconds(path: Path) -> None:
    before = time.time() * 1000
    journal.append(path, journal.stamped(step=1, metrics={"a": 0.1 + 0.2, "b": 1 / 3, "c": float("nan")}))
    (record,) = journal.Reader(path).new_records()
    assert record["metrics"]["a"] == 0.1 + 0.2
    assert record["metrics"]["b"] == 1 / 3
    assert record["metrics"]["c"] != record["metrics"]["c"]
    assert before - 1 <= record["time"] <= time.time() * 1000


def test_mended_journal_has_no_torn_line_wherever_it_was_cut(path: Path) -> None:
    """A record that is appended after a kill starts a new line, and every record before it keeps its digits."""
    lines = [json.dumps(record(step)).encode() + b"\n" for step in (1, 2, 3)]
    whole = b"".join(lines)
    for cut in range(len(whole) + 1):
        path.write_bytes(whole[:cut])
        assert journal.mend(path) == 0  # no damage: its writer was stopped
        kept = sum(cut >= len(b"".join(lines[: n + 1])) for n in range(3))
        assert path.read_bytes() == b"".join(lines[:kept])
        journal.append(path, record(9))
        assert [record["step"] for record in journal.Reader(path).new_records()] == [*[1, 2, 3][:kept], 9]


def test_progress_is_the_last_record_of_training(path: Path) -> None:
    assert journal.so_far(path) == journal.Journal({}, None, None)
    training = [journal.stamped(epoch=epoch, iteration=1, iterations=2, loss=0.5) for epoch in (1, 2)]
    complete = journal.stamped(step=1, metrics={"bbox/AP": 0.5})
    evaluating = journal.stamped(epoch=2, iteration=1, iterations=9, evaluating=True)
    for one in (training[0], complete, training[1], evaluating):
        journal.append(path, one)
    assert journal.so_far(path) == journal.Journal({1: complete}, training[1], None)


DAMAGED = {
    "no JSON": b'{"time": 1, "step": 2, "metrics": {"bbox/AP": 0.\xff',
    "no text": b'"step"\xff\x00\xfe',
    "too deep": b'{"step": ' + b"[" * 100_000,
    "a list": b'["step"]',
    "a number": b'{"time": 1, "step": 2.5, "metrics": {}}',
    "no step": b'{"time": 1, "step": 0, "metrics": {}}',
    "no metrics": b'{"time": 1, "step": 2}',
    "no time": b'{"step": 2, "metrics": {}}',
    "a metric as text": b'{"time": 1, "step": 2, "metrics": {"bbox/AP": "0.5"}}',
    "a truth": b'{"time": 1, "step": 2, "metrics": {"bbox/AP": true}}',
    "a metric of nothing": b'{"time": 1, "step": 2, "metrics": {"bbox/AP": null}}',
    "a metric of 400 digits": b'{"time": 1, "step": 2, "metrics": {"bbox/AP": 1' + 400 * b"0" + b"}}",
    "a step that is true": b'{"time": 1, "step": true, "metrics": {}}',
    "a step of 400 digits": b'{"time": 1, "step": 1' + 400 * b"0" + b', "metrics": {}}',
    "zeros": b'"step"' + b"\x00" * 30,
    "samples in a number": b'{"time": 1, "step": 2, "metrics": {}, "samples": 5}',
    "a sample in a number": b'{"time": 1, "step": 2, "metrics": {}, "samples": [5]}',
    "a bad sample": b'{"time": 1, "step": 2, "metrics": {}, "samples": [{"step": 1}]}',
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_damaged_line_is_named_and_costs_no_other(path: Path, damage: str) -> None:
    """No reader fails at it; taken out, the journal is as if it had never been there."""
    progress = journal.stamped(epoch=3, iteration=1, iterations=2, loss=0.5)
    lines = [json.dumps(one).encode() for one in (record(1), progress, record(3))]
    path.write_bytes(b"\n".join([*lines[:2], DAMAGED[damage], lines[2], b""]))
    found = journal.so_far(path)
    assert (list(found.complete), found.newest, found.damage) == ([1, 3], progress, "line 3 is damaged")
    assert [one.get("step") for one in journal.Reader(path).new_records()] == [1, None, 3]
    assert journal.mend(path) == 1
    assert path.read_bytes() == b"\n".join([*lines, b""])
    assert journal.so_far(path).damage is None


@pytest.mark.parametrize("line", [b"", b"{}", b'{"time": 1, "epoch": 1, "iteration": 1, "iterations": 0, "loss": 1}'])
def test_damaged_progress_counts_for_nothing(path: Path, line: bytes) -> None:
    path.write_bytes(line + b"\n")
    assert journal.Reader(path).new_records() == []
    assert journal.so_far(path).newest is None
    assert journal.mend(path) == 1
    assert path.read_bytes() == b""


def test_epoch_that_is_there_twice(path: Path) -> None:
    """The same to the last digit is no harm, with NaN too; of others the first counts, and the line is named."""
    first = {"time": 1, "step": 1, "metrics": {"bbox/AP": 0.1 + 0.2, "loss": float("nan")}}
    for _ in range(2):
        journal.append(path, first)
    assert journal.so_far(path).damage is None
    journal.append(path, {**first, "metrics": {"bbox/AP": 0.3, "loss": float("nan")}})
    found = journal.so_far(path)
    assert (found.damage, found.complete[1]["metrics"]["bbox/AP"]) == (
        "line 3 is a second record of epoch 1",
        0.1 + 0.2,
    )


def test_digest_knows_every_digit_and_no_order_of_keys(path: Path) -> None:
    one = {"time": 1, "step": 1, "metrics": {"a": 0.1 + 0.2, "b": 1 / 3}}
    same = {"step": 1, "metrics": {"b": 1 / 3, "a": 0.1 + 0.2}, "time": 1}
    journal.write(path, [one])
    assert journal.digest([one]) == journal.digest([same]) == journal.digest(journal.complete_epochs(path).values())
    assert journal.digest([one]) != journal.digest([{**one, "metrics": {"a": 0.3, "b": 1 / 3}}])
