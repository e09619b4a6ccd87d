"""A trial's journal: one JSON object per line, which the worker appends and other processes read while it grows.

Two kinds of record, with different keys:
  {"time": ms since 1970, "step": epoch, "metrics": {name: value},       a complete epoch: MLflow gets its metrics, and
   "samples": [{"time": ms, "step": iteration, "metrics": {...}}, ...]}    of some of its steps, with time and step
  {"time": ms, "epoch": 3, "iteration": 7, "iterations": 50, "loss": x}  how far the training is; or, in place of loss,
                                                                         "evaluating": true

Any other line is damaged. Every reader here leaves it out, and `so_far` says which line it is. A file that cannot be
read at all raises DamagedError.
"""

import hashlib
import json
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from experiments import files, names
from experiments.reading import DamagedError, of_json, unreadable

Record = dict[str, Any]
OBJECT = TypeAdapter(Record)
LARGEST = 2**53  # whole numbers below it are known exactly everywhere
PROGRESS = ("time", "epoch", "iteration", "iterations")  # whole numbers of a record that says how far the training is


@dataclass(frozen=True)
class Journal:
    """The content of a journal."""

    complete: dict[int, Record]  # the records of the complete epochs, by epoch
    newest: Record | None  # the last that says how far the training is
    damage: str | None  # what is wrong with the first bad line: "line 7 is damaged"


def stamped(**fields: Any) -> Record:
    """Returns a record with the present time. Within a process times never fall, even if the clock is set back."""
    return {"time": (_BEGAN + _elapsed()) // 1_000_000, **fields}


def _elapsed() -> int:
    """Returns nanoseconds of a clock that cannot be set and, where possible, counts while the machine is suspended."""
    return time.clock_gettime_ns(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


_BEGAN = time.time_ns() - _elapsed()  # nanoseconds since 1970


def append(path: Path, record: Record) -> None:
    """Appends one record in a single write. A complete epoch's record is on the disk when this returns."""
    with path.open("a") as file:
        file.write(json.dumps(record) + "\n")
        file.flush()
        if "step" in record:
            os.fsync(file.fileno())


def mend(path: Path) -> int:
    """Removes damaged lines, and a last line that its writer did not complete.

    Returns how many damaged lines there were.
    """
    if not path.exists():
        return 0
    lines = _lines(path, 0)
    os.truncate(path, sum(map(len, lines)))
    whole = [line for line in lines if _parsed(line) is not None]
    if len(whole) < len(lines):
        files.write(path, b"".join(whole))
    return len(lines) - len(whole)


def write(path: Path, records: Iterable[Record]) -> None:
    """Writes a journal with these records only, in one step."""
    files.write(path, "".join(json.dumps(record) + "\n" for record in records))


def complete_epochs(path: Path) -> dict[int, Record]:
    """Returns the records of the complete epochs, by epoch."""
    return so_far(path).complete


def so_far(path: Path) -> Journal:
    """Returns the content of a journal; no epochs if there is no journal yet.

    Most lines of a long journal are old records of progress: these are not parsed.
    """
    lines = _lines(path, 0)
    complete: dict[int, Record] = {}
    damage = None
    for number, line in enumerate(lines, 1):
        if b'"step"' in line:
            record = _parsed(line)
            if record is None:
                damage = damage or f"line {number} is damaged"
            elif record["step"] not in complete:
                complete[record["step"]] = record
            elif digest([complete[record["step"]]]) != digest([record]):
                damage = damage or f"line {number} is a second record of epoch {record['step']}"
    progress = (_parsed(line) for line in reversed(lines) if b'"loss"' in line and b'"step"' not in line)
    return Journal(complete, next(filter(None, progress), None), damage)


def digest(records: Iterable[Record]) -> str:
    """Returns the SHA-256 of records, in hexadecimal; it changes with the last digit of any value."""
    text = "\n".join(json.dumps(record, sort_keys=True) for record in records)
    return hashlib.sha256(text.encode()).hexdigest()


def seconds(epoch: Record) -> float:
    """Returns the seconds of a complete epoch, training and evaluation."""
    return float(sum(epoch["metrics"].get(name, 0.0) for name in (names.EPOCH_SECONDS, names.VALIDATION_SECONDS)))


def point(path: Path) -> Record:
    """Returns the only record of a file (the cost, the errors); DamagedError if it has none."""
    found, _ = of_json(path, OBJECT)
    if not _is_point(found):
        raise DamagedError(path, "is damaged (it holds no metrics)")
    return found


class Reader:
    """Reads a journal while it grows."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.offset = 0

    def new_records(self) -> list[Record]:
        """Returns the records completed since the last call; a line still being written waits for the next."""
        lines = _lines(self.path, self.offset)
        self.offset += sum(map(len, lines))
        return [record for line in lines if (record := _parsed(line)) is not None]


def _lines(path: Path, offset: int) -> list[bytes]:
    """Returns the whole lines after an offset; none if there is no journal yet."""
    try:
        with path.open("rb") as file:
            file.seek(offset)
            content = file.read()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise unreadable(path, error) from error
    return content[: content.rfind(b"\n") + 1].splitlines(keepends=True)


def _parsed(line: bytes) -> Record | None:
    """Returns the record that a line holds, None if it holds none."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict):
        return None
    if "step" in record:
        samples = record.get("samples", [])
        known = record["step"] != 0 and isinstance(samples, list) and all(map(_is_point, (record, *samples)))
    else:
        known = all(_is_count(record.get(key)) for key in PROGRESS) and record["iterations"] > 0
        known = known and ("evaluating" in record or _is_number(record.get("loss")))
    return record if known else None


def _is_point(point: Any) -> bool:
    """Returns whether it holds metrics of a step, with their time."""
    return (
        isinstance(point, dict)
        and _is_count(point.get("time"))
        and _is_count(point.get("step"))
        and isinstance(point.get("metrics"), dict)
        and all(map(_is_number, point["metrics"].values()))
    )


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < LARGEST


def _is_number(value: Any) -> bool:
    """Returns whether it is a number that any store takes. Measured values may be infinite or NaN."""
    return isinstance(value, float) or (isinstance(value, int) and not isinstance(value, bool) and abs(value) < LARGEST)
