"""Shows a trial's progress: a bar in a terminal, otherwise a line per epoch."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from experiments import names
from experiments.console import console
from experiments.trial import described
from experiments.trial.journal import Record

LAST_LINES = 8  # of a failed trial's log that are shown


class TrialDisplay:
    """One trial's progress, from its journal."""

    def __init__(self, description: dict[str, Any], epochs: int) -> None:
        self.title = described.title(description)
        self.epochs = epochs
        self.average_precision = ""
        self.trouble: str | None = None
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[now]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self.task = self.bar.add_task(escape(self.title), total=epochs, now="starting")
        self.bar.start()
        if not console.is_terminal:
            console.print(f"{self.title}: starting", markup=False)

    def update(self, records: Sequence[Record], trouble: str | None) -> None:
        """Shows new journal records, and prints a store's trouble once, until it is over."""
        if trouble and not self.trouble:
            console.print(
                f"{self.title}: MLflow does not accept its record now ({trouble}); training continues", markup=False
            )
        self.trouble = trouble
        for record in records:
            if "evaluating" in record:
                self.bar.update(self.task, now=f"epoch {record['epoch']}/{self.epochs}  evaluating")
            elif "iteration" in record:
                done = record["epoch"] - 1 + record["iteration"] / record["iterations"]
                now = f"epoch {record['epoch']}/{self.epochs}  loss {record['loss']:.3f}  {self.average_precision}"
                self.bar.update(self.task, completed=done, now=now)
            elif names.coco_metric("bbox", "AP") in record["metrics"]:
                self._validated(record["step"], record["metrics"])

    def _validated(self, epoch: int, metrics: dict[str, float]) -> None:
        box = {metric: 100 * metrics[names.coco_metric("bbox", metric)] for metric in ("AP", "AP50")}
        self.average_precision = f"AP {box['AP']:.1f}  AP50 {box['AP50']:.1f}"
        self.bar.update(self.task, completed=epoch, now=f"epoch {epoch}/{self.epochs}  {self.average_precision}")
        if not console.is_terminal:
            console.print(f"{self.title}: epoch {epoch}/{self.epochs}  {self.average_precision}", markup=False)

    def close(self, status: str, reason: str | None, trouble: str | None, log: Path) -> None:
        """Ends the bar with the trial's status, the log of a failure, and missing records in the store."""
        self.bar.stop()
        if trouble:
            console.print(f"{self.title}: MLflow's record is incomplete", style="yellow", markup=False, end=" ")
            console.print(f"({trouble}); {log.parent} has all records", markup=False)
        if status == names.KILLED:
            console.print(f"{self.title}: {reason}", style="yellow", markup=False)
        if status == names.FAILED:
            console.print(f"{self.title}: FAILED: {reason}; see {log}", style="red", markup=False)
            for line in last_lines(log) if log.exists() else ():
                console.print(f"  {line}", style="dim", markup=False)


def last_lines(log: Path) -> list[str]:
    """Returns the end of a trial's log, without torchrun's summary."""
    lines = log.read_text(errors="replace").splitlines()
    told = [number for number, line in enumerate(lines) if "torch/distributed/elastic" in line or "] failed (" in line]
    start = max((number for number, line in enumerate(lines) if line.startswith("--- attempt")), default=0)
    end = min((number for number in told if number > start), default=len(lines))
    return lines[max(start + 1, end - LAST_LINES) : end]
