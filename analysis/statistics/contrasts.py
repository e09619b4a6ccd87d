"""Means and differences of a table's rows, with their spread."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from analysis.statistics import means, noise_groups
from analysis.statistics.images import Draws, Estimate
from analysis.statistics.means import RowNoise
from analysis.statistics.spread import Spread


@dataclass(frozen=True)
class Contrasts:
    """The means and differences of one metric in a table.

    Args:
        values: by variant, then seed.
        noises: of each variant.
        drawn: by variant; without draws, the spread is over seeds only.
    """

    values: noise_groups.Values
    noises: Mapping[str, RowNoise]
    drawn: Mapping[str, Draws]

    def mean(self, variant: str) -> Estimate:
        """Returns the mean of a row over its seeds."""
        noise = self.noises[variant].of_mean()
        if self.drawn:
            return self.drawn[variant].mean(variant, "AP", noise)
        return _of_seeds(self._mean(variant), noise)

    def difference(self, variant: str, other: str, alone: bool = False, cautious: bool = False) -> Estimate:
        """Returns a row less another; `alone` and `cautious` as `means.of_difference` has them."""
        noise = means.of_difference(self.noises[variant], self.noises[other], alone, cautious)
        if self.drawn:
            return self.drawn[variant].difference(variant, other, "AP", noise)
        return _of_seeds(self._mean(variant) - self._mean(other), noise)

    def common(self, variant: str, other: str) -> int:
        """Returns how many seeds both rows have at least."""
        return min(self.noises[variant].n, self.noises[other].n)

    def _mean(self, variant: str) -> float:
        return float(np.mean(list(self.values[variant].values())))


def _of_seeds(estimate: float, noise: means.Noise) -> Estimate:
    return Estimate(estimate, Spread(0.0, 0.0, 2, noise) if noise.freedom else None)
