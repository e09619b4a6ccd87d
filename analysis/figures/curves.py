"""A metric against the epoch, as plain data: one curve per variant."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from analysis.figures import styles
from analysis.figures.styles import Look
from analysis.read import captions, declarations, rows, source_versions
from analysis.read.metrics import METRICS, Metric, coco_block
from analysis.read.study import Part
from experiments import names
from experiments.declared import Declaration
from experiments.errors import UserError

BAND_FROM = 3  # seeds; fewer are drawn as lines
NOT_COMPARABLE = "Published numbers are not drawn: they are of COCO, and these trials have another profile or data."


@dataclass(frozen=True)
class Heading:
    """The text above and below a figure."""

    title: str
    about: str  # sweep, profile, data, recipe, schedule and number of seeds
    foot: tuple[str, ...]  # how to read the figure, missing parts, and the commits


@dataclass(frozen=True)
class Line:
    """Points in order of epoch, values in the metric's unit (AP x 100)."""

    epochs: tuple[int, ...]
    values: tuple[float, ...]


@dataclass(frozen=True)
class Band:
    """From the lowest to the highest seed, at the epochs of the mean."""

    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True)
class Curve:
    """A variant over the epochs: its seeds, their mean and their range."""

    label: str
    look: Look  # the same in every figure of the study
    mean: Line
    seeds: tuple[Line, ...]  # every seed, also unfinished ones
    complete: bool  # False if no trial of the variant is finished
    note: str = ""  # "2 of 3 seeds finished", "running, epoch 3"; "" where all seeds are finished
    band: Band | None = None  # of the seeds in the mean, from BAND_FROM on
    published: float | None = None  # in the metric's unit, if it is of the same data

    @property
    def final(self) -> float:
        """Returns the mean's last value."""
        return self.mean.values[-1]

    @property
    def thin(self) -> tuple[Line, ...]:
        """Returns the seeds that are drawn as single lines: those that neither the mean nor a band shows."""
        if self.band is not None:
            return tuple(seed for seed in self.seeds if seed.epochs[-1] < self.mean.epochs[-1])
        return self.seeds if len(self.seeds) > 1 else ()


@dataclass(frozen=True)
class Curves:
    """The curves of a figure, the best final value first."""

    metric: Metric
    heading: Heading
    curves: tuple[Curve, ...]
    absent: tuple[str, ...] = ()  # labels of the variants without any value
    not_run: tuple[str, ...] = ()  # labels of the declared rows without any trial

    @property
    def lowest(self) -> float:
        """Returns the smallest value of any seed."""
        return min(min(seed.values) for curve in self.curves for seed in curve.seeds)

    @property
    def remarks(self) -> tuple[str, ...]:
        """Returns the text below the figure: the meaning of each kind of line, and missing parts."""
        kinds = []
        if any(len(curve.seeds) > 1 for curve in self.curves):
            kinds.append("Lines: means over the finished seeds.")
        if any(curve.band for curve in self.curves):
            kinds.append("Bands: from the lowest to the highest seed.")
        if any(curve.thin for curve in self.curves):
            kinds.append("Thin: single seeds.")
        if not all(curve.complete for curve in self.curves):
            kinds.append("Hollow: not finished.")
        if any(curve.published is not None for curve in self.curves):
            kinds.append("Bars at the right, and numbers in brackets: published.")
        missing = [f"No values yet: {', '.join(self.absent)}."] if self.absent else []
        missing += [f"Not run: {', '.join(self.not_run)}."] if self.not_run else []
        return tuple(filter(None, (" ".join(kinds), *missing, *self.heading.foot)))


def curves(part: Part, metrics: pd.DataFrame, name: str, look_of: Mapping[str, Look]) -> Curves:
    """Returns a metric against the epoch for each variant of a table that has recorded it.

    A variant that serves several rows is one curve, labelled with all of them: "sum+ = conv 1x1".
    The mean is over the finished seeds, at the epochs that all of them have; if none is finished, over all seeds so
    far. Published end points are added if profile and data are COCO's. Raises UserError if no trial has recorded the
    metric.

    Args:
        metrics: of `frames.metrics_frame`.
        name: of one of `METRICS`.
        look_of: by variant, `styles.of` the study.
    """
    metric, lines, figures = METRICS[name], part.lines, part.declaration.figures if part.declaration else {}
    known = metrics.loc[metrics[name].notna()].sort_values("epoch")
    by_trial = {
        trial: pd.Series(of_trial[name].to_numpy() * metric.scale, index=of_trial["epoch"].to_numpy())
        for trial, of_trial in known.groupby(names.TRIAL_ID)
        if trial in set(lines[names.TRIAL_ID])
    }
    if not by_trial:
        raise UserError(f"no trial of sweep {part.sweep!r} has a value of {name} yet; try another --metric or wait")
    called, published = styles.labels(part), _published(name, part.declaration)
    comparable = is_coco(lines)
    found, absent = [], []
    served = lines.loc[lines[names.VARIANT_ID] != ""]
    for variant, of_variant in served.groupby(names.VARIANT_ID, sort=False):
        # A seed that one row lacks may be there in another.
        real_first = of_variant.sort_values(names.TRIAL_ID, key=lambda trial: trial == "", kind="stable")
        trials = real_first.drop_duplicates(names.SEED).sort_index()
        if set(trials[names.TRIAL_ID]) & set(by_trial):
            end = next((published[row] for row in of_variant["row"] if row in published), None) if comparable else None
            found.append(_curve(called[variant], look_of[variant], trials, by_trial, end))
        else:
            absent.append(called[variant])
    found.sort(key=lambda curve: curve.final, reverse=metric.better == "higher")
    not_run = tuple(lines.loc[lines[names.VARIANT_ID] == "", "label"].unique())
    foot = () if comparable or not published else (NOT_COMPARABLE,)
    number = next((f"Figure {one}" for one, kind in figures.items() if name == coco_block(kind)[0]), "")
    return Curves(metric, heading(part, number, foot), tuple(found), tuple(absent), not_run)


def heading(part: Part, number: str = "", foot: tuple[str, ...] = ()) -> Heading:
    """Returns the words around a figure; `number` is "Figure 2", "" where the figure has the table's number."""
    about, source, declaration = captions.about(part), captions.source(part.lines), part.declaration
    end = tuple(filter(None, (*foot, *source_versions.sentences(part.lines), f"{source}." if source else "")))
    if declaration is None:
        return Heading(f"Sweep {part.sweep}", about, end)
    number = number or (f"Table {declaration.table}" if declaration.table else "")
    return Heading(f"{number}. {declaration.caption}".lstrip(". ").rstrip("."), about, end)


def is_coco(lines: pd.DataFrame) -> bool:
    """Returns whether these trials have the data and the profile of the published numbers."""
    trials = rows.recorded(lines)
    return not (set(trials["profile"]) | set(trials["dataset"])) - {"coco"}


def _published(name: str, declaration: Declaration | None) -> dict[str, float]:
    """Returns the published number of a COCO metric, by row."""
    iou_type, _, short = name.partition("/")
    if short not in names.COCO_METRICS:
        return {}
    place = names.COCO_METRICS.index(short)
    declared = declarations.rows_of(declaration)
    return {row: one.published[iou_type][place] for row, one in declared.items() if iou_type in one.published}


def _curve(
    label: str, look: Look, trials: pd.DataFrame, by_trial: dict[str, pd.Series], published: float | None
) -> Curve:
    drawn = trials.loc[trials[names.TRIAL_ID].isin(list(by_trial))]
    finished = drawn.loc[drawn["status"] == names.FINISHED]
    averaged = drawn if finished.empty else finished
    seeds = [by_trial[trial] for trial in averaged[names.TRIAL_ID]]
    together = pd.concat(seeds, axis="columns", join="inner")
    if together.empty:  # interrupted trials may have no epoch in common
        together = pd.concat(seeds, axis="columns").sort_index()
    mean = together.mean(axis="columns")
    band = None
    if len(seeds) >= BAND_FROM:
        band = Band(_floats(together.min(axis="columns")), _floats(together.max(axis="columns")))
    note = ""
    if len(trials) > 1 and len(finished) < len(trials):
        note = f"{len(finished)} of {len(trials)} seeds finished"
    elif finished.empty:
        (trial,) = trials.itertuples()
        note = captions.state(trial.status, trial.reason, int(mean.index[-1]))
    lines = tuple(_line(by_trial[trial]) for trial in drawn[names.TRIAL_ID])
    return Curve(label, look, _line(mean), lines, not finished.empty, note, band, published)


def _line(values: pd.Series) -> Line:
    return Line(tuple(int(epoch) for epoch in values.index), _floats(values))


def _floats(values: pd.Series) -> tuple[float, ...]:
    return tuple(float(value) for value in values)
