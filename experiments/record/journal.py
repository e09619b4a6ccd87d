"""The trial's own record: one JSON object a line, appended by the worker, read by whoever watches.

Two kinds of record, told apart by their keys:
  {"time": ms since 1970, "step": epoch, "metrics": {name: value},       a complete epoch: MLflow gets its metrics, and
   "samples": [{"time": ms, "step": iteration, "metrics": {...}}, ...]}    of some of its steps, with time and step
  {"time": ms, "epoch": 3, "iteration": 7, "iterations": 50, "loss": x}  how far the training is; or, in place of loss,
                                                                         "evaluating": true
"""

import json
import time
from pathlib import Path
from typing import Any

from experiments import names

Record = dict[str, Any]


def stamped(**fields: Any) -> Record:
    """Returns a record of now."""
    return {"time": time.time_ns() // 1_000_000, **fields}


def append(path: Path, record: Record) -> None:
    """Appends one record in a single write."""
    with path.open("a") as file:
        file.write(json.dumps(record) + "\n")


def mend(path: Path) -> None:
    """Cuts off a record whose writer was stopped in the middle of it."""
    if path.exists():
        with path.open("r+b") as file:
            file.truncate(file.read().rfind(b"\n") + 1)


def complete_epochs(path: Path) -> dict[int, Record]:
    """Returns the records of the complete epochs, by epoch."""
    return so_far(path)[0]


def so_far(path: Path) -> tuple[dict[int, Record], Record | None]:
    """Returns the records of the complete epochs, by epoch, and the last that says how far the training is.

    Most lines of a long journal say how far it once was: these are not read.
    """
    lines = _lines(path, 0)
    complete = {record["step"]: record for record in (json.loads(line) for line in lines if b'"step"' in line)}
    newest = next((line for line in reversed(lines) if b'"loss"' in line and b'"step"' not in line), None)
    return complete, json.loads(newest) if newest else None


def seconds(epoch: Record) -> float:
    """Returns what a complete epoch took, training and evaluation."""
    return float(sum(epoch["metrics"].get(name, 0.0) for name in (names.EPOCH_SECONDS, names.VALIDATION_SECONDS)))


class Reader:
    """Reads a journal while it grows."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.offset = 0

    def new_records(self) -> list[Record]:
        """Returns the records completed since the last call; a line still being written waits for the next."""
        lines = _lines(self.path, self.offset)
        self.offset += sum(map(len, lines))
        return [json.loads(line) for line in lines]


def _lines(path: Path, offset: int) -> list[bytes]:
    """Returns the whole lines after an offset; none where there is no journal yet."""
    if not path.exists():
        return []
    with path.open("rb") as file:
        file.seek(offset)
        content = file.read()
    return content[: content.rfind(b"\n") + 1].splitlines(keepends=True)
