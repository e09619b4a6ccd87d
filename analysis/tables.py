"""Frames -> the ablation table as plain data: one row per variant, no file written."""

from dataclasses import dataclass

import pandas as pd

from analysis import wording
from analysis.metrics import COCO_NAMES, METRICS, coco_block
from experiments import names


@dataclass(frozen=True)
class Row:
    """One variant: means over its finished trials, as fractions; NaN where there is no number to show."""

    label: str
    values: dict[str, float]
    finished: int  # trials with a result; `values` is their mean
    trials: int  # trials known to MLflow
    epoch: str  # the epoch that the values come from; "10-12" where the seeds ended at different ones
    state: str  # why some trials have no result, "" where all have one

    @property
    def n(self) -> str:
        """Returns the number of finished seeds, and of how many where some are not."""
        return str(self.finished) if self.finished == self.trials else f"{self.finished} of {self.trials}"

    def shown(self, name: str) -> str:
        """Returns a value as the paper prints it, "41.3"; "-" for a NaN among results, "" where there is no result."""
        return shown(name, self.values[name]) if self.finished else ""


@dataclass(frozen=True)
class Table:
    """An ablation table: `blocks` maps an IoU type to its six metric names, `best` a metric to its best shown text."""

    sweep: str
    caption: str
    context: dict[str, str]
    blocks: dict[str, tuple[str, ...]]
    rows: tuple[Row, ...]
    best: dict[str, str]

    def is_best(self, row: Row, name: str) -> bool:
        """Tells whether a row holds the best value of a column; all that print alike do."""
        return row.shown(name) == self.best.get(name)


def shown(name: str, value: float) -> str:
    """Returns a metric as the paper prints it, AP x 100 with one decimal, and "-" for NaN."""
    return "-" if pd.isna(value) else f"{METRICS[name].scale * value:.1f}"


def ablation_table(sweep: str, trials: pd.DataFrame, metrics: pd.DataFrame) -> Table:
    """Returns the table of a sweep from `trials_frame` and `metrics_frame` with COCO_NAMES as its columns.

    Each trial counts with its last evaluated epoch. A mean is NaN as soon as one of its finished seeds is.
    """
    last = metrics.sort_values("epoch").drop_duplicates(names.TRIAL_ID, keep="last").set_index(names.TRIAL_ID)
    rows = tuple(_row(str(label), of_variant, last) for label, of_variant in trials.groupby("label", sort=False))
    has_masks = bool(metrics[list(coco_block("segm"))].notna().any(axis=None))
    blocks = {iou_type: coco_block(iou_type) for iou_type in names.IOU_TYPES if iou_type == "bbox" or has_masks}
    best = {}
    for name in COCO_NAMES:
        numbers = [row.values[name] for row in rows if not pd.isna(row.values[name])]
        if len(numbers) > 1:  # the best of one says nothing
            best[name] = shown(name, max(numbers))
    return Table(sweep, wording.caption(sweep, trials), wording.context(trials), blocks, rows, best)


def _row(label: str, trials: pd.DataFrame, last: pd.DataFrame) -> Row:
    states = {}
    finished = []
    for trial in trials.itertuples():
        epoch = int(last.at[trial.trial_id, "epoch"]) if trial.trial_id in last.index else None
        states[trial.seed] = wording.state(trial.status, trial.reason, epoch)
        if not states[trial.seed]:
            finished.append(trial.trial_id)
    results = last.loc[finished]
    ends = sorted({int(epoch) for epoch in results["epoch"]})
    return Row(
        label=label,
        values={name: float(results[name].mean(skipna=False)) for name in COCO_NAMES},
        finished=len(finished),
        trials=len(trials),
        epoch="-".join(str(epoch) for epoch in (ends if len(ends) < 3 else (ends[0], ends[-1]))),
        state=wording.states(states),
    )
