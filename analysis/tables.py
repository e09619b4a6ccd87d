"""Frames -> the ablation table as plain data: one line per row and variant, no file written."""

from dataclasses import dataclass, replace

import pandas as pd

from analysis import wording
from analysis.metrics import COCO_NAMES, METRICS, coco_block
from experiments import names
from experiments.declared import Declaration

NOTE = "AP x 100 at the last epoch, mean over the finished seeds (n); best per column bold; - means none to measure."
OF_PUBLISHED = "Published numbers are on COCO, of one run each, and compared with none of ours."


@dataclass(frozen=True)
class Row:
    """One variant in a row: means over its finished trials, as fractions; NaN where there is no number to show."""

    name: str  # of the declared row; for a typed sweep the same as the label
    label: str
    variant_id: str  # "" where the row has no trial
    values: dict[str, float]
    finished: int  # trials with a result; `values` is their mean
    trials: int  # trials known to MLflow, and those that the sweep lacks
    epoch: str  # the epoch that the values come from; "10-12" where the seeds ended at different ones
    trial_ids: tuple[str, ...]  # of the finished ones
    state: str  # why some trials have no result, or that the sweep's file has no such row; "" where all is well

    @property
    def n(self) -> str:
        """Returns the number of finished seeds, and of how many where some are not."""
        return str(self.finished) if self.finished == self.trials else f"{self.finished} of {self.trials}"

    def shown(self, name: str) -> str:
        """Returns a value as the paper prints it, "41.3"; "-" for a NaN among results, "" where there is no result."""
        return shown(name, self.values[name]) if self.finished else ""


@dataclass(frozen=True)
class Published:
    """The numbers published for a declared row, to be read beside ours and never compared with them."""

    name: str
    values: dict[str, float]  # times 100; without what was not published
    label = "published (COCO, 1 run)"
    n = epoch = state = ""

    def shown(self, name: str) -> str:
        """Returns a value as published, "-" where there is none."""
        return f"{self.values[name]:.1f}" if name in self.values else "-"


@dataclass(frozen=True)
class Table:
    """An ablation table: `blocks` maps an IoU type to its six metric names, `best` a metric to its best shown text."""

    sweep: str
    caption: str
    context: dict[str, str]
    blocks: dict[str, tuple[str, ...]]
    lines: tuple[Row | Published, ...]
    best: dict[str, str]
    rest: str  # what to type for the rows and seeds that are not run; "" where there are none
    source: str  # the commits that the trials ran, and how many trials

    @property
    def rows(self) -> tuple[Row, ...]:
        """Returns the lines of our own numbers."""
        return tuple(line for line in self.lines if isinstance(line, Row))

    def is_best(self, line: Row | Published, name: str) -> bool:
        """Tells whether a line holds the best value of a column; all of ours that print alike do."""
        return isinstance(line, Row) and line.shown(name) == self.best.get(name)


def note(table: Table) -> str:
    """Returns how to read the table."""
    return f"{NOTE} {OF_PUBLISHED}" if len(table.lines) > len(table.rows) else NOTE


def shown(name: str, value: float) -> str:
    """Returns a metric as the paper prints it, AP x 100 with one decimal, and "-" for NaN."""
    return "-" if pd.isna(value) else f"{METRICS[name].scale * value:.1f}"


def ablation_table(
    sweep: str, lines: pd.DataFrame, metrics: pd.DataFrame, declaration: Declaration | None = None
) -> Table:
    """Returns the table of a sweep from `rows_frame` and `metrics_frame` with COCO_NAMES as its columns.

    Each trial counts with its last evaluated epoch. A mean is NaN as soon as one of its finished seeds is. Boxes and
    masks are shown as declared, else boxes, and masks where any trial has them.
    """
    last = metrics.sort_values("epoch").drop_duplicates(names.TRIAL_ID, keep="last").set_index(names.TRIAL_ID)
    found = tuple(_row(line, last) for _, line in lines.groupby("line"))
    measured = names.IOU_TYPES if metrics[list(coco_block("segm"))].notna().any(axis=None) else ("bbox",)
    shown_types = declaration.columns if declaration and declaration.columns else measured
    blocks = {iou_type: coco_block(iou_type) for iou_type in shown_types}
    best = {}
    for name in COCO_NAMES:
        numbers = {row.variant_id: row.values[name] for row in found if not pd.isna(row.values[name])}
        if len(numbers) > 1:  # the best of one says nothing, in however many rows it stands
            best[name] = shown(name, max(numbers.values()))
    caption, rest = wording.caption(sweep, lines, declaration), wording.rest(sweep, lines)
    return Table(sweep, caption, wording.context(lines), blocks, found, best, rest, wording.source(lines))


def with_published(table: Table, declaration: Declaration | None) -> Table:
    """Returns the table with the published numbers of each declared row in a line below it."""
    if declaration is None:
        return table
    published = {
        row.name_in(declaration.name): {
            name: value
            for iou_type, values in row.published.items()
            for name, value in zip(coco_block(iou_type), values, strict=True)
        }
        for row in declaration.rows
    }
    lines: list[Row | Published] = []
    for row, following in zip(table.rows, [*table.rows[1:], None], strict=True):
        lines.append(row)
        if published.get(row.name) and (following is None or following.name != row.name):
            lines.append(Published(row.name, published[row.name]))
    return replace(table, lines=tuple(lines))


def _row(line: pd.DataFrame, last: pd.DataFrame) -> Row:
    states = {}
    finished = []
    for trial in line.itertuples():
        epoch = int(last.at[trial.trial_id, "epoch"]) if trial.trial_id in last.index else None
        states[trial.seed] = wording.state(trial.status, trial.reason, epoch)
        if not states[trial.seed]:
            finished.append(trial.trial_id)
    results = last.loc[finished]
    ends = sorted({int(epoch) for epoch in results["epoch"]})
    first = line.iloc[0]
    return Row(
        name=first["row"],
        label=first["label"],
        variant_id=first[names.VARIANT_ID],
        values={name: float(results[name].mean(skipna=False)) for name in COCO_NAMES},
        finished=len(finished),
        trials=len(line),
        trial_ids=tuple(finished),
        epoch="-".join(str(epoch) for epoch in (ends if len(ends) < 3 else (ends[0], ends[-1]))),
        state="; ".join(filter(None, (wording.states(states), first["remark"]))),
    )
