"""The state of each comparison of a study: decided, or open for more seeds."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from analysis.read.metrics import POINTS
from analysis.read.study import Progress, Study
from analysis.statistics.evidence import evidence
from analysis.statistics.means import Interval
from analysis.statistics.row_evidence import RowEvidence
from experiments.seeds import OPEN, Rules

DIFFERENT, EQUIVALENT, IMAGES = "different", "equivalent", "limited by images"
MOST = "not decided"  # at seeds.most


@dataclass(frozen=True)
class Decision:
    """The state of one row's comparison with its baseline.

    Args:
        seeds: of the newest look, which both rows have; 0 where there was none.
        difference: its repeated confidence interval, as fractions.
        p: over all looks, corrected for the table's rows.
    """

    row: str
    variant_id: str
    against: str
    baseline_id: str
    state: str
    seeds: int
    difference: Interval
    p: float


def decide(study: Study, rules: Rules, progress: Progress) -> list[Decision]:
    """Returns the state of each comparison, by box AP, or by mask AP where the table shows masks only."""
    found: list[Decision] = []
    for part in study.parts:
        matters = part.declaration.matters if part.declaration else None
        kind = part.declaration.columns[0] if part.declaration and part.declaration.columns else "bbox"
        known = evidence(study, part, kind, progress)
        found += [_decision(line, rules, matters) for line in (known.lines if known else ()) if line.baseline_id]
    return found


def _decision(line: RowEvidence, rules: Rules, matters: float | None) -> Decision:
    nothing = Interval(np.nan, np.nan, np.nan, 0)
    looked = line.repeated is not None and bool(line.repeated.looks)
    seeds = line.common if looked or (line.twin and line.common >= rules.first) else 0
    difference = line.difference if looked and line.difference else nothing
    state = _state(line, seeds, rules, matters)
    return Decision(
        line.label,
        line.variant_id,
        line.baseline,
        line.baseline_id,
        state,
        seeds,
        difference,
        line.p if looked else np.nan,
    )


def _state(line: RowEvidence, seeds: int, rules: Rules, matters: float | None) -> str:
    if line.significant:
        return DIFFERENT
    if line.equivalent or (line.twin and seeds):
        return EQUIVALENT
    if seeds >= rules.most:
        return MOST
    return IMAGES if line.repeated and limited_by_images(line, matters) else OPEN


def limited_by_images(line: RowEvidence, matters: float | None) -> bool:
    """Returns whether more seeds cannot decide a comparison, for any difference that is compatible with its seeds.

    This is so if an interval over images alone would include 0 and reach beyond the difference that matters.
    """
    if line.repeated is None or line.spread is None or line.difference is None:
        return False
    spread, level = line.spread, line.repeated.level(line.repeated.most)
    of_images = float(stats.t.ppf((1 + level) / 2, spread.images - 1) * np.sqrt(spread.shared))
    of_seeds = float(stats.t.ppf(0.975, spread.seeds.freedom) * np.sqrt(spread.seeds.variance))
    distance = abs(line.difference.estimate)
    if of_images <= distance + of_seeds:
        return False
    return matters is None or of_images + max(0.0, distance - of_seeds) >= matters / POINTS
