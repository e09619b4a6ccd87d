"""How long AP on drawn images takes, next to other ways to the same number. Takes some minutes."""

import contextlib
import io
import time
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import hotcoco
import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from analysis.statistics.average_precision import DrawnPrecision
from analysis.statistics.images import draw
from benchmarks.coco_set import IMAGES, OBJECTS, SIDE, detections, validation_set
from benchmarks.figure import Figure
from experiments.trial.matches import decided

WHAT, PEER = f"a draw of {IMAGES:,} images, two variants, six APs", "peer"
DRAWS_OF_PEER = 50


def figures(draws: int = 1000, images: int = IMAGES, objects: int = OBJECTS) -> Iterator[Figure]:
    """Yields seconds a draw: ours of `draws` paired draws by two threads, all included; the peers' of one or some.

    A peer evaluates the drawn set, written out as a set of its own; or accumulates once more what it decided on each
    image before, repeated as drawn. hotcoco's own comparison counts an image that is drawn twice once, which is another
    number (variance about 0.6 of the right one) and less work. Raises AssertionError where the others' numbers differ.
    """
    rng = np.random.default_rng(0)
    truth = validation_set(rng, images, objects)
    found = [detections(rng, truth) for _ in range(2)]
    whole = [_evaluated(truth, records) for records in found]
    matches = [decided(evaluation) for evaluation, _ in whole]
    start = time.perf_counter()
    draw({"baseline": {"0": matches[0]}, "variant": {"0": matches[1]}}, rng, draws)
    ours = (time.perf_counter() - start) / draws

    count = np.bincount(rng.integers(0, images, images), minlength=images)
    expected = [DrawnPrecision(one, int(count.max())).on(count[None])[0] for one in matches]
    evaluated, accumulated, fast = 0.0, 0.0, 0.0
    for records, six, (evaluation, _) in zip(found, expected, whole, strict=True):
        drawn = _written_out(truth, records, count)
        peer, seconds = _evaluated(*drawn)
        evaluated += seconds
        np.testing.assert_allclose(peer.stats[:6], six, rtol=0, atol=1e-12)
        again, seconds = _accumulated_again(evaluation, count)
        accumulated += seconds
        np.testing.assert_allclose(again.stats[:6], six, rtol=0, atol=1e-12)
        same, seconds = _evaluated_by_hotcoco(*drawn)
        fast += seconds
        np.testing.assert_allclose(same.stats[:6], six, rtol=0, atol=1e-12)
    yield Figure("pycocotools: evaluates the drawn set", ours, evaluated)
    yield Figure("pycocotools: accumulates what was decided before", ours, accumulated)
    yield Figure("hotcoco: evaluates the drawn set", ours, fast)
    yield Figure("hotcoco: compare(), repeats dropped", ours, _compared(truth, found))


def _evaluated(truth: dict[str, Any], records: list[dict[str, Any]]) -> tuple[COCOeval, float]:
    """Returns pycocotools' evaluation and how long it took, without reading its input."""
    with contextlib.redirect_stdout(io.StringIO()):
        known = COCO()
        known.dataset = truth
        known.createIndex()
        evaluation = COCOeval(known, known.loadRes(records), "bbox")
        start = time.perf_counter()
        evaluation.evaluate()
        evaluation.accumulate()
        seconds = time.perf_counter() - start
        evaluation.summarize()
    return evaluation, seconds


def _evaluated_by_hotcoco(truth: dict[str, Any], records: list[dict[str, Any]]) -> tuple[hotcoco.COCOeval, float]:
    """Returns hotcoco's evaluation and how long it took, without reading its input."""
    known = hotcoco.COCO(truth)
    evaluation = hotcoco.COCOeval(known, known.load_res(records), "bbox")
    with contextlib.redirect_stdout(io.StringIO()):
        start = time.perf_counter()
        evaluation.run()
        seconds = time.perf_counter() - start
    return evaluation, seconds


def _compared(truth: dict[str, Any], found: list[list[dict[str, Any]]]) -> float:
    """Returns seconds a draw of hotcoco's comparison."""
    pair = [_evaluated_by_hotcoco(truth, records)[0] for records in found]
    seconds = []
    for draws in (0, DRAWS_OF_PEER):
        start = time.perf_counter()
        hotcoco.compare(*pair, n_bootstrap=draws)
        seconds.append(time.perf_counter() - start)
    return (seconds[1] - seconds[0]) / DRAWS_OF_PEER


def _accumulated_again(evaluation: COCOeval, count: np.ndarray) -> tuple[COCOeval, float]:
    drawn = np.repeat(np.arange(len(count)), count)
    again = COCOeval(iouType="bbox")
    again.params.imgIds = list(range(len(drawn)))
    again.params.catIds = evaluation.params.catIds
    again._paramsEval = again.params
    lines = len(evaluation.evalImgs) // len(count)  # classes x area ranges
    again.evalImgs = [evaluation.evalImgs[line * len(count) + image] for line in range(lines) for image in drawn]
    with contextlib.redirect_stdout(io.StringIO()):
        start = time.perf_counter()
        again.accumulate()
        seconds = time.perf_counter() - start
        again.summarize()
    return again, seconds


def _written_out(
    truth: dict[str, Any], records: list[dict[str, Any]], count: np.ndarray
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Returns the drawn set: each image, its objects and detections as often as drawn, with ids anew."""
    objects_of, records_of = defaultdict(list), defaultdict(list)
    for one in truth["annotations"]:
        objects_of[one["image_id"]].append(one)
    for one in records:
        records_of[one["image_id"]].append(one)
    ids = np.repeat(np.arange(1, len(count) + 1), count).tolist()
    copies = list(enumerate(ids, 1))
    objects = [{**one, "image_id": new} for new, old in copies for one in objects_of[old]]
    objects = [{**one, "id": number} for number, one in enumerate(objects, 1)]
    images = [{"id": new, "width": SIDE, "height": SIDE} for new, _ in copies]
    drawn = {**truth, "images": images, "annotations": objects}
    return drawn, [{**one, "image_id": new} for new, old in copies for one in records_of[old]]
