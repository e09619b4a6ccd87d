"""Studies drawn by the thousand, and what `analysis.stats` and `analysis.evidence` say of them, all at once."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from analysis.stats import OWN_FROM


@dataclass(frozen=True)
class Told:
    """What the tables of many studies say of each row less the first; arrays (studies, rows - 1)."""

    difference: np.ndarray
    half_width: np.ndarray  # of the 95 % interval
    p: np.ndarray  # corrected
    p_alone: np.ndarray  # by the two rows' own seeds, uncorrected

    @property
    def covered(self) -> np.ndarray:
        """Returns whether intervals hold a true difference of 0."""
        return np.abs(self.difference) <= self.half_width

    @property
    def found(self) -> np.ndarray:
        return self.p < 0.05


def told(values: np.ndarray, rows: int, shift: float = 0.0) -> Told:
    """Returns what tables of the first `rows` rows say, of studies with values (studies, all rows, seeds).

    All rows are alike but for their noise; `shift` is added to the second.
    """
    seeds = values.shape[2]
    own = values.var(axis=2, ddof=1)
    pool = np.broadcast_to(own.mean(axis=1, keepdims=True), own.shape)
    lend = (seeds < OWN_FROM) & (own < pool)
    variance = np.where(lend, pool, own) / seeds
    freedom = np.where(lend, own.shape[1] * (seeds - 1), seeds - 1)
    means = values.mean(axis=2)
    difference = means[:, 1:rows] - means[:, :1]
    difference[:, 0] += shift
    error, degrees = _welch(variance, freedom, rows)
    p = 2 * stats.t.sf(np.abs(difference) / error, degrees)
    alone = 2 * stats.t.sf(
        np.abs(difference) / (plain := _welch(own / seeds, np.full(own.shape, seeds - 1), rows))[0], plain[1]
    )
    return Told(difference, stats.t.ppf(0.975, degrees) * error, np.maximum(holm(p), alone), alone)


def _welch(variance: np.ndarray, freedom: np.ndarray, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns standard errors of differences from the first row, and Welch's degrees of freedom."""
    both = variance[:, 1:rows] + variance[:, :1]
    parts = variance[:, 1:rows] ** 2 / freedom[:, 1:rows] + variance[:, :1] ** 2 / freedom[:, :1]
    one_estimate = variance[:, 1:rows] == variance[:, :1]  # both borrow it
    return np.sqrt(both), np.where(one_estimate, freedom[:, :1], both**2 / parts)


def holm(p: np.ndarray) -> np.ndarray:
    """Returns Holm's p-values of each line."""
    order = np.argsort(p, axis=1)
    tests = p.shape[1]
    ordered = np.take_along_axis(p, order, axis=1) * (tests - np.arange(tests))
    highest = np.minimum(1, np.maximum.accumulate(ordered, axis=1))
    adjusted = np.empty_like(p)
    np.put_along_axis(adjusted, order, highest, axis=1)
    return adjusted


def studies(
    rng: np.random.Generator, count: int, rows: int, seeds: int, sds: dict[int, float], pool: int = 0
) -> np.ndarray:
    """Returns values (count, rows of the study, seeds) of rows that differ in noise alone: 1, or as `sds` has it."""
    sd = np.ones(max(rows, pool))
    for row, own in sds.items():
        sd[row] = own
    return rng.normal(0, 1, (count, len(sd), seeds)) * sd[:, None]
