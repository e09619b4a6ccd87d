"""The trial's own record: one JSON object a line, appended by the worker, read by whoever watches.

Two kinds of record, told apart by their keys:
  {"time": ms since 1970, "step": epoch, "metrics": {name: value}}       to be kept: MLflow gets the same time and step
  {"time": ms, "epoch": 3, "iteration": 7, "iterations": 50, "loss": x}  how far the training is
"""

import json
import time
from pathlib import Path
from typing import Any

Record = dict[str, Any]


def append(path: Path, **fields: Any) -> None:
    """Appends one record in a single write, stamped with the time."""
    line = json.dumps({"time": time.time_ns() // 1_000_000, **fields})
    with path.open("a") as file:
        file.write(line + "\n")


class Reader:
    """Reads a journal while it grows."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.offset = 0

    def new_records(self) -> list[Record]:
        """Returns the records completed since the last call; a line still being written waits for the next."""
        if not self.path.exists():
            return []
        with self.path.open("rb") as file:
            file.seek(self.offset)
            content = file.read()
        whole = content[: content.rfind(b"\n") + 1]
        self.offset += len(whole)
        return [json.loads(line) for line in whole.splitlines()]
