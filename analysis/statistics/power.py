"""The smallest true difference that a study is likely to find."""

import numpy as np
from scipy import optimize, stats

from analysis.statistics.means import ALPHA, OWN_FROM, Noise
from analysis.statistics.spread import Spread

STUDIES = 2000  # simulated
POWER = 0.8


def detectable(noise: Noise, seeds: int, tests: int, images: Spread) -> float:
    """Returns the true difference of one row that tables like this one find with probability POWER and the right sign.

    Both rows have this noise. Its estimates, of each row and pooled, are drawn from chi-squared distributions; p is
    corrected for `tests` rows by Holm's first step.

    Args:
        noise: of one value, taken as the true one; its freedom is that of the pooled noise.
        seeds: of each row, at least 2.
        tests: rows that are compared with a baseline.
        images: the spread of the difference over images; its `seeds` are not used.
    """
    rng = np.random.default_rng(0)
    own = noise.variance * rng.chisquare(seeds - 1, (STUDIES, 2)) / (seeds - 1)
    together = noise.variance * rng.chisquare(noise.freedom, (STUDIES, 1)) / noise.freedom
    lend = (own < together) & (seeds < OWN_FROM)
    used = _widths(
        np.where(lend, together, own), np.where(lend, noise.freedom, seeds - 1), seeds, ALPHA / tests, images
    )
    alone = _widths(own, np.full(own.shape, seeds - 1), seeds, ALPHA, images)
    widths = np.maximum(used, alone)
    sd = np.sqrt(images.shared + 2 * noise.variance / seeds)

    def lacking(difference: float) -> float:
        return float(stats.norm.sf(widths, difference, sd).mean()) - POWER

    return float(optimize.brentq(lacking, 0.0, float(widths.max() + 10 * sd))) if sd else 0.0


def _widths(variance: np.ndarray, freedom: np.ndarray, seeds: int, alpha: float, images: Spread) -> np.ndarray:
    """Returns half the width of intervals of level 1 - alpha; both arrays are (studies, 2 rows)."""
    parts = variance / seeds
    across = parts.sum(axis=1)
    share = parts / np.where(across, across, 1)[:, None]
    degrees = 1 / (share**2 / freedom).sum(axis=1) if across.all() else freedom.min(axis=1)
    degrees = np.where(variance[:, 0] == variance[:, 1], freedom[:, 0], degrees)  # one estimate, not two
    of_images, of_seeds = (stats.t.ppf(1 - alpha / 2, freedom) for freedom in (images.images - 1, degrees))
    both = of_images**2 * images.shared + of_seeds**2 * across
    return np.asarray(np.sqrt(np.maximum(both, of_images**2 * images.of_images)))
