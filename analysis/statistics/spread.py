"""The spread of an estimate over seeds and validation images together."""

from dataclasses import dataclass

import numpy as np
from scipy import optimize, stats

from analysis.statistics.means import Noise


@dataclass(frozen=True)
class Spread:
    """The variance components of an estimate.

    With values v of seed and image set, v = a(seed) + e(images) + r(seed, images), the mean over S seeds has the
    variance (a + r) / S + e. The noise from seed to seed, on the images as they are, estimates (a + r) / S; draws of
    images estimate e + r / S. For a difference, both are sums over its two rows. Percentiles of draws of both would be
    wrong: two or three seeds do not reach far enough, and r would count twice. So each part has its own t quantile
    (Howe 1974). The interval has at least its level; it is the t interval over seeds where images matter little, and
    the bootstrap's where only images matter.
    """

    of_images: float  # e + r / S
    shared: float  # e
    images: int
    seeds: Noise  # (a + r) / S; without freedom where it is unknown

    def half_width(self, level: float) -> float:
        """Returns half the width of the interval of a level in 0..1."""
        of_images = float(stats.t.ppf((1 + level) / 2, self.images - 1))
        both = of_images**2 * self.shared
        if self.seeds.freedom:
            both += float(stats.t.ppf((1 + level) / 2, self.seeds.freedom)) ** 2 * self.seeds.variance
        return float(np.sqrt(max(both, of_images**2 * self.of_images)))

    def level(self, distance: float) -> float:
        """Returns the level of the interval with this half width."""
        most = 1 - 1e-12
        if self.half_width(most) <= distance:
            return most if distance else 0.0
        return float(optimize.brentq(lambda level: self.half_width(level) - distance, 0.0, most))
