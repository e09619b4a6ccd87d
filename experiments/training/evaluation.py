"""COCO's six average precisions in full precision, by pycocotools."""

import contextlib
import io
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmdet.evaluation.metrics import CocoMetric
from mmdet.registry import METRICS
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from experiments import detections, files, matches, names
from experiments.paths import TrialPaths
from experiments.training import error_kinds


def coco_average_precision(truth: COCO, found: list[dict[str, Any]] | str, iou_type: str) -> dict[str, float]:
    """Returns AP, AP50, AP75, APs, APm and APl of detections on the images of `truth`.

    Args:
        truth: COCO annotations.
        found: records in COCO's result format, or the path of a JSON file of them.
        iou_type: "bbox" or "segm".

    Returns:
        Fractions in 0..1, unrounded; -1 where `truth` has no object of that size.
    """
    return average_precisions(evaluate(truth, found, iou_type))


def evaluate(truth: COCO, found: list[dict[str, Any]] | str, iou_type: str) -> COCOeval:
    """Returns pycocotools' evaluation of detections, accumulated."""
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress and a rounded table
        results = truth.loadRes(found) if found else _nothing(truth)  # loadRes refuses an empty list
        evaluation = COCOeval(truth, results, iou_type)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


def average_precisions(evaluation: COCOeval) -> dict[str, float]:
    """Returns the six of COCO's numbers that the paper's tables have."""
    return {metric: float(value) for metric, value in zip(names.COCO_METRICS, evaluation.stats[:6], strict=True)}


def by_class(evaluation: COCOeval) -> list[dict[str, Any]]:
    """Returns the same six for each class, a dict a class, None where there is no such object."""
    settings = evaluation.params
    most = len(settings.maxDets) - 1
    areas = {area: number for number, area in enumerate(settings.areaRngLbl)}
    chosen = {"AP": (slice(None), "all"), "AP50": (0, "all"), "AP75": (5, "all")} | {
        f"AP{area[0]}": (slice(None), area) for area in ("small", "medium", "large")
    }
    rows = []
    for number, category in enumerate(settings.catIds):
        row: dict[str, Any] = {"class": evaluation.cocoGt.cats[category]["name"]}
        for metric, (thresholds, area) in chosen.items():
            # IoU thresholds .50 to .95 x recall x class x area x number of detections; -1 where there is no object
            precision = evaluation.eval["precision"][thresholds, ..., number, areas[area], most]
            row[metric] = float(precision.mean()) if (precision > -1).all() else None
        rows.append(row)
    return rows


def _nothing(truth: COCO) -> COCO:
    empty = COCO()
    empty.dataset = {**truth.dataset, "annotations": []}
    empty.createIndex()
    return empty


@METRICS.register_module()
class ExactCocoMetric(CocoMetric):
    """MMDetection's COCO metric without its rounding to three decimals, under the project's metric names.

    Args:
        folder: of the trial; keeps the last evaluation's detections, the decisions on them, and the figures by class.
    """

    default_prefix = "coco"

    def __init__(self, *args: Any, folder: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.paths = TrialPaths(Path(folder))

    def compute_metrics(self, results: list[tuple[dict, dict]]) -> dict[str, float]:
        """Returns `bbox/AP` ... `segm/APl`, and `bbox_errors/Cls` ..., over all images of the validation set."""
        # By name: this file may number and order its categories otherwise than the training data, the labels' source.
        ids = {category["name"]: category["id"] for category in self._coco_api.dataset["categories"]}
        self.cat_ids = [ids[name] for name in self.dataset_meta["classes"]]
        metrics: dict[str, float] = {}
        classes: dict[str, list[dict[str, Any]]] = {}
        decisions: dict[str, matches.Matches] = {}
        found = self._detections([prediction for _, prediction in results])
        for iou_type in self.metrics:
            evaluation = evaluate(self._coco_api, found[iou_type], iou_type)
            values = average_precisions(evaluation)
            metrics |= {names.coco_metric(iou_type, metric): value for metric, value in values.items()}
            errors = error_kinds.costs(evaluation)
            metrics |= {names.error_metric(iou_type, kind): value for kind, value in errors.items()}
            classes[iou_type] = by_class(evaluation)
            decisions[iou_type] = matches.decided(evaluation)
        detections.save(self.paths.detections, found)
        matches.save(self.paths.matches, decisions)
        files.write(self.paths.by_class, json.dumps(classes, indent=1))
        return metrics

    def _detections(self, predictions: Sequence[dict]) -> dict[str, list[dict[str, Any]]]:
        with tempfile.TemporaryDirectory() as folder:
            written = self.results2json(predictions, str(Path(folder) / "detections"))
            found = {iou_type: json.loads(Path(written[iou_type]).read_text()) for iou_type in self.metrics}
        for record in found.get("segm", ()):
            record.pop("bbox")  # pycocotools would else take the box's area for the mask's
        return found
