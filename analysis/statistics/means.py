"""Intervals and tests for the means of a few seeds. NaN means that a value cannot be estimated."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

LEVEL = 0.95  # of every interval unless another is asked for
ALPHA = 0.05  # of every test unless a study's rules say otherwise
OWN_FROM = 5  # seeds from which on a row's noise is its own alone


@dataclass(frozen=True)
class Interval:
    """An estimate and its confidence interval; `low` and `high` are NaN if `n` is too small for one."""

    estimate: float
    low: float
    high: float
    n: int

    def times(self, scale: float) -> "Interval":
        """Returns the interval in another unit."""
        return Interval(scale * self.estimate, scale * self.low, scale * self.high, self.n)

    def within(self, margin: float) -> bool:
        """Returns whether the whole interval lies within a margin of 0."""
        return bool(-margin < self.low and self.high < margin)


@dataclass(frozen=True)
class Noise:
    """How much a value differs from one training to the next, as a variance with the freedom of its estimate."""

    variance: float = np.nan  # of one value; NaN if unknown
    freedom: float = 0  # degrees of freedom

    @property
    def upper(self) -> "Noise":
        """Returns the noise with the upper 80 % bound of its variance, by the chi-squared distribution."""
        if not self.freedom:
            return self
        return Noise(self.variance * self.freedom / float(stats.chi2.ppf(0.2, self.freedom)), self.freedom)


UNKNOWN = Noise()


@dataclass(frozen=True)
class RowNoise:
    """The noise of one value of a row, of which there are `n` seeds."""

    n: int
    own: Noise  # of its own seeds
    used: Noise  # that intervals use
    alike: Noise  # pooled over all rows of its group

    def of_mean(self, alone: bool = False) -> Noise:
        """Returns the noise of the mean over its seeds; with `alone` by its own seeds only."""
        noise = self.own if alone else self.used
        return Noise(noise.variance / self.n, noise.freedom) if self.n and noise.freedom else UNKNOWN


def total(parts: Sequence[Noise]) -> Noise:
    """Returns the noise of a sum or difference of independent parts: Welch's degrees of freedom (Satterthwaite 1946).

    Unknown if a part is unknown. Two means' noises give Welch's unequal-variances t test (Welch 1947).
    """
    if not parts or not all(part.freedom for part in parts):
        return UNKNOWN
    variance = sum(part.variance for part in parts)
    if not variance:
        return Noise(0.0, min(part.freedom for part in parts))
    # Shares first: squares of variances would underflow.
    return Noise(variance, 1 / sum((part.variance / variance) ** 2 / part.freedom for part in parts))


def of_difference(one: RowNoise, other: RowNoise, alone: bool = False, cautious: bool = False) -> Noise:
    """Returns the noise of the difference of two rows' means.

    If both rows use the pooled noise, it is one estimate and not two independent ones: its freedom counts once.

    Args:
        alone: use the noise of the two rows' own seeds only.
        cautious: below OWN_FROM seeds, limit the freedom to that of the row with fewer seeds: Welch's test errs too
            often where rows of two to four seeds are looked at repeatedly (`test_sequential.py`).
    """
    if not alone and one.used == other.used and one.n and other.n:
        return Noise(one.used.variance * (1 / one.n + 1 / other.n), one.used.freedom)
    found = total([one.of_mean(alone), other.of_mean(alone)])
    if cautious and min(one.n, other.n) < OWN_FROM:
        return Noise(found.variance, min(found.freedom, one.n - 1, other.n - 1))
    return found


def p_value(estimate: float, noise: Noise) -> float:
    """Returns Student's two-sided p-value for a true value of 0; NaN if the noise is unknown."""
    if not noise.freedom or np.isnan(estimate):
        return np.nan
    if not noise.variance:
        return 0.0 if estimate else 1.0
    return float(2 * stats.t.sf(abs(estimate) / np.sqrt(noise.variance), noise.freedom))


def interval(estimate: float, noise: Noise, n: int) -> Interval:
    """Returns Student's t interval of an estimate; its ends are NaN if the noise is unknown."""
    if not noise.freedom:
        return Interval(estimate, np.nan, np.nan, n)
    half = float(stats.t.ppf((1 + LEVEL) / 2, noise.freedom) * np.sqrt(noise.variance))
    return Interval(estimate, estimate - half, estimate + half, n)


def mean(values: Sequence[float]) -> Interval:
    """Returns the mean over seeds and Student's t interval; one value has no interval, none has NaN."""
    array = _finite(values)
    if not len(array):
        return Interval(np.nan, np.nan, np.nan, 0)
    own = own_noise(values)
    return interval(float(array.mean()), Noise(own.variance / len(array), own.freedom), len(array))


def own_noise(values: Sequence[float]) -> Noise:
    """Returns the noise that the seeds of one row show; unknown for fewer than two."""
    array = _finite(values)
    return Noise(float(array.var(ddof=1)), len(array) - 1) if len(array) > 1 else UNKNOWN


def row_noises(groups: Iterable[Mapping[str, Mapping[str, float]]]) -> dict[str, RowNoise]:
    """Returns each row's noise. Training noise is assumed equal in the rows of one group, and pooled.

    A row of at least OWN_FROM seeds has its own noise. A row of fewer seeds has the larger of its own and the pooled
    noise, because a few seeds may agree by chance. Tests with these noises keep their level where one row, or the
    baseline, is three times as noisy as the others (`tests/analysis/statistics/test_coverage.py`).

    Args:
        groups: values by row and seed's name. A row that is another's `twin` counts once in its group.
    """
    found: dict[str, RowNoise] = {}
    for group in groups:
        together = pooled([list(of_seed.values()) for of_seed in distinct(group).values()])
        for name, of_seed in group.items():
            values = list(of_seed.values())
            own, n = own_noise(values), len(_finite(values))
            larger = own.variance > together.variance * (
                1 + 1e-9
            )  # if they are equal, the pooled noise, which has more freedom
            found[name] = RowNoise(n, own, own if n >= OWN_FROM or larger else together, together)
    return found


def pooled(samples: Iterable[Sequence[float]]) -> Noise:
    """Returns the pooled noise within samples, weighted by their freedom."""
    known = [one for values in samples if (one := own_noise(values)).freedom]
    freedom = sum(one.freedom for one in known)
    return Noise(sum(one.variance * one.freedom for one in known) / freedom, freedom) if known else UNKNOWN


def noisiest(known: Mapping[str, Noise]) -> tuple[str, float] | None:
    """Returns the name of the row that is noisier than the others, and the p-value of equal noise.

    Cochran's C test (1941), for samples of different sizes by the F ratio of one to all others ('t Lam 2010,
    Analytica Chimica Acta 659:68, the G test); Bonferroni's bound over the names, exact where p is below .5 for samples
    of one size. None for fewer than two noises, or where all are 0.
    """
    told = {name: noise for name, noise in known.items() if noise.freedom}
    squares = {name: noise.variance * noise.freedom for name, noise in told.items()}
    whole, freedom = sum(squares.values()), sum(noise.freedom for noise in told.values())
    if len(told) < 2 or not whole:
        return None

    def p(name: str) -> float:
        rest = (whole - squares[name]) / (freedom - told[name].freedom)
        if not rest:
            return 0.0
        return float(stats.f.sf(told[name].variance / rest, told[name].freedom, freedom - told[name].freedom))

    p_values = {name: p(name) for name in told}
    name = min(p_values, key=lambda one: (p_values[one], -told[one].variance))
    return name, min(1.0, len(told) * p_values[name])


def beats(estimate: float, noises: Sequence[Noise]) -> float:
    """Returns the probability that a new training of one row beats one of another, by the difference of their means.

    Phi(d / sqrt(2) sigma) where both have the noise sigma; NaN where a noise is unknown.
    """
    if not all(noise.freedom for noise in noises) or np.isnan(estimate):
        return np.nan
    sd = np.sqrt(sum(noise.variance for noise in noises))
    return float(stats.norm.cdf(estimate / sd)) if sd else (1 + float(np.sign(estimate))) / 2


def one_more(values: Sequence[float], other: float, rounded: float = 0.0) -> tuple[Interval, float]:
    """Returns the mean minus one further value, its interval, and the p-value for a further value of the same kind.

    The prediction interval of a single future value: s sqrt(1 + 1/n) is the standard error of its distance from the
    mean (Hahn and Meeker 1991, section 4.7). Without interval and p for fewer than two values.

    Args:
        rounded: the unit that the other is rounded to, which adds the variance of a uniform error.
    """
    array = _finite(values)
    if not len(array):
        return Interval(np.nan, np.nan, np.nan, 0), np.nan
    own = own_noise(values)
    noise = Noise(own.variance * (1 + 1 / len(array)) + rounded**2 / 12, own.freedom)
    distance = float(array.mean()) - other
    return interval(distance, noise, len(array)), p_value(distance, noise)


def twin(one: Mapping[str, float], other: Mapping[str, float]) -> bool:
    """Returns whether two rows are equal to the last bit for every seed that both have."""
    common = one.keys() & other.keys()
    return bool(common) and all(one[seed] == other[seed] for seed in common)


def distinct(group: Mapping[str, Mapping[str, float]]) -> dict[str, Mapping[str, float]]:
    """Returns the rows of a group without repeats: of twins, only the one with most seeds."""
    kept: dict[str, Mapping[str, float]] = {}
    for variant, of_seed in sorted(group.items(), key=lambda item: -len(item[1])):
        if not any(twin(of_seed, other) for other in kept.values()):
            kept[variant] = of_seed
    return kept


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Returns p-values corrected for multiple tests under any dependence (Holm 1979); NaN is not a test and stays."""
    tests = sorted((p, name) for name, p in p_values.items() if not np.isnan(p))
    adjusted, highest = dict(p_values), 0.0
    for place, (p, name) in enumerate(tests):
        highest = max(highest, min(1.0, (len(tests) - place) * p))
        adjusted[name] = highest
    return adjusted


def _finite(values: Sequence[float]) -> np.ndarray:
    """Returns the values that are not NaN, which is COCO's -1 or a value that was not recorded."""
    array = np.asarray(values, float)
    return array[np.isfinite(array)]
