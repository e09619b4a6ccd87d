"""The ablation table as text for files: Markdown to read, CSV to compute with."""

import csv
import io
import math
from collections.abc import Callable

from analysis.metrics import KINDS, METRICS
from analysis.tables import Row, Table
from experiments import names

NOTE = "AP x 100 at the last epoch, mean over the finished seeds (n); best per column bold; - means none to measure."


def markdown(table: Table) -> str:
    """Returns the caption, a table per IoU type and a note on how to read them."""
    parts = [f"**{table.caption}**"]
    for iou_type, block in table.blocks.items():
        head = [KINDS[iou_type], *names.COCO_METRICS, "n", "epoch", "state"]
        rows = [
            [row.label, *(_bold(table, row, name) for name in block), row.n, row.epoch, row.state] for row in table.rows
        ]
        if not any(row.state for row in table.rows):
            head, rows = head[:-1], [row[:-1] for row in rows]
        rule = ["---", *["---:"] * (len(names.COCO_METRICS) + 2), "---"][: len(head)]
        parts.append("\n".join(_pipes(cells) for cells in (head, rule, *rows)))
    return "\n\n".join([*parts, NOTE]) + "\n"


def comma_separated(table: Table) -> str:
    """Returns a header and a line per variant: AP x 100 with four decimals, an empty cell where there is no number."""
    metrics = [name for block in table.blocks.values() for name in block]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["variant", *metrics, "n", "seeds", "epoch", "state", "sweep", *table.context])
    for row in table.rows:
        numbers = [row.values[name] for name in metrics]
        cells = ["" if math.isnan(v) else f"{METRICS[m].scale * v:.4f}" for m, v in zip(metrics, numbers, strict=True)]
        counts = [row.finished, row.trials, row.epoch, row.state]
        writer.writerow([row.label, *cells, *counts, table.sweep, *table.context.values()])
    return text.getvalue()


WRITERS: dict[str, Callable[[Table], str]] = {".md": markdown, ".csv": comma_separated}


def _bold(table: Table, row: Row, name: str) -> str:
    text = row.shown(name)
    return f"**{text}**" if table.is_best(row, name) else text


def _pipes(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"
