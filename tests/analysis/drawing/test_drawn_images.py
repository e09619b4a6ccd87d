"""Intervals of drawn images: from draws written out in full, and covering the truth on new validation sets."""

from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from analysis.statistics import images
from analysis.statistics.average_precision import DrawnPrecision
from analysis.statistics.images import BATCH, Estimate, draw
from analysis.statistics.means import UNKNOWN, Interval, RowNoise, of_difference, row_noises
from experiments import names
from experiments.errors import UserError
from experiments.trial.matches import Matches, decided
from tests.support import coco_sets
from tests.support.drawn import plain

METRICS = names.COCO_METRICS


def world(
    rng: np.random.Generator, images: int, skills: Iterable[Iterable[float]], shared: float = 0.7
) -> list[list[Matches]]:
    """Returns the matches of detectors on one new validation set of one class, sizes left out: by variant, by seed.

    Images are harder or easier for all; `shared` of 1 is what variants and seeds find hard alike in an object.
    """
    ease = rng.normal(0, 0.8, images)
    objects, others = rng.poisson(1.5 * np.exp(rng.normal(0, 0.5, images))), rng.poisson(1.5, images)
    of_object, of_other = np.repeat(np.arange(images), objects), np.repeat(np.arange(images), others)
    common, common_other = rng.normal(0, 1, len(of_object)), rng.normal(0, 1, len(of_other))
    counted = objects > 0
    own = np.sqrt(1 - shared**2)

    def matches(skill: float) -> Matches:
        quality = skill + ease[of_object] + shared * common + own * rng.normal(0, 1, len(of_object))
        found = np.clip(np.floor(4 * quality + 5.8), 0, 10).astype(int)  # IoU thresholds
        wrong = 0.4 * ease[of_other] + shared * common_other + own * rng.normal(0, 1, len(of_other)) - 1
        score = np.concatenate([quality + rng.normal(0, 0.7, len(quality)), wrong])
        image = np.concatenate([of_object, of_other])
        bits = np.concatenate([(1 << found) - 1, np.zeros(len(of_other), int)])
        order = np.lexsort((-score, image))
        only_all, nowhere = np.array([1, 0, 0, 0]), np.array([0, 1023, 1023, 1023])
        return Matches(
            image_ids=np.arange(images),
            class_ids=np.array([1]),
            image=image[order].astype(np.int32),
            category=np.zeros(len(order), np.int16),
            score=score[order],
            matched=(bits[order, None] * only_all).astype(np.uint16),
            ignored=np.repeat(nowhere[None], len(order), axis=0).astype(np.uint16),
            object_image=np.flatnonzero(counted).astype(np.int32),
            object_category=np.zeros(counted.sum(), np.int16),
            objects=(objects[counted, None] * only_all).astype(np.int32),
        )

    return [[matches(skill) for skill in of_variant] for of_variant in skills]


Table = dict[str, dict[str, Matches]]


class Sure:
    """What is said of the rows of a table of one validation set, by the noise that its seeds show."""

    def __init__(self, trials: Table, rng: np.random.Generator, draws: int) -> None:
        self.drawn = draw(trials, rng, draws)

    def noise(self, row: str, metric: str) -> RowNoise:
        return row_noises([plain(self.drawn, metric)])[row]

    def mean(self, row: str, metric: str = "AP") -> Interval:
        noise = self.noise(row, metric)
        return self.drawn.mean(row, metric, noise.of_mean()).interval(noise.n, within=(0.0, 1.0))

    def difference(self, row: str, other: str, metric: str = "AP") -> Estimate:
        return self.drawn.difference(
            row, other, metric, of_difference(self.noise(row, metric), self.noise(other, metric))
        )

    def of_images(self, row: str, other: str, metric: str = "AP") -> Estimate:
        """The difference of these trained detectors, on other images."""
        return self.drawn._estimate([(1, row), (-1, other)], metric, UNKNOWN)


def average_precision(matches: Matches) -> np.ndarray:
    return DrawnPrecision(matches, most=1).on(np.ones((1, len(matches.image_ids)), int))[0, :3]


def test_intervals_from_draws_written_out() -> None:
    """Estimate, spread and difference, recomputed by pycocotools on each drawn set."""
    whole = coco_sets.awkward(np.random.default_rng(0), images=12, classes=2)
    worse = replace(whole, detections=whole.detections[::2])
    trials = {"all": {"0": decided(coco_sets.evaluated(whole))}, "half": {"0": decided(coco_sets.evaluated(worse))}}
    found = Sure(trials, np.random.default_rng(7), draws=20)
    chosen = np.random.default_rng(7).integers(0, 12, (20, 12))
    counts = [np.bincount(one, minlength=12) for one in chosen]

    def six(one: coco_sets.CocoSet) -> np.ndarray:
        drawn = [one, *(coco_sets.drawn(one, count) for count in counts)]
        return np.array([coco_sets.six(coco_sets.evaluated(each)) for each in drawn])

    full, half = six(whole), six(worse)
    reach = stats.t.ppf(0.975, 11) * np.sqrt(12 / 11)
    for number, metric in enumerate(METRICS):
        for own, values in ((found.mean("all", metric), full), (found.mean("half", metric), half)):
            spread = reach * np.nanstd(values[1:, number], ddof=1)
            assert own.estimate == pytest.approx(values[0, number], abs=1e-12)
            assert own.low == pytest.approx(max(0, own.estimate - spread), abs=1e-10)
            assert own.high == pytest.approx(min(1, own.estimate + spread), abs=1e-10)
        apart, values = found.of_images("all", "half", metric).interval(1), (full - half)[:, number]
        sd = np.nanstd(values[1:], ddof=1) * np.sqrt(12 / 11)
        assert apart.estimate == pytest.approx(values[0], abs=1e-12)
        assert apart.high - apart.low == pytest.approx(2 * stats.t.ppf(0.975, 11) * sd, abs=1e-10)
        told = found.difference("all", "half", metric)  # single seeds: nothing is known of training again
        assert (told.estimate, told.spread) == (apart.estimate, None)
        assert np.isnan([told.p, told.better, told.interval(1).low]).all()


@pytest.mark.long
def test_intervals_cover_what_sets_of_this_size_give_on_average() -> None:
    """A trained seed of a baseline and one of a better variant, on new images again and again."""
    rng, images, skills = np.random.default_rng(11), 200, ((0.0,), (0.25,))
    new = (world(rng, images, skills) for _ in range(800))
    truth = np.mean([[average_precision(one) for (one,) in found] for found in new], axis=0)
    covered = []
    for _ in range(1000):
        (base,), (good,) = world(rng, images, skills)
        found = Sure({"base": {"0": base}, "good": {"0": good}}, rng, draws=120)
        covered.append(of_truth(found, truth, found.of_images))
    assert np.mean(covered, axis=0) == pytest.approx(np.full((3, 3), 0.95), abs=0.015)


@pytest.mark.long
def test_confidence_is_uniform_where_rows_do_not_differ() -> None:
    """Two seeds of each of four rows, the seeds as different as images make them."""
    rng, better = np.random.default_rng(13), []
    for _ in range(150):
        rows = world(rng, 100, rng.normal(0, 0.3, (4, 3)))
        trials = {str(place): {str(seed): one for seed, one in enumerate(row)} for place, row in enumerate(rows)}
        better.append(Sure(trials, rng, draws=60).difference("1", "0").better)
    assert np.mean(np.array(better) > 0.5) == pytest.approx(0.5, abs=0.13)
    assert np.mean(np.abs(np.array(better) - 0.5) > 0.475) < 0.08  # no more than one in twenty, but for chance


@pytest.mark.long
@pytest.mark.parametrize(
    ("skills", "seeds", "spread"),
    [((0.0, 0.25), 3, 0.0), ((0.0, 0.25), 3, 0.3), ((0.0, 0.25, 0.1, 0.1), 2, 0.3)],
    ids=["seeds alike", "seeds differ", "more variants than seeds"],
)
def test_intervals_over_seeds_and_images_cover(skills: tuple[float, ...], seeds: int, spread: float) -> None:
    """New seeds each time: intervals may be too wide, as a few seeds tell little, but not too narrow."""
    rng, images = np.random.default_rng(12), 100

    def trained() -> list[list[Matches]]:
        return world(rng, images, np.array(skills)[:, None] + rng.normal(0, spread, (len(skills), seeds)))

    truth = np.mean([[[average_precision(one) for one in row] for row in trained()] for _ in range(400)], axis=(0, 2))
    covered = []
    for _ in range(250):
        trials = [{str(seed): one for seed, one in enumerate(row)} for row in trained()]
        found = Sure(dict(zip(("base", "good", "third", "fourth"), trials, strict=False)), rng, draws=60)
        covered.append(of_truth(found, truth, found.difference))
    of_base, of_good, apart = np.mean(covered, axis=(0, 1))
    assert min(of_base, of_good, apart) > 0.93
    assert max(of_base, of_good) < 0.995


def of_truth(found: Sure, truth: np.ndarray, difference: Callable[[str, str, str], Estimate]) -> list[list[bool]]:
    """Returns for AP, AP50 and AP75 whether base, good and their difference are where their intervals say."""
    return [
        [
            inside(found.mean("base", metric), truth[0, number]),
            inside(found.mean("good", metric), truth[1, number]),
            inside(difference("good", "base", metric).interval(1), truth[1, number] - truth[0, number]),
        ]
        for number, metric in enumerate(METRICS[:3])
    ]


def inside(interval: Interval, truth: float) -> bool:
    return bool(interval.low <= truth <= interval.high)


def test_the_number_of_threads_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    (base,), (good,) = world(np.random.default_rng(0), 50, ((0.0,), (0.3,)))
    trials = {"base": {"0": base}, "good": {"0": good}}
    told: list[int] = []
    draws = 3 * BATCH + 5
    found = []
    for threads in (1, 2, 3):
        monkeypatch.setattr(images, "THREADS", threads)
        found.append(draw(trials, np.random.default_rng(5), draws, told.append))
    for other in found[1:]:
        np.testing.assert_array_equal(found[0].values["good"]["0"], other.values["good"]["0"])
    assert sum(told) == 3 * 2 * (draws + 1)
    other = draw(trials, np.random.default_rng(6), draws)
    assert (other.values["good"]["0"][1:, 0] != found[0].values["good"]["0"][1:, 0]).any()
    assert other.values["good"]["0"][0, 0] == found[0].values["good"]["0"][0, 0]  # the images as they are


def test_one_drawn_image_is_the_same_for_all_rows() -> None:
    ((matches,),) = world(np.random.default_rng(0), 50, ((0.0,),))
    found = Sure({"base": {"0": matches}, "twin": {"0": matches}}, np.random.default_rng(1), draws=50)
    twin = found.of_images("twin", "base").interval(1)
    assert (twin.estimate, twin.low, twin.high) == (0, 0, 0)
    assert found.mean("base") == found.mean("twin")
    assert found.mean("base").high > found.mean("base").low


def test_a_difference_is_of_all_seeds_of_both() -> None:
    """Whatever they are called."""
    base, other = world(np.random.default_rng(0), 50, ((0.0, 0.1, 0.2), (0.3, 0.4, 0.5)))
    for seeds in ("012", "129", "789"):
        trials = {"base": dict(zip("012", base, strict=True)), "other": dict(zip(seeds, other, strict=True))}
        found = Sure(trials, np.random.default_rng(1), draws=40)
        expected = np.mean([average_precision(one)[0] for one in other]) - np.mean(
            [average_precision(one)[0] for one in base]
        )
        assert found.difference("other", "base").estimate == pytest.approx(expected, abs=1e-12)


def test_images_that_are_alike_give_the_t_interval_over_seeds() -> None:
    """All images alike, each seed's detections as good on each: found up to its own threshold."""
    images = 10
    ((any_,),) = world(np.random.default_rng(0), images, ((0.0,),))

    def matches(thresholds: int) -> Matches:
        nowhere = np.repeat([[0, 1023, 1023, 1023]], images, axis=0).astype(np.uint16)
        return replace(
            any_,
            image=np.arange(images, dtype=np.int32),
            category=np.zeros(images, np.int16),
            score=np.ones(images),
            matched=np.repeat([[(1 << thresholds) - 1, 0, 0, 0]], images, axis=0).astype(np.uint16),
            ignored=nowhere,
            object_image=np.arange(images, dtype=np.int32),
            object_category=np.zeros(images, np.int16),
            objects=np.repeat([[1, 0, 0, 0]], images, axis=0).astype(np.int32),
        )

    trials = {
        variant: {str(seed): matches(one) for seed, one in enumerate(found)}
        for variant, found in (("base", (3, 2, 4)), ("good", (4, 5, 6)))
    }
    found = Sure(trials, np.random.default_rng(1), draws=20)
    own, half = found.mean("good"), stats.t.ppf(0.975, 4) * 0.1 / np.sqrt(3)  # both rows show the same noise
    assert (own.low, own.high) == (pytest.approx(0.5 - half, abs=1e-9), pytest.approx(0.5 + half, abs=1e-9))
    peer = stats.ttest_ind([0.4, 0.5, 0.6], [0.3, 0.2, 0.4])
    apart = found.difference("good", "base")
    assert apart.interval(3).low == pytest.approx(peer.confidence_interval(0.95).low, abs=1e-8)
    assert apart.p == pytest.approx(peer.pvalue, abs=1e-8)
    assert apart.better == pytest.approx(1 - peer.pvalue / 2, abs=1e-8)


def test_size_without_objects_and_single_image_are_nan() -> None:
    ((matches,),) = world(np.random.default_rng(0), 30, ((0.0,),))
    small = Sure({"a": {"0": matches}}, np.random.default_rng(1), draws=10).mean("a", "APs")
    assert np.isnan([small.estimate, small.low, small.high]).all()  # no object of that size
    ((lone,),) = world(np.random.default_rng(4), 1, ((0.5,),))
    ap = Sure({"a": {"0": lone}}, np.random.default_rng(1), draws=10).mean("a")
    assert (np.isfinite(ap.estimate), np.isnan(ap.low), np.isnan(ap.high)) == (True, True, True)


def test_trials_that_cannot_be_compared() -> None:
    (base,), (other,) = world(np.random.default_rng(0), 30, ((0.0,), (0.3,)))
    elsewhere = replace(other, objects=other.objects + 1)
    rng = np.random.default_rng(0)
    with pytest.raises(UserError, match="variant 'random' has no trial with matches; run it, or leave it out"):
        draw({"single": {"0": base}, "random": {}}, rng, 1)
    complaint = "'random', seed 2, was not evaluated on the images, objects and classes of 'single', seed 0"
    with pytest.raises(UserError, match=complaint):
        draw({"single": {"0": base}, "random": {"1": other, "2": elsewhere}}, rng, 1)
