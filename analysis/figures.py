"""Frames -> the curves of a figure as plain data: one curve per variant, nothing drawn."""

from dataclasses import dataclass

import pandas as pd

from analysis import wording
from analysis.errors import AnalysisError
from analysis.metrics import METRICS, Metric
from experiments import names
from experiments.declared import Declaration


@dataclass(frozen=True)
class Line:
    """Points in order of epoch, values in the metric's unit (AP x 100)."""

    epochs: tuple[int, ...]
    values: tuple[float, ...]


@dataclass(frozen=True)
class Curve:
    """A variant over the epochs: the mean of its seeds, and each seed by itself."""

    label: str
    order: int  # place among the sweep's variants, so that a variant keeps its colour in every figure of the sweep
    mean: Line
    seeds: tuple[Line, ...]
    complete: bool  # False where no trial of the variant is finished
    note: str  # "2 of 3 seeds finished", "running, epoch 3"; "" where all seeds are finished

    @property
    def final(self) -> float:
        """Returns the mean's last value."""
        return self.mean.values[-1]


@dataclass(frozen=True)
class Curves:
    """All a drawing needs; curves with the best final value first."""

    metric: Metric
    caption: str
    curves: tuple[Curve, ...]
    absent: tuple[str, ...]  # labels of the variants without any value
    not_run: tuple[str, ...] = ()  # labels of the declared rows without any trial

    @property
    def lowest(self) -> float:
        """Returns the smallest value of any seed."""
        return min(min(seed.values) for curve in self.curves for seed in curve.seeds)

    @property
    def remarks(self) -> tuple[str, ...]:
        """Returns what the kinds of line mean, as far as the figure has them, and which variants it cannot show."""
        kinds = []
        if any(len(curve.seeds) > 1 for curve in self.curves):
            kinds.append("thick: mean over seeds, thin: single seeds")
        if not all(curve.complete for curve in self.curves):
            kinds.append("dashed, hollow: not finished")
        if self.absent:
            kinds.append(f"no values yet: {', '.join(self.absent)}")
        if self.not_run:
            kinds.append(f"not run: {', '.join(self.not_run)}")
        return tuple(kinds)


def curves(
    sweep: str, lines: pd.DataFrame, metrics: pd.DataFrame, name: str, declaration: Declaration | None = None
) -> Curves:
    """Returns a metric against the epoch for each variant of a sweep (its `rows_frame`) that has recorded it.

    A variant that serves several rows is one curve, labelled with all of them: "sum+ = conv 1x1".
    The mean is over the finished seeds, at the epochs that all of them have; where none is finished, over all seeds
    so far. Raises AnalysisError where no trial of the sweep has recorded the metric.
    """
    metric = METRICS[name]
    known = metrics.loc[metrics[name].notna()].sort_values("epoch")
    by_trial = {
        trial: pd.Series(rows[name].to_numpy() * metric.scale, index=rows["epoch"].to_numpy())
        for trial, rows in known.groupby(names.TRIAL_ID)
    }
    if not by_trial:
        raise AnalysisError(f"no trial of sweep {sweep!r} has a value of {name} yet; try another --metric or wait")
    found, absent = [], []
    served = lines.loc[lines[names.VARIANT_ID] != ""]
    for order, (_, of_variant) in enumerate(served.groupby(names.VARIANT_ID, sort=False)):
        label = " = ".join(of_variant["label"].unique())
        # A seed that one of the rows lacks may serve another.
        real_first = of_variant.sort_values(names.TRIAL_ID, key=lambda trial: trial == "", kind="stable")
        trials = real_first.drop_duplicates(names.SEED).sort_index()
        if set(trials[names.TRIAL_ID]) & set(by_trial):
            found.append(_curve(label, order, trials, by_trial))
        else:
            absent.append(label)
    found.sort(key=lambda curve: curve.final, reverse=metric.better == "higher")
    not_run = lines.loc[lines[names.VARIANT_ID] == "", "label"].unique()
    caption = wording.caption(sweep, lines, declaration)
    return Curves(metric, caption, tuple(found), tuple(absent), tuple(not_run))


def _curve(label: str, order: int, trials: pd.DataFrame, by_trial: dict[str, pd.Series]) -> Curve:
    drawn = trials.loc[trials[names.TRIAL_ID].isin(list(by_trial))]
    finished = drawn.loc[drawn["status"] == names.FINISHED]
    averaged = drawn if finished.empty else finished
    seeds = [by_trial[trial] for trial in averaged[names.TRIAL_ID]]
    mean = pd.concat(seeds, axis="columns", join="inner").mean(axis="columns")
    if mean.empty:  # attempts that broke off may have no epoch in common
        mean = pd.concat(seeds, axis="columns").sort_index().mean(axis="columns")
    note = ""
    if len(trials) > 1 and len(finished) < len(trials):
        note = f"{len(finished)} of {len(trials)} seeds finished"
    elif finished.empty:
        (trial,) = trials.itertuples()
        note = wording.state(trial.status, trial.reason, int(mean.index[-1]))
    lines = tuple(_line(by_trial[trial]) for trial in drawn[names.TRIAL_ID])
    return Curve(label, order, _line(mean), lines, complete=not finished.empty, note=note)


def _line(values: pd.Series) -> Line:
    return Line(tuple(int(epoch) for epoch in values.index), tuple(float(value) for value in values))
