"""One row of a table: its AP, its difference from the baseline, and their intervals and tests."""

from dataclasses import dataclass

import numpy as np

from analysis.statistics import numbers
from analysis.statistics.means import ALPHA, Interval, RowNoise
from analysis.statistics.rounds import Repeated
from analysis.statistics.spread import Spread

NONE_THAT_MATTERS = "no difference that matters"


@dataclass(frozen=True)
class RowEvidence:
    """A row of the table; values are fractions."""

    label: str
    variant_id: str
    value: Interval
    noise: RowNoise
    baseline: str  # label of the row that it is compared with; "" for none
    baseline_id: str
    difference: Interval | None  # from the baseline
    raw: float  # p of the difference, not corrected; NaN if it was not tested: a twin, or a side of one seed
    alone: float  # the same by the noise of these two rows' own seeds
    p: float  # corrected for the table's rows, and not below `alone`
    better: float  # confidence that the row is better than its baseline, 0..1; NaN where it is unknown
    beats: float  # probability that a new training of the row beats a new one of its baseline; NaN as `better`
    twin: bool  # of its baseline, see means.twin
    equivalent: bool  # the interval lies within `matters` of the table's file
    spread: Spread | None = None  # of the difference
    common: int = 0  # number of seeds of the row with fewer
    repeated: Repeated | None = None  # if seeds were added after looking: p and the difference hold for all looks

    @property
    def significant(self) -> bool | None:
        """Returns whether the difference is significant; None if it was not tested."""
        return None if np.isnan(self.p) else bool(self.p < (self.repeated.alpha if self.repeated else ALPHA))

    @property
    def verdict(self) -> str:
        """Returns the cell of p: ".041 *", "same", "" where it was not tested; and NONE_THAT_MATTERS."""
        tested = "same" if self.twin else numbers.p_value(self.p) + " *" * bool(self.significant)
        return ", ".join(filter(None, [tested, NONE_THAT_MATTERS * (self.equivalent and not self.twin)]))
