"""How long AP on drawn images takes, next to pycocotools on the same draw written out in full. Takes some minutes."""

import contextlib
import io
import time
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from analysis.average_precision import DrawnPrecision
from analysis.bootstrap import resample
from benchmarks.figure import Figure
from experiments.matches import decided

WHAT, PEER = "a draw of 5,000 images, two variants, six APs", "pycocotools"
IMAGES, OBJECTS, CLASSES, DETECTIONS = 5000, 36000, 80, 100  # as COCO's val2017 has; detections in an image
SIDE = 640  # of every image, pixels


def figures(draws: int = 1000, images: int = IMAGES, objects: int = OBJECTS) -> Iterator[Figure]:
    """Yields seconds a draw: ours of `draws` paired draws by two threads, all included; pycocotools' of one.

    pycocotools evaluates the drawn set as a set of its own, or only accumulates once more what it decided on each image
    before, repeated as drawn. Raises AssertionError where the numbers differ.
    """
    rng = np.random.default_rng(0)
    truth = validation_set(rng, images, objects)
    found = [detections(rng, truth) for _ in range(2)]
    whole = [_evaluated(truth, records) for records in found]
    matches = [decided(evaluation) for evaluation, _ in whole]
    start = time.perf_counter()
    resample({"baseline": {"0": matches[0]}, "variant": {"0": matches[1]}}, "baseline", rng, draws)
    ours = (time.perf_counter() - start) / draws

    count = np.bincount(rng.integers(0, images, images), minlength=images)
    expected = [DrawnPrecision(one, int(count.max())).on(count[None])[0] for one in matches]
    evaluated, accumulated = 0.0, 0.0
    for records, six, (evaluation, _) in zip(found, expected, whole, strict=True):
        peer, seconds = _evaluated(*_written_out(truth, records, count))
        evaluated += seconds
        np.testing.assert_allclose(peer.stats[:6], six, rtol=0, atol=1e-12)
        again, seconds = _accumulated_again(evaluation, count)
        accumulated += seconds
        np.testing.assert_allclose(again.stats[:6], six, rtol=0, atol=1e-12)
    yield Figure("evaluate() and accumulate() of the drawn set", ours, evaluated)
    yield Figure("accumulate() alone, of what was decided before", ours, accumulated)


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


def validation_set(rng: np.random.Generator, images: int, objects: int) -> dict[str, Any]:
    """Returns ground truth in COCO's format with as uneven classes as COCO's: a third of all is of one."""
    share = 1 / np.arange(3, CLASSES + 3) ** 1.2
    share[0] = share[1:].sum() / 2
    boxes = _boxes(rng, objects)
    return {
        "info": {},
        "images": [{"id": number, "width": SIDE, "height": SIDE} for number in range(1, images + 1)],
        "categories": [{"id": number, "name": str(number)} for number in range(1, CLASSES + 1)],
        "annotations": [
            {
                "id": number,
                "image_id": image,
                "category_id": kind,
                "bbox": box,
                "area": box[2] * box[3],
                "iscrowd": crowd,
            }
            for number, (image, kind, box, crowd) in enumerate(
                zip(
                    rng.integers(1, images + 1, objects).tolist(),
                    (1 + rng.choice(CLASSES, objects, p=share / share.sum())).tolist(),
                    boxes.tolist(),
                    (rng.random(objects) < 0.01).astype(int).tolist(),
                    strict=True,
                ),
                1,
            )
        ],
    }


def detections(rng: np.random.Generator, truth: dict[str, Any]) -> list[dict[str, Any]]:
    """Returns results in COCO's format, DETECTIONS an image: most objects once or twice, displaced, and much else."""
    of = [(one["image_id"], one["category_id"], one["bbox"]) for one in truth["annotations"]]
    of = [
        of[number]
        for number in rng.permutation(np.repeat(np.arange(len(of)), rng.choice(3, len(of), p=[0.1, 0.6, 0.3])))
    ]
    moved = rng.normal(0, 0.08, (len(of), 4))
    boxes = np.array([box for _, _, box in of]).reshape(-1, 4)
    boxes += moved * boxes[:, [2, 3, 2, 3]]
    scores = np.clip(rng.beta(3, 1.5, len(of)) - np.abs(moved).sum(axis=1), 0.05, 1)
    spare = len(truth["images"]) * DETECTIONS - len(of)
    known = np.array([kind for _, kind, _ in of])
    image = np.array([image for image, _, _ in of])
    places = np.concatenate([image, rng.integers(1, len(truth["images"]) + 1, spare)])
    kinds = np.concatenate([known, rng.choice(known, spare)])
    boxes = np.concatenate([boxes, _boxes(rng, spare)])
    scores = np.concatenate([scores, rng.beta(1, 8, spare)])
    return [
        {"image_id": image, "category_id": kind, "bbox": box, "score": score}
        for image, kind, box, score in zip(
            places.tolist(), kinds.tolist(), boxes.tolist(), scores.tolist(), strict=True
        )
    ]


def _boxes(rng: np.random.Generator, count: int) -> np.ndarray:
    size = np.exp(rng.uniform(np.log(8), np.log(SIDE / 1.5), (count, 1))) * rng.uniform(0.7, 1.4, (count, 2))
    return np.concatenate([rng.random((count, 2)) * (SIDE - size).clip(1), size], axis=1)
