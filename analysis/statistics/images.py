"""Means and differences of AP with their spread: all trials on the same images, drawn with replacement.

Intervals are for the mean over seeds and over validation sets of this size; AP falls a little as sets grow.
"""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from analysis.statistics.average_precision import DrawnPrecision
from analysis.statistics.means import LEVEL, Interval, Noise
from analysis.statistics.spread import Spread
from experiments import names
from experiments.errors import UserError
from experiments.trial.matches import Matches

BATCH = 32  # draws computed at once; it does not depend on the number of threads, so that sums are the same
THREADS = 2


@dataclass(frozen=True, eq=False)
class Draws:
    """The six metrics of each trial, on the images as they are and on each draw of them.

    Args:
        values: by row and seed's name (1 + draws, 6), as fractions, in the order of `names.COCO_METRICS`.
        images: how many there are, and how many a draw has.
    """

    values: dict[str, dict[str, np.ndarray]]
    images: int

    def mean(self, row: str, metric: str, noise: Noise) -> "Estimate":
        """Returns the mean over a row's seeds.

        Args:
            noise: of this mean, from seed to seed; if it is unknown, the spread is over images only.
        """
        return self._estimate([(1, row)], metric, noise)

    def difference(self, row: str, other: str, metric: str, noise: Noise) -> "Estimate":
        """Returns the mean over a row's seeds minus the mean over another row's.

        Args:
            noise: of this difference, from seed to seed; if it is unknown, there is no spread.
        """
        found = self._estimate([(1, row), (-1, other)], metric, noise)
        return found if noise.freedom else Estimate(found.estimate, None)

    def _estimate(self, parts: list[tuple[int, str]], metric: str, noise: Noise) -> "Estimate":
        number = names.COCO_METRICS.index(metric)
        tables = [(sign, np.stack([one[:, number] for one in self.values[row].values()])) for sign, row in parts]
        mean = sum(sign * table.mean(axis=0) for sign, table in tables)  # (1 + draws,)
        assert isinstance(mean, np.ndarray)
        estimate = float(mean[0])
        draws = np.flatnonzero(~np.isnan(mean[1:])) + 1  # a draw may have no object of this size
        if self.images < 2 or len(draws) < 2 or np.isnan(estimate):
            return Estimate(estimate, None)
        scale = self.images / (self.images - 1)  # a draw of n from n varies by (n - 1) / n of what n new images would
        of_images = float(mean[draws].var(ddof=1)) * scale
        of_both = sum(_of_seed_and_images(table, draws) for _, table in tables) * scale
        return Estimate(estimate, Spread(of_images, max(0.0, of_images - of_both), self.images, noise))


@dataclass(frozen=True)
class Estimate:
    """A mean or a difference, and its spread; None if that is unknown."""

    estimate: float
    spread: Spread | None

    def interval(self, n: int, level: float = LEVEL, within: tuple[float, float] = (-np.inf, np.inf)) -> Interval:
        """Returns the interval, clipped to the range of the metric; `n` is only displayed."""
        if self.spread is None:
            return Interval(self.estimate, np.nan, np.nan, n)
        half = self.spread.half_width(level)
        return Interval(self.estimate, max(within[0], self.estimate - half), min(within[1], self.estimate + half), n)

    @property
    def p(self) -> float:
        """Returns the two-sided p-value for a true value of 0; NaN if the training noise is unknown."""
        if self.spread is None or not self.spread.seeds.freedom:
            return np.nan
        return 1 - self.spread.level(abs(self.estimate))

    @property
    def better(self) -> float:
        """Returns the confidence that it is above 0: .975 where a 95 % interval starts at 0; NaN as for `p`."""
        return float((1 + np.sign(self.estimate) * (1 - self.p)) / 2)


def draw(
    trials: Mapping[str, Mapping[str, Matches]],
    rng: np.random.Generator,
    draws: int,
    on_drawn: Callable[[int], None] = lambda draws: None,
) -> Draws:
    """Returns the metrics of each trial on the same draws of images.

    Args:
        trials: by row, then by seed's name: each trial's matches, all of the same validation set.
        rng: draws the images; the result has no other randomness.
        draws: number of draws, each of as many images as the set has; 0 for the original set only.
        on_drawn: is called with the number of draws of a trial that were done, from any thread.

    Raises UserError if the trials were not evaluated on the same images, objects and classes.
    """
    _check(trials)
    images = len(next(iter(next(iter(trials.values())).values())).image_ids)
    chosen = rng.integers(0, images, (draws, images))
    drawn = [np.bincount(one, minlength=images).astype(np.int32) for one in chosen]
    counts = np.stack([np.ones(images, np.int32), *drawn])  # first the set as it is
    values = {
        row: {seed: _values(matches, counts, on_drawn) for seed, matches in seeds.items()}
        for row, seeds in trials.items()
    }
    return Draws(values, images)


def _of_seed_and_images(table: np.ndarray, draws: np.ndarray) -> float:
    """Returns the part r / S of the variance of a mean over seeds (see Spread); 0 for one seed."""
    seeds = len(table)
    if seeds < 2:
        return 0.0
    across = table.var(axis=0, ddof=1) / seeds
    return max(0.0, float(across[draws].mean() - across[0]))


def _values(matches: Matches, counts: np.ndarray, on_drawn: Callable[[int], None]) -> np.ndarray:
    """Returns the six metrics of a trial (1 + draws, 6)."""
    precision = DrawnPrecision(matches, most=int(counts.max()))

    def of_batch(start: int) -> np.ndarray:
        found = precision.on(counts[start : start + BATCH])
        on_drawn(len(found))
        return found

    # Threads, not processes: numpy's loops release Python's lock.
    with ThreadPoolExecutor(THREADS) as pool:
        return np.concatenate(list(pool.map(of_batch, range(0, len(counts), BATCH))))


def _check(trials: Mapping[str, Mapping[str, Matches]]) -> None:
    for row, seeds in trials.items():
        if not seeds:
            raise UserError(f"variant {row!r} has no trial with matches; run it, or leave it out")
    (first_row, of_first), *_ = trials.items()
    first, expected = next(iter(of_first.items()))
    for row, seeds in trials.items():
        for seed, matches in seeds.items():
            for field in ("image_ids", "class_ids", "object_image", "object_category", "objects"):
                if not np.array_equal(getattr(matches, field), getattr(expected, field)):
                    raise UserError(
                        f"{row!r}, seed {seed}, was not evaluated on the images, objects and classes of "
                        f"{first_row!r}, seed {first}; compare trials of one data set"
                    )
