"""Intervals and tests for the means of a few seeds. NaN stands for what the data cannot tell, never a width of zero."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize, stats

LEVEL = 0.95  # of every interval unless told otherwise
EXACT = 16  # up to so many seeds all 2^n sign flips are tried


@dataclass(frozen=True)
class Interval:
    """An estimate and its confidence interval; `low` and `high` are NaN where `n` is too small for one."""

    estimate: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Difference(Interval):
    """A variant less the baseline over the `n` seeds that both have."""

    each: tuple[float, ...]  # seed by seed
    dropped: tuple[str, ...]  # seeds that only one of the two has


@dataclass(frozen=True)
class Noise:
    """What a value differs by from training to training, beside what its variant and its seed bring along."""

    variance: float  # of one value; NaN where nothing tells
    freedom: int  # degrees of freedom that the estimate has

    def of_mean_difference(self, n: int) -> float:
        """Returns the standard error of a variant less another, over the `n` seeds that both have."""
        return float(np.sqrt(2 * self.variance / n))

    def p(self, difference: float, n: int) -> float:
        """Returns Student's two-sided p-value of such a difference over `n` seeds; NaN where nothing is known."""
        if not self.freedom:
            return np.nan
        error = self.of_mean_difference(n)
        if not error:
            return 0.0 if difference else 1.0
        return float(2 * stats.t.sf(abs(difference) / error, self.freedom))


@dataclass(frozen=True)
class MeanTest(Interval):
    """A mean with its interval and the two-sided p-value of its being 0 (NaN for a single seed)."""

    p: float


def mean(values: Sequence[float], level: float = LEVEL) -> Interval:
    """Returns the mean across seeds and Student's t interval; no interval of one value, NaN of none."""
    array = _finite(values)
    n = len(array)
    if n < 2:
        return Interval(float(array[0]) if n else np.nan, np.nan, np.nan, n)
    half = stats.t.ppf((1 + level) / 2, n - 1) * array.std(ddof=1) / np.sqrt(n)
    return Interval(float(array.mean()), float(array.mean() - half), float(array.mean() + half), n)


def noise(groups: Iterable[Mapping[str, Mapping[str, float]]]) -> Noise:
    """Returns the noise that variants have in common: two seeds of one pair tell little of it, of ten rows enough.

    In each group, a value is taken as what its variant, its seed and noise add up to (least squares; some variants may
    lack seeds); the squares of what is left are pooled. From one group of two variants, the t interval of their
    difference is that of the pairs alone. It holds where variants are equally noisy. A variant that is another's `twin`
    counts once: the same outcome twice tells no more.

    Args:
        groups: values by variant and seed's name. A seed of another group has nothing in common with one of this.
    """
    squares, freedom = 0.0, 0
    for group in groups:
        cells = [
            (variant, seed, value)
            for variant, of_seed in _distinct(group).items()
            for seed, value in of_seed.items()
            if np.isfinite(value)
        ]
        variants, seeds = ({cell[place]: None for cell in cells} for place in (0, 1))
        design = np.array(
            [[*(one == variant for one in variants), *(one == seed for one in seeds)] for variant, seed, _ in cells],
            float,
        ).reshape(len(cells), len(variants) + len(seeds))
        values = np.array([value for *_, value in cells])
        solution, _, rank, _ = np.linalg.lstsq(design, values, rcond=None)
        squares += float(((values - design @ solution) ** 2).sum())
        freedom += len(cells) - int(rank)
    return Noise(squares / freedom if freedom else np.nan, freedom)


def twin(one: Mapping[str, float], other: Mapping[str, float]) -> bool:
    """Returns whether two variants are equal to the last bit for every seed that both have: what sets them apart did
    nothing.
    """
    common = one.keys() & other.keys()
    return bool(common) and all(one[seed] == other[seed] for seed in common)


def _distinct(group: Mapping[str, Mapping[str, float]]) -> dict[str, Mapping[str, float]]:
    kept: dict[str, Mapping[str, float]] = {}
    for variant, of_seed in sorted(group.items(), key=lambda item: -len(item[1])):  # of twins, that with most seeds
        if not any(twin(of_seed, other) for other in kept.values()):
            kept[variant] = of_seed
    return kept


def difference(
    variant: Mapping[str, float],
    baseline: Mapping[str, float],
    level: float = LEVEL,
    known: Noise | None = None,
) -> Difference:
    """Returns the mean of variant less baseline, seed by seed, with its t interval; none from a single seed.

    Args:
        variant, baseline: values by seed's name. Seeds that lack a value on either side are dropped and told.
        level: of the interval, in 0..1.
        known: the noise of both, where other variants tell more of it than these two.
    """
    seeds = list(dict.fromkeys((*variant, *baseline)))
    each = {seed: variant.get(seed, np.nan) - baseline.get(seed, np.nan) for seed in seeds}
    both = tuple(float(each[seed]) for seed in seeds if np.isfinite(each[seed]))
    dropped = tuple(seed for seed in seeds if not np.isfinite(each[seed]))
    found = mean(both, level)
    low, high = found.low, found.high
    if known is not None and known.freedom and found.n > 1:
        half = float(stats.t.ppf((1 + level) / 2, known.freedom)) * known.of_mean_difference(found.n)
        low, high = found.estimate - half, found.estimate + half
    return Difference(found.estimate, low, high, found.n, each=both, dropped=dropped)


def sign_flips(
    differences: Sequence[float], rng: np.random.Generator, draws: int = 10_000, level: float = LEVEL
) -> MeanTest:
    """Returns the mean difference and its p-value by flipping signs (Fisher's randomization test of pairs), two-sided.

    Exact up to EXACT seeds, so that n seeds cannot give less than 2 / 2^n; beyond, from `draws` flips and the one
    observed (Davison and Hinkley 1997, eq. 4.11: never 0). Valid where each difference is as likely as its negative.
    """
    array, found = _finite(differences), mean(differences, level)
    if len(array) < 2:
        return MeanTest(found.estimate, found.low, found.high, found.n, p=np.nan)
    if len(array) <= EXACT:
        others = len(array) - 1  # the first sign makes no difference to the absolute value
        signs = 1 - 2 * (np.arange(2**others)[:, None] >> np.arange(others) & 1)
        flipped = np.abs(array[0] + signs @ array[1:])
        extra = 0
    else:
        flipped = np.abs(rng.choice((1, -1), (draws, len(array))) @ array)
        extra = 1
    # Sums that are equal on paper may differ in the last bits.
    as_large = np.count_nonzero(flipped >= abs(array.sum()) - 1e-9 * np.abs(array).sum())
    p = (as_large + extra) / (len(flipped) + extra)
    return MeanTest(found.estimate, found.low, found.high, found.n, p=float(p))


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Returns p-values that hold together, whatever their dependence (Holm 1979); NaN is no test and stays NaN."""
    tests = sorted((p, name) for name, p in p_values.items() if not np.isnan(p))
    adjusted, highest = dict(p_values), 0.0
    for place, (p, name) in enumerate(tests):
        highest = max(highest, min(1.0, (len(tests) - place) * p))
        adjusted[name] = highest
    return adjusted


def minimal_difference(sd: float, n: int, alpha: float = 0.05, power: float = 0.8, freedom: int | None = None) -> float:
    """Returns the smallest true mean difference that a two-sided t test of n pairs finds with this probability.

    `sd` is the standard deviation of the differences, in any unit, which is the result's too; NaN for one pair.
    `freedom` is that of its estimate, n - 1 unless told. By the noncentral t distribution (Cohen 1988, section 2.3); a
    difference found with the wrong sign is not counted.
    """
    if n < 2:
        return np.nan
    freedom = freedom or n - 1
    critical = stats.t.ppf(1 - alpha / 2, freedom)

    def lacking(shift: float) -> float:
        return float(stats.nct.sf(critical, freedom, shift)) - power

    most = 1.0
    while lacking(most) < 0:
        most *= 2
    return float(optimize.brentq(lacking, 0.0, most) * sd / np.sqrt(n))


def _finite(values: Sequence[float]) -> np.ndarray:
    """Returns what was measured; NaN is COCO's -1 or a value that was never recorded."""
    array = np.asarray(values, float)
    return array[np.isfinite(array)]
