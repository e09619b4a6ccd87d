"""Studies drawn by the thousand, and what `means` and `evidence` of analysis/statistics say of them, all at once."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from analysis.statistics import sequential
from analysis.statistics.means import OWN_FROM


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


@dataclass(frozen=True)
class Decided:
    """What studies came to that train until each row is decided; arrays (studies, rows - 1)."""

    p: np.ndarray
    half_width: np.ndarray  # of the last look's repeated interval
    seeds: np.ndarray  # (studies, rows): trained of each row

    @property
    def found(self) -> np.ndarray:
        return self.p < 0.05


def until_decided(values: np.ndarray, most: int, shifted: float = 0.0) -> Decided:
    """Returns what `seed=auto` makes of studies with values (studies, rows, seeds), whose first row is the baseline.

    Args:
        most: seeds.most; there are so many values of each row at least.
        shifted: added to all rows but the baseline.
    """
    values = values[:, :, :most] + shifted * (np.arange(values.shape[1]) > 0)[:, None]
    looks = tuple(map(float, range(2, most + 1)))
    trained = np.full(values.shape[:2], 2)
    still = np.ones((len(values), values.shape[1] - 1), bool)
    raw, alone = (np.full((*still.shape, len(looks)), np.nan) for _ in range(2))
    half_width = np.zeros(still.shape)
    for place, level in enumerate(sequential.nominal_levels(looks, most, 0.05)):
        counted = np.arange(most) < trained[..., None]
        means = np.sum(values * counted, axis=2) / trained
        own = np.sum((values - means[..., None]) ** 2 * counted, axis=2) / (trained - 1)
        pool = np.broadcast_to(np.sum(own * (trained - 1), axis=1, keepdims=True), own.shape)
        pooled_freedom = np.sum(trained - 1, axis=1, keepdims=True)
        lend = (trained < OWN_FROM) & (own * pooled_freedom < pool)
        variance = np.where(lend, pool / pooled_freedom, own)
        error, degrees = _of_unequal(variance, trained, np.where(lend, pooled_freedom, trained - 1))
        own_error, own_degrees = _of_unequal(own, trained, trained - 1)
        fewer = np.minimum(trained[:, 1:], trained[:, :1])
        own_degrees = np.where(fewer < OWN_FROM, fewer - 1, own_degrees)
        distance = np.abs(means[:, 1:] - means[:, :1])
        looked = still & (trained[:, 1:] == place + 2)
        raw[..., place] = np.where(looked, 2 * stats.t.sf(distance / error, degrees), np.nan)
        alone[..., place] = np.where(looked, 2 * stats.t.sf(distance / own_error, own_degrees), np.nan)
        half_width = np.where(looked, stats.t.isf(level / 2, degrees) * error, half_width)
        over_looks = [sequential.p_values(one, looks, most)[..., -1] for one in (raw, alone)]
        p = np.maximum(holm(over_looks[0]), over_looks[1])
        if place + 2 < most:
            still &= p >= 0.05
            trained[:, 1:] += still
            trained[:, 0] += still.any(axis=1)
    return Decided(p, half_width, trained)


def _of_unequal(variance: np.ndarray, seeds: np.ndarray, freedom: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the same as `_welch` for rows of different numbers of seeds."""
    error, degrees = _welch(variance / seeds, freedom, variance.shape[1])
    return error, np.where(variance[:, 1:] == variance[:, :1], freedom[:, :1], degrees)  # equal: both borrow it
