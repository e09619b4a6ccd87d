"""How long COCO's evaluation of an epoch takes, next to pycocotools. Takes some minutes, most of them pycocotools'."""

import contextlib
import io
import time
from collections.abc import Iterator
from typing import Any

import hotcoco
import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from benchmarks.coco_set import DETECTIONS, IMAGES, OBJECTS, detections, validation_set, with_masks
from benchmarks.figure import Figure
from experiments.training.evaluation import evaluate

WHAT, PEER = f"evaluation of {IMAGES:,} images, {OBJECTS:,} objects, {DETECTIONS} detections an image", "pycocotools"


def figures(images: int = IMAGES, objects: int = OBJECTS) -> Iterator[Figure]:
    """Yields seconds from detections in memory to AP, the ground truth read before.

    Raises AssertionError where the numbers differ.
    """
    rng = np.random.default_rng(0)
    truth = validation_set(rng, images, objects)
    found = detections(rng, truth)
    yield _figure("boxes", truth, found, "bbox")
    yield _figure("masks", *with_masks(truth, found), "segm")


def _figure(name: str, truth: dict[str, Any], found: list[dict[str, Any]], iou_type: str) -> Figure:
    known = hotcoco.COCO(truth)
    start = time.perf_counter()
    ours = evaluate(known, found, iou_type)
    middle = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        theirs = COCO()
        theirs.dataset = truth
        theirs.createIndex()
        begun = time.perf_counter()
        peer = COCOeval(theirs, theirs.loadRes(found), iou_type)
        peer.evaluate()
        peer.accumulate()
        peer.summarize()
        seconds = time.perf_counter() - begun
    np.testing.assert_allclose(ours.stats, peer.stats, rtol=0, atol=1e-12)
    return Figure(name, middle - start, seconds)
