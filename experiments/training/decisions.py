"""What the last evaluation of a trial is kept for: COCO's decision on every detection, and its errors by kind.

By pycocotools, whose evaluation can be looked into; it takes about a minute on COCO, so it is done once a trial.
"""

import contextlib
import io
from typing import Any

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from experiments import detections, matches, names
from experiments.detections import Records
from experiments.paths import TrialPaths
from experiments.training import error_kinds


def keep(paths: TrialPaths, annotations: str) -> dict[str, float]:
    """Writes `matches.npz` of the detections that the trial keeps; returns `bbox_errors/Cls` ... for each IoU type.

    Args:
        paths: of the trial.
        annotations: path of the validation set's annotation file, in the normal form.
    """
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools tells its progress
        truth = COCO(annotations)
    metrics: dict[str, float] = {}
    decided: dict[str, matches.Matches] = {}
    for iou_type, records in detections.load(paths.detections).items():
        evaluation = evaluate(truth, records, iou_type)
        decided[iou_type] = matches.decided(evaluation)
        metrics |= {names.error_metric(iou_type, kind): cost for kind, cost in error_kinds.costs(evaluation).items()}
    matches.save(paths.matches, decided)
    return metrics


def evaluate(truth: COCO, found: Records, iou_type: str) -> COCOeval:
    """Returns pycocotools' evaluation of detections, every image decided."""
    with contextlib.redirect_stdout(io.StringIO()):
        results = truth.loadRes(found) if found else _nothing(truth)  # loadRes refuses an empty list
        evaluation = COCOeval(truth, results, iou_type)
        evaluation.evaluate()
    return evaluation


def _nothing(truth: COCO) -> COCO:
    empty = COCO()
    dataset: dict[str, Any] = {**truth.dataset, "annotations": []}
    empty.dataset = dataset
    empty.createIndex()
    return empty
