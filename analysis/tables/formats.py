"""Writes the ablation table as Markdown and CSV, and names the writer of each file ending."""

import csv
import io
import math
from collections.abc import Callable

from analysis.read.metrics import KINDS, POINTS
from analysis.tables.ablation import Published, Row, Table, note
from analysis.tables.html import table_page
from analysis.tables.latex import latex
from experiments import names

MEASURED = "measured"


def markdown(table: Table) -> str:
    """Returns the caption, a table per IoU type and a note on how to read them."""
    parts = [f"**{table.caption}**"]
    for iou_type, block in table.blocks.items():
        head = [KINDS[iou_type], *names.COCO_METRICS, "n", "epoch", "state"]
        cells = [
            [line.label, *(_bold(table, line, name) for name in block), line.n, line.epoch, line.state]
            for line in table.lines
        ]
        if not any(line.state for line in table.lines):
            head, cells = head[:-1], [line[:-1] for line in cells]
        rule = ["---", *["---:"] * (len(names.COCO_METRICS) + 2), "---"][: len(head)]
        parts.append("\n".join(pipes(line) for line in (head, rule, *cells)))
    return "\n\n".join(filter(None, [*parts, table.rest, *table.doubts, note(table), _sentence(table.source)])) + "\n"


def comma_separated(table: Table) -> str:
    """Returns a header and a line per variant: AP x 100 with four decimals, an empty cell where there is no number.

    `source` is "measured", or says that the numbers are published; these have no trials, profile, data or epoch.
    """
    metrics = [name for block in table.blocks.values() for name in block]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        ["row", "variant", "source", *metrics, "n", "seeds", "epoch", "state", "trials", "sweep", *table.context]
    )
    for line in table.lines:
        if isinstance(line, Published):
            cells = [f"{line.values[name]:.4f}" if name in line.values else "" for name in metrics]
            writer.writerow(
                [line.name, "", line.label, *cells, "", "", "", "", "", table.sweep, *("" for _ in table.context)]
            )
            continue
        values = [POINTS * line.values[name] for name in metrics]
        cells = ["" if math.isnan(value) else f"{value:.4f}" for value in values]
        counts = [line.finished, line.trials, line.epoch, line.state, " ".join(line.trial_ids)]
        writer.writerow([line.name, line.label, MEASURED, *cells, *counts, table.sweep, *table.context.values()])
    return text.getvalue()


WRITERS: dict[str, Callable[[Table], str]] = {
    ".md": markdown,
    ".csv": comma_separated,
    ".tex": latex,
    ".html": table_page,
}


def _sentence(text: str) -> str:
    return f"{text}." if text else ""


def _bold(table: Table, line: Row | Published, name: str) -> str:
    text = line.shown(name)
    return f"**{text}**" if table.is_best(line, name) else text


def pipes(cells: list[str]) -> str:
    """Returns a line of a Markdown table."""
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"
