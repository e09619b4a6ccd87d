"""The ablation table as plain data: one line per row and variant."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import pandas as pd

from analysis.read import captions, declarations, frames, source_versions
from analysis.read.metrics import COCO_NAMES, coco_block
from analysis.read.study import Part, Study
from analysis.statistics import means, noise_groups, numbers
from analysis.statistics.means import RowNoise
from experiments import names
from experiments.declared import Declaration

NOTE = (
    "AP x 100 at the last epoch, mean over the finished seeds (n). Bold: the best of a column and the rows that do not "
    "differ from it significantly (95 %, over seeds alone), unless that is every row; with single seeds only, the "
    "highest number. -: no such objects; N/A: not measured."
)
OF_PUBLISHED = "Published numbers are on COCO, of one run each, and are not compared with ours."


@dataclass(frozen=True)
class Row:
    """One variant in a row: means over its finished trials, as fractions; NaN where there is no number to show."""

    name: str  # of the declared row; for a typed sweep the same as the label
    label: str
    variant_id: str  # "" if the row has no trial
    values: dict[str, float]
    of_seed: dict[str, dict[str, float]]  # by metric, then seed
    finished: int  # trials with a result; `values` is their mean
    trials: int  # trials known to MLflow, and those that the sweep lacks
    epoch: str  # the epoch that the values come from; "10-12" where the seeds ended at different ones
    trial_ids: tuple[str, ...]  # of the finished ones
    state: str  # why some trials have no result, or that the sweep's file has no such row; "" where all is well

    @property
    def n(self) -> str:
        """Returns the number of finished seeds: "3", or "2 of 3" if some are not finished."""
        return str(self.finished) if self.finished == self.trials else f"{self.finished} of {self.trials}"

    def shown(self, name: str) -> str:
        """Returns a value as the paper prints it, "41.3"; "" where there is no result, "-" and "N/A" as NOTE says."""
        if not self.finished:
            return ""
        return numbers.points(self.values[name]) if self._measured(name) else "N/A"

    def _measured(self, name: str) -> bool:
        block = coco_block(name.partition("/")[0])
        return any(not pd.isna(value) for other in block for value in self.of_seed[other].values())


@dataclass(frozen=True)
class Published:
    """The numbers published for a declared row; they are shown and not compared with ours."""

    name: str
    values: dict[str, float]  # times 100; without what was not published
    label = "published (COCO, 1 run)"
    n = epoch = state = ""

    def shown(self, name: str) -> str:
        """Returns a value as published, "N/A" where there is none."""
        return f"{self.values[name]:.1f}" if name in self.values else "N/A"


@dataclass(frozen=True)
class Table:
    """An ablation table: `blocks` maps an IoU type to its six metric names, `best` a metric to its best variants."""

    sweep: str
    caption: str
    context: dict[str, str]
    blocks: dict[str, tuple[str, ...]]
    lines: tuple[Row | Published, ...]
    best: dict[str, frozenset[str]]  # ids; metrics in which no variant is best are left out
    rest: str  # the command for the rows and seeds that are not run; "" where there are none
    source: str  # the commits that the trials ran, and how many trials
    doubts: tuple[str, ...] = ()  # sentences on rows that other code trained than the newest

    @property
    def rows(self) -> tuple[Row, ...]:
        """Returns the lines of our own numbers."""
        return tuple(line for line in self.lines if isinstance(line, Row))

    def is_best(self, line: Row | Published, name: str) -> bool:
        """Returns whether a line has the best value of a column, or one that does not differ from it significantly."""
        return isinstance(line, Row) and line.variant_id in self.best.get(name, ())


def note(table: Table) -> str:
    """Returns how to read the table."""
    return f"{NOTE} {OF_PUBLISHED}" if len(table.lines) > len(table.rows) else NOTE


def ablation_table(
    part: Part,
    metrics: pd.DataFrame,
    noises_of: Callable[[str], Mapping[str, RowNoise]] | None = None,
) -> Table:
    """Returns the ablation table of a part of a study.

    A mean is NaN where one of its finished seeds is. Boxes and masks are shown as declared; without a declaration,
    masks where any trial has them.

    Args:
        metrics: of `frames.metrics_frame`, with COCO_NAMES among its columns.
        noises_of: a metric's noise by variant, as `noise_groups.noises` has it of a whole study; without it, training
            noise is assumed equal in all rows of this table.
    """
    last = frames.last_values(metrics)
    found = tuple(_row(line, last) for _, line in part.lines.groupby("line"))
    measured = names.IOU_TYPES if metrics[list(coco_block("segm"))].notna().any(axis=None) else ("bbox",)
    shown_types = part.declaration.columns if part.declaration and part.declaration.columns else measured
    blocks = {iou_type: coco_block(iou_type) for iou_type in shown_types}
    best = {name: variants for name in COCO_NAMES if (variants := _best(found, name, noises_of))}
    return Table(
        part.sweep,
        captions.caption(part),
        captions.context(part.lines),
        blocks,
        found,
        best,
        captions.rest(part),
        captions.source(part.lines),
        source_versions.sentences(part.lines),
    )


def of(study: Study, part: Part) -> Table:
    """Returns the table of a part with the noise of the whole study."""
    return ablation_table(part, study.metrics, partial(noise_groups.noises, study))


def _best(rows: Iterable[Row], name: str, noises_of: Callable[[str], Mapping[str, RowNoise]] | None) -> frozenset[str]:
    """Returns the variants that are best; none where that is all of them, or the only one."""
    known = {row.variant_id: row for row in rows if not pd.isna(row.values[name])}
    if not known:
        return frozenset()
    first = max(known.values(), key=lambda row: row.values[name])
    of_rows = {variant: row.of_seed[name] for variant, row in known.items()}
    noises = noises_of(name) if noises_of else means.row_noises([of_rows])
    alike = frozenset(variant for variant, row in known.items() if _as_good(row, first, name, noises))
    return alike if len(alike) < len(known) else frozenset()


def _as_good(row: Row, best: Row, name: str, noises: Mapping[str, RowNoise]) -> bool:
    if row.shown(name) == best.shown(name):
        return True
    noise = means.of_difference(noises[row.variant_id], noises[best.variant_id])
    if not noise.freedom:  # there are only single seeds
        return False
    return means.p_value(row.values[name] - best.values[name], noise) >= 1 - means.LEVEL


def with_published(table: Table, declaration: Declaration | None) -> Table:
    """Returns the table with the published numbers of each declared row in a line below it."""
    published = {
        row: dict(number for kind, own in one.published.items() for number in zip(coco_block(kind), own, strict=True))
        for row, one in declarations.rows_of(declaration).items()
    }
    lines: list[Row | Published] = []
    for row, following in zip(table.rows, [*table.rows[1:], None], strict=True):
        lines.append(row)
        if published.get(row.name) and (following is None or following.name != row.name):
            lines.append(Published(row.name, published[row.name]))
    return replace(table, lines=tuple(lines))


def _row(line: pd.DataFrame, last: pd.DataFrame) -> Row:
    states = {}
    finished, seeds = [], []
    for trial in line.itertuples():
        epoch = int(last.at[trial.trial_id, "epoch"]) if trial.trial_id in last.index else None
        states[trial.seed] = captions.state(trial.status, trial.reason, epoch)
        if not states[trial.seed]:
            finished.append(trial.trial_id)
            seeds.append(trial.seed)
    results = last.loc[finished]
    ends = sorted({int(epoch) for epoch in results["epoch"]})
    first = line.iloc[0]
    return Row(
        name=first["row"],
        label=first["label"],
        variant_id=first[names.VARIANT_ID],
        values={name: float(results[name].mean(skipna=False)) for name in COCO_NAMES},
        of_seed={name: dict(zip(seeds, results[name].tolist(), strict=True)) for name in COCO_NAMES},
        finished=len(finished),
        trials=len(line),
        trial_ids=tuple(finished),
        epoch="-".join(str(epoch) for epoch in (ends if len(ends) < 3 else (ends[0], ends[-1]))),
        state="; ".join(filter(None, (captions.states(states), first["remark"]))),
    )
