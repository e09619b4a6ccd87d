"""Intervals of drawn images: from draws written out in full, as wide as new validation sets vary, and covering."""

from collections.abc import Iterable
from dataclasses import replace

import coco_sets
import numpy as np
import pytest
from scipy import stats

from analysis.average_precision import DrawnPrecision
from analysis.bootstrap import BATCH, Spread, Variant, resample
from analysis.errors import AnalysisError
from analysis.stats import Interval, mean
from experiments.matches import Matches, decided

METRICS = ("AP", "AP50", "AP75", "APs", "APm", "APl")


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


def average_precision(matches: Matches) -> np.ndarray:
    return DrawnPrecision(matches, most=1).on(np.ones((1, len(matches.image_ids)), int))[0, :3]


def test_intervals_from_draws_written_out() -> None:
    """Estimate, spread and difference once more, by pycocotools on each drawn set."""
    whole = coco_sets.awkward(np.random.default_rng(0), images=12, classes=2)
    worse = replace(whole, detections=whole.detections[::2])
    trials = {"all": {"0": decided(coco_sets.evaluated(whole))}, "half": {"0": decided(coco_sets.evaluated(worse))}}
    found = resample(trials, "half", np.random.default_rng(7), draws=20)
    chosen = np.random.default_rng(7).integers(0, 12, (20, 12))
    counts = [np.bincount(one, minlength=12) for one in chosen]

    def six(one: coco_sets.CocoSet) -> np.ndarray:
        drawn = [one, *(coco_sets.drawn(one, count) for count in counts)]
        return np.array([coco_sets.six(coco_sets.evaluated(each)) for each in drawn])

    full, half = six(whole), six(worse)
    reach = stats.t.ppf(0.975, 11) * np.sqrt(12 / 11)
    for number, metric in enumerate(METRICS):
        for own, values in ((found["all"].metrics[metric], full), (found["half"].metrics[metric], half)):
            spread = reach * np.nanstd(values[1:, number], ddof=1)
            assert own.estimate == pytest.approx(values[0, number], abs=1e-12)
            assert own.low == pytest.approx(max(0, own.estimate - spread), abs=1e-10)
            assert own.high == pytest.approx(min(1, own.estimate + spread), abs=1e-10)
            assert (own.n, own.seeds) == (12, 1)
        own, values = found["all"].differences[metric], (full - half)[:, number]
        sd = np.nanstd(values[1:], ddof=1) * np.sqrt(12 / 11)
        assert own.estimate == pytest.approx(values[0], abs=1e-12)
        assert own.high - own.low == pytest.approx(2 * stats.t.ppf(0.975, 11) * sd, abs=1e-10)
        assert own.better == pytest.approx(stats.t.cdf(values[0] / sd, 11), abs=1e-8)
    assert found["half"].differences == {}


def test_intervals_cover_what_sets_of_this_size_give_on_average() -> None:
    """A trained seed of a baseline and one of a better variant, on new images again and again."""
    rng, images, skills = np.random.default_rng(11), 200, ((0.0,), (0.25,))
    new = (world(rng, images, skills) for _ in range(2000))
    truth = np.mean([[average_precision(one) for (one,) in found] for found in new], axis=0)
    covered = []
    for _ in range(1000):
        (base,), (good,) = world(rng, images, skills)
        found = resample({"base": {"0": base}, "good": {"0": good}}, "base", rng, draws=120, threads=1)
        covered.append(of_truth(found["base"], found["good"], truth))
    assert np.mean(covered, axis=0) == pytest.approx(np.full((3, 3), 0.95), abs=0.015)


def test_confidence_in_what_is_no_better_is_anything() -> None:
    rng, better = np.random.default_rng(13), []
    for _ in range(400):
        (base,), (same,) = world(rng, 100, ((0.0,), (0.0,)))
        found = resample({"base": {"0": base}, "same": {"0": same}}, "base", rng, draws=100, threads=1)
        better.append(found["same"].differences["AP"].better)
    assert stats.kstest(better, "uniform").pvalue > 0.05


@pytest.mark.parametrize(
    ("skills", "seeds", "spread"),
    [((0.0, 0.25), 3, 0.0), ((0.0, 0.25), 3, 0.3), ((0.0, 0.25, 0.1, 0.1), 2, 0.3)],
    ids=["seeds alike", "seeds differ", "more variants than seeds"],
)
def test_intervals_over_seeds_and_images_cover(skills: tuple[float, ...], seeds: int, spread: float) -> None:
    """Seeds trained anew each time: intervals may be too wide, as a few seeds tell little, but not too narrow."""
    rng, images = np.random.default_rng(12), 100

    def trained() -> list[list[Matches]]:
        return world(rng, images, np.array(skills)[:, None] + rng.normal(0, spread, (len(skills), seeds)))

    truth = np.mean([[[average_precision(one) for one in row] for row in trained()] for _ in range(1000)], axis=(0, 2))
    covered = []
    for _ in range(250):
        trials = [{str(seed): one for seed, one in enumerate(row)} for row in trained()]
        found = resample(
            dict(zip(("base", "good", "third", "fourth"), trials, strict=False)), "base", rng, draws=60, threads=1
        )
        covered.append(of_truth(found["base"], found["good"], truth))
    of_base, of_good, of_difference = np.mean(covered, axis=(0, 1))
    assert min(of_base, of_good, of_difference) > 0.93
    assert max(of_base, of_good) < 0.99


def of_truth(base: Variant, good: Variant, truth: np.ndarray) -> list[list[bool]]:
    """Returns for AP, AP50 and AP75 whether base, good and their difference are where their intervals say."""
    return [
        [
            inside(base.metrics[metric], truth[0, number]),
            inside(good.metrics[metric], truth[1, number]),
            inside(good.differences[metric], truth[1, number] - truth[0, number]),
        ]
        for number, metric in enumerate(METRICS[:3])
    ]


def inside(interval: Interval, truth: float) -> bool:
    return bool(interval.low <= truth <= interval.high)


def test_repeats_count() -> None:
    """Without its repeats a draw holds 63 % of the images, and varies by .37 / .63 of what a new set would."""
    ((matches,),) = world(np.random.default_rng(0), 400, ((0.0,),))
    counts = np.random.default_rng(1).multinomial(400, np.full(400, 1 / 400), 1500)
    precision = DrawnPrecision(matches, most=int(counts.max()))
    whole, distinct = (precision.on(one)[:, 0].var() for one in (counts, np.minimum(counts, 1)))
    assert distinct / whole == pytest.approx(0.58, abs=0.05)


def test_draws_vary_as_new_sets_do() -> None:
    rng = np.random.default_rng(3)
    new = [average_precision(world(rng, 150, ((0.0,),))[0][0])[0] for _ in range(1000)]
    widths = []
    for _ in range(40):
        ((matches,),) = world(rng, 150, ((0.0,),))
        ap = resample({"one": {"0": matches}}, "one", rng, draws=200)["one"].metrics["AP"]
        widths.append(ap.high - ap.low)
    assert np.mean(widths) == pytest.approx(2 * 1.976 * np.std(new), rel=0.06)


def test_as_many_threads_as_one_likes() -> None:
    (base,), (good,) = world(np.random.default_rng(0), 50, ((0.0,), (0.3,)))
    trials = {"base": {"0": base}, "good": {"0": good}}
    told: list[int] = []
    draws = 3 * BATCH + 5
    one, two, three = (
        resample(trials, "base", np.random.default_rng(5), draws, threads=threads, on_drawn=told.append)
        for threads in (1, 2, 3)
    )
    assert repr(one) == repr(two) == repr(three)  # repr: NaN is as NaN
    assert sum(told) == 3 * 2 * (draws + 1)
    other = resample(trials, "base", np.random.default_rng(6), draws)
    assert other["good"].metrics["AP"].low != one["good"].metrics["AP"].low
    assert other["good"].metrics["AP"].estimate == one["good"].metrics["AP"].estimate


def test_one_drawn_image_is_the_same_for_all_variants() -> None:
    ((matches,),) = world(np.random.default_rng(0), 50, ((0.0,),))
    found = resample({"base": {"0": matches}, "twin": {"0": matches}}, "base", np.random.default_rng(1), draws=50)
    twin = found["twin"].differences["AP"]
    assert (twin.estimate, twin.low, twin.high, twin.better) == (0, 0, 0, 0.5)
    assert found["base"].metrics["AP"] == found["twin"].metrics["AP"]
    assert found["base"].metrics["AP"].high > found["base"].metrics["AP"].low


def test_seeds_are_paired_by_name() -> None:
    base, other = world(np.random.default_rng(0), 50, ((0.0, 0.1, 0.2), (0.3, 0.4, 0.5)))
    trials = {"base": dict(zip("012", base, strict=True)), "other": dict(zip("129", other, strict=True))}
    found = resample(trials, "base", np.random.default_rng(1), draws=40)["other"]
    own = found.differences["AP"]
    pairs = ((other[0], base[1]), (other[1], base[2]))
    expected = np.mean([average_precision(a)[0] - average_precision(b)[0] for a, b in pairs])
    assert own.estimate == pytest.approx(expected, abs=1e-12)
    assert (own.seeds, own.dropped, own.n) == (2, ("0", "9"), 50)
    assert (found.metrics["AP"].seeds, found.metrics["AP"].n) == (3, 50)
    trials["other"] = {"7": other[0]}
    own = resample(trials, "base", np.random.default_rng(1), draws=40)["other"].differences["AP"]
    assert (own.seeds, own.dropped) == (0, ("0", "1", "2", "7"))
    assert np.isnan([own.estimate, own.low, own.high, own.better]).all()


def test_one_seed_is_told_and_widens_nothing_by_itself() -> None:
    (one, *rest), _ = world(np.random.default_rng(0), 50, ((0.0, 0.5, 1.0), ()))
    single = resample({"a": {"0": one}}, "a", np.random.default_rng(1), draws=40)["a"].metrics["AP"]
    three = resample({"a": dict(zip("012", (one, *rest), strict=True))}, "a", np.random.default_rng(1), draws=40)["a"]
    assert (single.seeds, three.metrics["AP"].seeds) == (1, 3)
    assert three.metrics["AP"].high - three.metrics["AP"].low > single.high - single.low


def test_where_images_do_not_matter_it_is_the_t_interval_across_seeds() -> None:
    """All images alike, each seed's detections as good on each: found up to a threshold of its own."""
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
    found = resample(trials, "base", np.random.default_rng(1), draws=20)
    for own, values in (
        (found["good"].metrics["AP"], [0.4, 0.5, 0.6]),
        (found["good"].differences["AP"], [0.1, 0.3, 0.2]),
    ):
        expected = mean(values)
        assert (own.low, own.high) == (pytest.approx(expected.low, abs=1e-9), pytest.approx(expected.high, abs=1e-9))
    test = stats.ttest_1samp([0.1, 0.3, 0.2], 0, alternative="greater")
    assert found["good"].differences["AP"].better == pytest.approx(1 - test.pvalue, abs=1e-8)


def test_what_cannot_be_known_is_nan() -> None:
    ((matches,),) = world(np.random.default_rng(0), 30, ((0.0,),))
    small = resample({"a": {"0": matches}}, "a", np.random.default_rng(1), draws=10)["a"].metrics["APs"]
    assert np.isnan([small.estimate, small.low, small.high]).all()  # no object of that size
    ((lone,),) = world(np.random.default_rng(4), 1, ((0.5,),))
    ap = resample({"a": {"0": lone}}, "a", np.random.default_rng(1), draws=10)["a"].metrics["AP"]
    assert (np.isfinite(ap.estimate), np.isnan(ap.low), np.isnan(ap.high), ap.n) == (True, True, True, 1)


def test_trials_that_cannot_be_compared() -> None:
    (base,), (other,) = world(np.random.default_rng(0), 30, ((0.0,), (0.3,)))
    elsewhere = replace(other, objects=other.objects + 1)
    rng = np.random.default_rng(0)
    with pytest.raises(AnalysisError, match="no variant 'sum' to compare with; choose from: single, random"):
        resample({"single": {"0": base}, "random": {"0": other}}, "sum", rng)
    with pytest.raises(AnalysisError, match="variant 'random' has no trial with matches; run it, or leave it out"):
        resample({"single": {"0": base}, "random": {}}, "single", rng)
    complaint = "'random', seed 2, was not evaluated on the images, objects and classes of 'single', seed 0"
    with pytest.raises(AnalysisError, match=complaint):
        resample({"single": {"0": base}, "random": {"1": other, "2": elsewhere}}, "single", rng)


@pytest.mark.parametrize(("shared", "across", "freedom"), [(1.0, 0.0, 0), (0.5, 0.7, 4), (0.0, 1.0, 2), (2.0, 0.1, 30)])
def test_what_can_be_told_is_told_four_times_in_five(shared: float, across: float, freedom: int) -> None:
    """In simulated studies with a true difference of just that size, the noise estimated anew in each."""
    spread = Spread(of_images=shared, shared=shared, across_seeds=across, images=100, freedom=freedom)
    true = spread.detectable(0.99)
    rng = np.random.default_rng(3)
    studies = 4000
    estimates = true + rng.normal(0, np.sqrt(shared + across), studies)
    ratios = rng.chisquare(freedom, studies) / freedom if freedom else np.ones(studies)
    found = [
        estimate > replace(spread, across_seeds=across * ratio).half_width(0.99)
        for estimate, ratio in zip(estimates, ratios, strict=True)
    ]
    assert np.mean(found) == pytest.approx(0.8, abs=0.03)
