"""AP on drawn images against pycocotools on the drawn set written out in full."""

import json
from dataclasses import replace

import numpy as np
import pytest
from pycocotools.coco import COCO

from analysis.statistics.average_precision import DrawnPrecision
from experiments.training.decisions import evaluate
from experiments.trial.matches import Matches, decided
from tests.support import coco_sets, harness
from tests.support.coco_sets import CocoSet

FIXTURE = harness.SHARED_DATA / "coco_eval_fixture"


def draws(rng: np.random.Generator, images: int, count: int) -> np.ndarray:
    """Returns the set as it is, then as many images drawn with replacement, `count` times."""
    return np.concatenate([np.ones((1, images), int), rng.multinomial(images, np.full(images, 1 / images), count)])


def assert_as_written_out(whole: CocoSet, counts: np.ndarray) -> None:
    found = DrawnPrecision(decided(coco_sets.evaluated(whole)), most=int(counts.max())).on(counts)
    for own, count in zip(found, counts, strict=True):
        expected = coco_sets.six(coco_sets.evaluated(coco_sets.drawn(whole, count)))
        np.testing.assert_allclose(own, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("crowded", [False, True], ids=["few", "over 100 detections"])
@pytest.mark.parametrize("tied", [False, True], ids=["scores differ", "ties"])
@pytest.mark.parametrize("seed", range(10))
def test_each_draw_is_pycocotools_on_the_drawn_set(seed: int, tied: bool, crowded: bool) -> None:
    rng = np.random.default_rng([seed, tied, crowded])
    images = int(rng.integers(1, 14))
    whole = coco_sets.awkward(rng, images, classes=int(rng.integers(1, 4)), tied=tied, crowded=crowded)
    assert_as_written_out(whole, draws(rng, images, 6))


def test_the_awkward_sets_are_awkward() -> None:
    """Else the test above would pass for less."""
    counts = np.zeros(6, int)
    for seed in range(10):
        whole = coco_sets.awkward(np.random.default_rng([seed, True, True]), images=10, classes=3, crowded=True)
        matches = decided(coco_sets.evaluated(whole))
        ids = {one["id"] for one in whole.images}
        counts += [
            any(one["iscrowd"] for one in whole.annotations),
            any(one["area"] in (32**2, 96**2) for one in whole.annotations),
            bool(ids - {one["image_id"] for one in whole.annotations}),
            bool(ids - {one["image_id"] for one in whole.detections}),
            np.bincount(matches.image * 10 + matches.category).max() == 100,
            bool((matches.objects[:, 0] == 0).any()),  # nothing but crowds
        ]
    assert (counts >= 3).all()


def test_equal_scores_within_an_image_come_copy_by_copy() -> None:
    """Two copies of a hit and a miss of one score: hit, miss, hit, miss, and not hit, hit, miss, miss."""
    box, far = [0.0, 0.0, 50.0, 50.0], [100.0, 100.0, 50.0, 50.0]
    found = {"image_id": 1, "category_id": 1, "score": 0.5}
    whole = CocoSet(
        images=[{"id": 1, "width": 200, "height": 200}],
        annotations=[{"id": 1, "image_id": 1, "category_id": 1, "bbox": box, "area": 2500.0, "iscrowd": 0}],
        detections=[{**found, "bbox": box}, {**found, "bbox": far}],
        classes=1,
    )
    counts = np.array([[1], [2], [5]])
    assert_as_written_out(whole, counts)
    twice = DrawnPrecision(decided(coco_sets.evaluated(whole)), most=5).on(counts)[1, 0]
    assert twice == pytest.approx((51 * 1 + 50 * 2 / 3) / 101, abs=1e-12)  # recall .5 at 1 of 1, recall 1 at 2 of 3


def test_empty_sets() -> None:
    whole = coco_sets.awkward(np.random.default_rng(0), images=6, classes=2)
    counts = draws(np.random.default_rng(1), 6, 3)
    assert_as_written_out(replace(whole, detections=[]), counts)
    assert_as_written_out(replace(whole, annotations=[]), counts)
    assert_as_written_out(replace(whole, annotations=[], detections=[]), counts)
    assert_as_written_out(whole, np.zeros((1, 6), int))  # no image at all


@pytest.mark.skipif(not FIXTURE.exists(), reason=f"COCO's evaluation fixture is not in {FIXTURE}")
@pytest.mark.parametrize("iou_type", ["bbox", "segm"])
def test_cocos_own_fixture(iou_type: str) -> None:
    """Real annotations, 80 classes, boxes and masks; then draws of boxes, written out."""
    truth = COCO(FIXTURE / "instances_val2014_100.json")
    records = json.loads((FIXTURE / f"instances_val2014_fake{iou_type}100_results.json").read_text())
    evaluation = evaluate(truth, records, iou_type)
    evaluation.accumulate()
    evaluation.summarize()
    counts = draws(np.random.default_rng(3), 100, 3)
    found = DrawnPrecision(decided(evaluation), most=int(counts.max())).on(counts)
    np.testing.assert_allclose(found[0], coco_sets.six(evaluation), rtol=0, atol=1e-12)
    if iou_type == "bbox":
        images, annotations = list(truth.imgs.values()), list(truth.anns.values())
        whole = CocoSet(images, annotations, records, classes=max(truth.cats))
        for own, count in zip(found, counts, strict=True):
            expected = coco_sets.six(coco_sets.evaluated(coco_sets.drawn(whole, count)))
            np.testing.assert_allclose(own, expected, rtol=0, atol=1e-12)


def test_counts_of_other_images_are_refused() -> None:
    matches: Matches = decided(coco_sets.evaluated(coco_sets.awkward(np.random.default_rng(0), images=5, classes=1)))
    precision = DrawnPrecision(matches, most=2)
    for counts in (np.ones((1, 4), int), np.full((1, 5), 3), np.full((1, 5), -1)):
        with pytest.raises(ValueError, match=r"counts must be \(draws, 5\), each in 0\.\.2"):
            precision.on(counts)
