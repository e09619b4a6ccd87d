"""The cost in AP50 of each kind of error (TIDE) for each variant, as plain data."""

from dataclasses import dataclass

import pandas as pd

from analysis.figures import curves
from analysis.figures.curves import Heading
from analysis.read.metrics import KINDS, POINTS
from analysis.read.runs import Run
from analysis.read.study import Part
from experiments import names
from experiments.errors import UserError

MEANING = {
    "Cls": "wrong class",
    "Loc": "poorly localized",
    "Both": "both of these",
    "Dupe": "duplicate",
    "Bkg": "background",
    "Miss": "missed",
    "FalsePos": "all false positives",
    "FalseNeg": "all false negatives",
}
NOTE = "Rise of {} AP50 if only this kind of error were fixed (TIDE, Bolya et al. 2020). The kinds do not add up."
COLUMNS = ("line", "row", "label", names.TRIAL_ID, names.SEED, "iou_type", "kind", "value")


@dataclass(frozen=True)
class Bar:
    """The cost of a kind of error for a variant, AP50 x 100: the mean over its finished seeds, and each seed."""

    mean: float
    seeds: tuple[float, ...]


@dataclass(frozen=True)
class Mistakes:
    """For each kind of error one bar per variant, in the order of `labels`."""

    iou_type: str
    heading: Heading
    labels: tuple[str, ...]
    bars: dict[str, tuple[Bar, ...]]  # by kind: names.ERROR_KINDS, then names.ERROR_SIDES
    absent: tuple[str, ...]  # labels of the rows whose finished trials recorded no errors

    @property
    def remarks(self) -> tuple[str, ...]:
        """Returns how to read it."""
        several = any(len(bar.seeds) > 1 for bars in self.bars.values() for bar in bars)
        ticks = " Bars: means over the finished seeds. Ticks: single seeds." if several else ""
        missing = [f"No values: {', '.join(self.absent)}."] if self.absent else []
        return (NOTE.format(KINDS[self.iou_type]) + ticks, *missing, *self.heading.foot)


def frame(lines: pd.DataFrame, runs: list[Run]) -> pd.DataFrame:
    """Returns the errors of finished trials at their last epoch, columns COLUMNS: a line per trial, IoU type and kind.

    Args:
        lines: of a sweep, `rows_frame`'s.
        runs: that these trials are from.

    Values are fractions, NaN if the data have no object. Trials that recorded no errors have no line.
    """
    recorded = {run.run_id: run.metrics for run in runs}
    found = []
    for trial in lines.loc[lines["status"] == names.FINISHED].to_dict("records"):
        for iou_type in names.IOU_TYPES:
            for kind in (*names.ERROR_KINDS, *names.ERROR_SIDES):
                value = recorded[trial["run_id"]].get(names.error_metric(iou_type, kind))
                if value is not None:
                    value = value if value >= 0 else float("nan")
                    found.append({**trial, "iou_type": iou_type, "kind": kind, "value": value})
    return pd.DataFrame(found, columns=list(COLUMNS))


def mistakes(part: Part, runs: list[Run], iou_type: str) -> Mistakes:
    """Returns the cost of box or mask errors for each line of a table.

    Raises UserError if no finished trial recorded them.
    """
    lines, values = part.lines, frame(part.lines, runs)
    values = values.loc[(values["iou_type"] == iou_type) & values["value"].notna()]
    if values.empty:
        finished = set(lines.loc[lines["status"] == names.FINISHED, "run_id"])
        remedy = next((run.without_matches for run in runs if run.run_id in finished), "wait for one")
        raise UserError(
            f"no finished trial of sweep {part.sweep!r} has recorded its {KINDS[iou_type]} errors; {remedy}"
        )
    by_kind = {kind: dict(list(own.groupby("line")["value"])) for kind, own in values.groupby("kind")}
    labels = lines.drop_duplicates("line").set_index("line")["label"]
    shown = labels.loc[labels.index.isin(values["line"])]
    bars = {
        kind: tuple(_bar(by_kind[kind][line]) for line in shown.index)
        for kind in (*names.ERROR_KINDS, *names.ERROR_SIDES)
    }
    head = curves.heading(part)
    return Mistakes(iou_type, head, tuple(shown), bars, tuple(dict.fromkeys(labels.drop(shown.index))))


def _bar(values: pd.Series) -> Bar:
    seeds = tuple(POINTS * float(value) for value in values)
    return Bar(sum(seeds) / len(seeds), seeds)
