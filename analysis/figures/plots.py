"""Forest plots, AP against cost, and AP by object size, as plain data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from analysis.figures import curves, styles
from analysis.figures.curves import BAND_FROM, Heading
from analysis.figures.styles import Look
from analysis.read import frames
from analysis.read.metrics import COSTS, METRICS, Metric
from analysis.read.study import Part, Study
from analysis.statistics import means
from analysis.statistics.evidence import Evidence
from analysis.statistics.means import ALPHA, Interval
from experiments import names
from experiments.errors import UserError

SIZES = {"APs": "small", "APm": "medium", "APl": "large"}  # COCO's: below 32^2 and 96^2 pixels, and above
SEVERAL_DEVICES = "Measured on {}: compare only points of one device."
COUNTED = (names.PARAMETERS, names.EXTRACTOR_PARAMETERS, names.GMACS, names.EXTRACTOR_GMACS)  # the same on any device


@dataclass(frozen=True)
class Estimate:
    """A row of a forest plot, in the unit of its axis; `low` and `high` are NaN if there is no interval."""

    label: str
    estimate: float
    low: float
    high: float
    significant: bool | None  # None: not tested
    against: str = ""  # what the row is compared with
    look: Look = styles.PLAIN


@dataclass(frozen=True)
class Forest:
    """A forest plot: estimates and intervals about a zero line, in the order of the table."""

    axis: str
    heading: Heading
    estimates: tuple[Estimate, ...]
    absent: tuple[str, ...] = ()  # labels of the rows without a difference

    @property
    def remarks(self) -> tuple[str, ...]:
        """Returns the text below the figure: the meaning of the markers, and missing parts."""
        tested = {one.significant for one in self.estimates}
        kinds = [f"Filled: significant, p < {ALPHA:g}, corrected for all rows."] if True in tested else []
        kinds += ["Hollow: not significant."] if False in tested else []
        kinds += ["Grey: not tested."] if None in tested else []
        missing = [f"Nothing to compare yet: {', '.join(self.absent)}."] if self.absent else []
        return tuple(filter(None, (" ".join(kinds), *missing, *self.heading.foot)))


@dataclass(frozen=True)
class Point:
    """A variant's cost and AP: means over its finished seeds, and the lowest and highest of them."""

    label: str
    look: Look
    cost: float
    value: float
    costs: tuple[float, float]
    values: tuple[float, float]
    front: bool  # no other variant is at least as cheap and at least as good


@dataclass(frozen=True)
class Pareto:
    """AP against a cost: one point per variant, the cheapest first."""

    metric: Metric
    cost: Metric
    heading: Heading
    points: tuple[Point, ...]
    absent: tuple[str, ...] = ()  # labels of the variants without such a cost or AP

    @property
    def remarks(self) -> tuple[str, ...]:
        """Returns the foot."""
        kinds = ["Line: the Pareto front: no variant that costs as little is better."]
        if any(point.values[0] < point.values[1] or point.costs[0] < point.costs[1] for point in self.points):
            kinds.append("Points: means over the finished seeds; bars: from the lowest to the highest seed.")
        missing = [f"Not measured: {', '.join(self.absent)}."] if self.absent else []
        return tuple(filter(None, (" ".join(kinds), *missing, *self.heading.foot)))


@dataclass(frozen=True)
class SizeRow:
    """A variant's AP x 100 for small, medium and large objects."""

    label: str
    look: Look
    baseline: int | None  # place of the row that it is compared with
    values: tuple[Interval, ...]  # one a size; NaN where the data have no such objects
    seeds: tuple[tuple[float, ...], ...]  # one a size: each seed's


@dataclass(frozen=True)
class Sizes:
    """AP by object size, rows in the order of the table."""

    metrics: tuple[Metric, ...]
    heading: Heading
    rows: tuple[SizeRow, ...]
    absent: tuple[str, ...] = ()

    @property
    def remarks(self) -> tuple[str, ...]:
        """Returns the foot."""
        kinds = ["Vertical lines: the baseline. Numbers: the row's difference from it; of a baseline, its AP."]
        if any(not np.isnan(value.low) for row in self.rows for value in row.values):
            kinds.append(f"Bars: 95 % intervals of the mean over seeds (Student's t, from {BAND_FROM} seeds on).")
        if any(len(seeds) > 1 for row in self.rows for seeds in row.seeds):
            kinds.append("Ticks: single seeds.")
        missing = [f"No finished trial: {', '.join(self.absent)}."] if self.absent else []
        return tuple(filter(None, (" ".join(kinds), *missing, *self.heading.foot)))


def effects(part: Part, found: Evidence, look_of: Mapping[str, Look]) -> Forest:
    """Returns each row's difference from its baseline, AP x 100. Raises UserError if no row has a difference."""
    scale = found.metric.scale
    called = styles.labels(part)
    name = {line.label: called[line.variant_id] for line in found.lines}
    estimates = tuple(
        Estimate(
            name[line.label],
            scale * line.difference.estimate,
            scale * line.difference.low,
            scale * line.difference.high,
            line.significant,
            name.get(line.baseline, line.baseline),
            look_of[line.variant_id],
        )
        for line in found.lines
        if line.difference is not None and not np.isnan(line.difference.estimate)
    )
    if not estimates:
        raise UserError(f"no row of sweep {part.sweep!r} can be compared with its baseline yet; wait for both")
    compared = {one.label for one in estimates} | {one.against for one in estimates}
    head = curves.heading(part, foot=(found.note,))
    axis = f"{found.metric.axis} less the baseline's"
    return Forest(axis, head, estimates, _absent(part, called, compared))


def pareto(study: Study, part: Part, name: str, cost: str, look_of: Mapping[str, Look]) -> Pareto:
    """Returns a metric, such as "bbox/AP", against one of `metrics.COSTS` for the variants of a table.

    Only finished trials with both values count. Raises UserError if there is none.
    """
    metric, measured = METRICS[name], {one.name: one for one in COSTS}[cost]
    last = _last(study, part, name)
    of_run = {run.tags[names.TRIAL_ID]: run for run in study.runs if cost in run.metrics}
    called = styles.labels(part)
    means: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    devices = set()
    for variant, values in last.items():
        both = [(of_run[trial].metrics[cost], value) for trial, value in values.items() if trial in of_run]
        devices |= {of_run[trial].tags.get(names.GPU) or "CPU" for trial in values if trial in of_run}
        if both:
            costs, found = np.array(both).T
            means[variant] = (measured.scale * costs, metric.scale * found)
    if not means:
        raise UserError(f"no finished trial of sweep {part.sweep!r} has both {name} and {cost}")
    order = sorted(means, key=lambda variant: (means[variant][0].mean(), -means[variant][1].mean()))
    points: list[Point] = []
    for variant in order:
        costs, found = means[variant]
        cheaper = [other for other in points if other.cost <= costs.mean()]
        points.append(
            Point(
                called[variant],
                look_of[variant],
                float(costs.mean()),
                float(found.mean()),
                (float(costs.min()), float(costs.max())),
                (float(found.min()), float(found.max())),
                all(other.value < found.mean() for other in cheaper),
            )
        )
    foot = () if cost in COUNTED or len(devices) < 2 else (SEVERAL_DEVICES.format(", ".join(sorted(devices))),)
    head = curves.heading(part, foot=foot)
    return Pareto(metric, measured, head, tuple(points), _absent(part, called, {point.label for point in points}))


def sizes(study: Study, part: Part, found: Evidence, look_of: Mapping[str, Look]) -> Sizes:
    """Returns AP of small, medium and large objects for the rows of a table that have evidence.

    The intervals are Student's over seeds, from BAND_FROM seeds on; those of two seeds are too wide to be useful.
    Raises UserError if the data have no objects by size.
    """
    iou_type, _, _ = found.metric.name.partition("/")
    metrics = tuple(METRICS[names.coco_metric(iou_type, short)] for short in SIZES)
    values = [_last(study, part, metric.name) for metric in metrics]
    if not any(values):
        raise UserError(f"no finished trial of sweep {part.sweep!r} has AP by object size")
    called = styles.labels(part)
    place = {line.label: number for number, line in enumerate(found.lines)}
    rows = []
    for line in found.lines:
        seeds = tuple(
            tuple(metric.scale * value for value in of_variant.get(line.variant_id, {}).values())
            for metric, of_variant in zip(metrics, values, strict=True)
        )
        baseline = place.get(line.baseline) if line.baseline != line.label else None
        intervals = tuple(_interval(of_size) for of_size in seeds)
        rows.append(SizeRow(called[line.variant_id], look_of[line.variant_id], baseline, intervals, seeds))
    head = curves.heading(part)
    return Sizes(metrics, head, tuple(rows), _absent(part, called, {row.label for row in rows}))


def _interval(values: Sequence[float]) -> Interval:
    mean = means.mean(values)
    return mean if mean.n >= BAND_FROM else Interval(mean.estimate, np.nan, np.nan, mean.n)


def _last(study: Study, part: Part, name: str) -> dict[str, dict[str, float]]:
    """Returns a metric's result of each finished trial that has one, by variant and trial."""
    of_trial = frames.last_values(study.metrics)[name].dropna().to_dict()
    found: dict[str, dict[str, float]] = {}
    for line in part.lines.loc[part.lines["status"] == names.FINISHED].itertuples():
        if line.trial_id in of_trial:
            found.setdefault(line.variant_id, {})[line.trial_id] = of_trial[line.trial_id]
    return found


def _absent(part: Part, called: Mapping[str, str], shown: set[str]) -> tuple[str, ...]:
    """Returns the labels of the variants that are not shown, and of the rows without a variant."""
    not_run = part.lines.loc[part.lines[names.VARIANT_ID] == "", "label"]
    return tuple(label for label in dict.fromkeys((*called.values(), *not_run)) if label not in shown)
