"""How sure AP is, and its difference to a baseline: all trials on the same images, drawn with replacement.

The interval is for the mean over seeds and over validation sets of this size (AP falls a little as sets grow, so that
sets of other sizes are no measure for it). With one trained seed it says nothing of training anew.
"""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
from scipy import optimize, stats

from analysis.average_precision import DrawnPrecision
from analysis.errors import AnalysisError
from analysis.stats import LEVEL, Interval, Noise, noise
from experiments import names
from experiments.matches import Matches

BATCH = 32  # draws computed at once; never by the number of threads, so that sums come out the same


@dataclass(frozen=True)
class Drawn(Interval):
    """A mean over seeds on `n` images; NaN where no image has objects of the size."""

    seeds: int


@dataclass(frozen=True)
class Spread:
    """What the distance of an estimate from the truth is made of, as variances.

    With values v of seed and image set, v = a(seed) + e(images) + r(seed, images), the mean over S seeds has the
    variance (a + r) / S + e. That across the trained seeds on the images as they are tells of (a + r) / S: of a
    variant's own mean with S - 1 degrees of freedom, of a difference with those of the noise that all variants share.
    That over draws of images tells of e + r / S. Percentiles of draws of both would not do: those
    of two or three seeds do not reach far enough, and r would count twice. So each part has its own t quantile
    (Howe 1974), which keeps to the level at least, and is the t interval across seeds where the images matter little,
    and the bootstrap's where there is one seed or the images are all that matters.
    """

    of_images: float  # e + r / S
    shared: float  # e
    across_seeds: float  # (a + r) / S; 0 with one seed
    images: int
    freedom: int  # of across_seeds

    def half_width(self, level: float) -> float:
        return float(self._half_widths(level, np.ones(1))[0])

    def detectable(self, level: float, power: float = 0.8) -> float:
        """Returns the smallest true difference that lies outside an interval of this level so often, on its own side.

        The noise that a study estimates is drawn from its chi-squared distribution, as 200 quantiles of it.
        """
        quantiles = (np.arange(200) + 0.5) / 200
        ratios = stats.chi2.ppf(quantiles, self.freedom) / self.freedom if self.freedom else np.ones(1)
        widths = self._half_widths(level, ratios)
        sd = np.sqrt(self.shared + self.across_seeds)

        def lacking(difference: float) -> float:
            return float(stats.norm.sf(widths, difference, sd).mean()) - power

        most = float(widths.max() + 10 * sd)
        return float(optimize.brentq(lacking, 0.0, most)) if sd else 0.0

    def _half_widths(self, level: float, ratios: np.ndarray) -> np.ndarray:
        """Returns half the interval's width where the noise is estimated as so many times what it is."""
        of_images, of_seeds = (
            float(stats.t.ppf((1 + level) / 2, freedom)) if freedom else 0.0
            for freedom in (self.images - 1, self.freedom)
        )
        both = of_images**2 * self.shared + of_seeds**2 * self.across_seeds * ratios
        return np.sqrt(np.maximum(both, of_images**2 * self.of_images))


@dataclass(frozen=True)
class DrawnDifference(Drawn):
    """A variant less the baseline, over the seeds that both have."""

    better: float  # confidence, in 0..1, that the variant is better: .975 where `low` of a 95 % interval is 0
    dropped: tuple[str, ...]  # seeds that only one of the two has
    spread: Spread | None  # None where there is no interval


@dataclass(frozen=True)
class Variant:
    """What the draws say of a variant, by metric: AP, AP50, AP75, APs, APm, APl, as fractions."""

    metrics: dict[str, Drawn]
    differences: dict[str, DrawnDifference]  # to the baseline; its own are empty


def resample(
    trials: Mapping[str, Mapping[str, Matches]],
    baseline: str,
    rng: np.random.Generator,
    draws: int = 1000,
    level: float = LEVEL,
    threads: int = 2,
    on_drawn: Callable[[int], None] = lambda draws: None,
    known: Mapping[str, Noise] = MappingProxyType({}),
) -> dict[str, Variant]:
    """Returns the estimates and intervals of each variant and of its difference to the baseline.

    Args:
        trials: by variant, then by seed's name: each trial's matches, all of the same validation set.
        baseline: the variant that the others are compared with.
        rng: draws the images; the result depends on nothing else, the number of threads included.
        draws: how often as many images as there are are drawn.
        level: of the intervals, in 0..1.
        threads: that compute at once.
        on_drawn: is told how many draws of a trial were done, from any thread.
        known: noise from seed to seed, by metric, where others than these trials tell of it too.

    Raises AnalysisError where the trials were not evaluated on the same images, objects and classes.
    """
    _check(trials, baseline)
    images = len(next(iter(trials[baseline].values())).image_ids)
    chosen = rng.integers(0, images, (draws, images))
    drawn = np.stack([np.bincount(one, minlength=images) for one in chosen]).astype(np.int32)
    counts = np.concatenate([np.ones((1, images), np.int32), drawn])  # first the set as it is
    values = {
        variant: {seed: _values(matches, counts, threads, on_drawn) for seed, matches in seeds.items()}
        for variant, seeds in trials.items()
    }
    of_baseline = values[baseline]
    of_seeds = {
        name: known.get(name) or noise([_as_they_are(values, number)]) for number, name in enumerate(names.COCO_METRICS)
    }
    found = {}
    for variant, own in values.items():
        metrics = {name: _drawn(own, number, images, level) for number, name in enumerate(names.COCO_METRICS)}
        both = {seed: own[seed] - of_baseline[seed] for seed in own if seed in of_baseline}
        dropped = tuple(sorted({*own, *of_baseline} - {*both}))
        differences = {
            name: _difference(both, number, images, level, dropped, of_seeds[name])
            for number, name in enumerate(names.COCO_METRICS)
            if variant != baseline
        }
        found[variant] = Variant(metrics, differences)
    return found


def as_they_are(trials: Mapping[str, Mapping[str, Matches]]) -> dict[str, dict[str, dict[str, float]]]:
    """Returns the six metrics on the images without drawing, by metric, variant and seed."""
    found: dict[str, dict[str, dict[str, float]]] = {name: {} for name in names.COCO_METRICS}
    for variant, of_seed in trials.items():
        for seed, matches in of_seed.items():
            counts = np.ones((1, len(matches.image_ids)), np.int32)
            for name, value in zip(names.COCO_METRICS, _values(matches, counts, 1, lambda _: None)[0], strict=True):
                found[name].setdefault(variant, {})[seed] = float(value)
    return found


def _as_they_are(values: dict[str, dict[str, np.ndarray]], metric: int) -> dict[str, dict[str, float]]:
    """Returns a metric on the images without drawing, by variant and seed."""
    return {variant: {seed: float(own[0, metric]) for seed, own in seeds.items()} for variant, seeds in values.items()}


def _drawn(values: dict[str, np.ndarray], metric: int, images: int, level: float) -> Drawn:
    estimate, spread = _estimate(values, metric, images)
    if spread is None:
        return Drawn(estimate, np.nan, np.nan, images, seeds=len(values))
    half = spread.half_width(level)
    return Drawn(estimate, max(0.0, estimate - half), min(1.0, estimate + half), images, seeds=len(values))


def _difference(
    values: dict[str, np.ndarray],
    metric: int,
    images: int,
    level: float,
    dropped: tuple[str, ...],
    of_seeds: Noise,
) -> DrawnDifference:
    estimate, spread = _estimate(values, metric, images)
    if spread is None:
        return DrawnDifference(
            estimate, np.nan, np.nan, images, len(values), better=np.nan, dropped=dropped, spread=None
        )
    if spread.freedom and of_seeds.freedom:
        across = of_seeds.of_mean_difference(len(values)) ** 2
        spread = replace(spread, across_seeds=across, freedom=of_seeds.freedom)
    half = spread.half_width(level)
    better = (1 + np.sign(estimate) * _level(spread, abs(estimate))) / 2
    return DrawnDifference(
        estimate, estimate - half, estimate + half, images, len(values), float(better), dropped, spread
    )


def _estimate(values: dict[str, np.ndarray], metric: int, images: int) -> tuple[float, Spread | None]:
    """Returns the mean over seeds and its spread, None without two images or two draws that have such objects."""
    seeds = len(values)
    if not seeds:
        return np.nan, None
    table = np.stack([of_seed[:, metric] for of_seed in values.values()])  # seeds x (1 + draws)
    mean = table.mean(axis=0)
    draws = np.flatnonzero(~np.isnan(mean[1:])) + 1  # a draw may have no object of this size
    if images < 2 or len(draws) < 2 or np.isnan(mean[0]):
        return float(mean[0]), None
    scale = images / (images - 1)  # a draw of n from n varies by (n - 1) / n of what n new images would
    of_images = float(mean[draws].var(ddof=1)) * scale
    if seeds == 1:
        return float(mean[0]), Spread(of_images, of_images, 0.0, images, 0)
    across = table.var(axis=0, ddof=1) / seeds
    r = max(0.0, float(across[draws].mean() - across[0]) * scale)  # what drawing images adds to it
    return float(mean[0]), Spread(of_images, max(0.0, of_images - r), float(across[0]), images, seeds - 1)


def _level(spread: Spread, distance: float) -> float:
    """Returns the level of the interval that just reaches so far from the estimate."""
    most = 1 - 1e-12
    if spread.half_width(most) <= distance:
        return most if distance else 0.0
    return float(optimize.brentq(lambda level: spread.half_width(level) - distance, 0.0, most))


def _values(matches: Matches, counts: np.ndarray, threads: int, on_drawn: Callable[[int], None]) -> np.ndarray:
    """Returns the six metrics of a trial (1 + draws, 6)."""
    precision = DrawnPrecision(matches, most=int(counts.max()))

    def of_batch(start: int) -> np.ndarray:
        found = precision.on(counts[start : start + BATCH])
        on_drawn(len(found))
        return found

    # Threads and not processes: numpy's loops let go of Python's lock.
    with ThreadPoolExecutor(threads) as pool:
        return np.concatenate(list(pool.map(of_batch, range(0, len(counts), BATCH))))


def _check(trials: Mapping[str, Mapping[str, Matches]], baseline: str) -> None:
    if baseline not in trials:
        raise AnalysisError(f"no variant {baseline!r} to compare with; choose from: {', '.join(trials)}")
    for variant, seeds in trials.items():
        if not seeds:
            raise AnalysisError(f"variant {variant!r} has no trial with matches; run it, or leave it out")
    first, of_first = next(iter(trials[baseline].items()))
    for variant, seeds in trials.items():
        for seed, matches in seeds.items():
            for field in ("image_ids", "class_ids", "object_image", "object_category", "objects"):
                if not np.array_equal(getattr(matches, field), getattr(of_first, field)):
                    raise AnalysisError(
                        f"{variant!r}, seed {seed}, was not evaluated on the images, objects and classes of "
                        f"{baseline!r}, seed {first}; compare trials of one data set"
                    )
