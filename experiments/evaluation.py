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

from experiments import names


def coco_average_precision(truth: COCO, detections: list[dict[str, Any]] | str, iou_type: str) -> dict[str, float]:
    """Returns AP, AP50, AP75, APs, APm and APl of detections on the images of `truth`.

    Args:
        truth: COCO annotations.
        detections: records in COCO's result format, or the path of a JSON file of them.
        iou_type: "bbox" or "segm".

    Returns:
        Fractions in 0..1, unrounded; -1 where `truth` has no object of that size.
    """
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress and a rounded table
        found = truth.loadRes(detections) if detections else _nothing(truth)  # loadRes refuses an empty list
        evaluation = COCOeval(truth, found, iou_type)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return {metric: float(value) for metric, value in zip(names.COCO_METRICS, evaluation.stats[:6], strict=True)}


def _nothing(truth: COCO) -> COCO:
    empty = COCO()
    empty.dataset = {**truth.dataset, "annotations": []}
    empty.createIndex()
    return empty


@METRICS.register_module()
class ExactCocoMetric(CocoMetric):
    """MMDetection's COCO metric without its rounding to three decimals, under the project's metric names."""

    default_prefix = "coco"

    def compute_metrics(self, results: list[tuple[dict, dict]]) -> dict[str, float]:
        """Returns `bbox/AP` ... `segm/APl` over all images of the validation set."""
        # By name: this file may number and order its categories otherwise than the training data, the labels' source.
        ids = {category["name"]: category["id"] for category in self._coco_api.dataset["categories"]}
        self.cat_ids = [ids[name] for name in self.dataset_meta["classes"]]
        predictions = [prediction for _, prediction in results]
        metrics: dict[str, float] = {}
        for iou_type in self.metrics:
            values = coco_average_precision(self._coco_api, self._detections(predictions, iou_type), iou_type)
            metrics |= {names.coco_metric(iou_type, metric): value for metric, value in values.items()}
        return metrics

    def _detections(self, predictions: Sequence[dict], iou_type: str) -> list[dict[str, Any]]:
        with tempfile.TemporaryDirectory() as folder:
            files = self.results2json(predictions, str(Path(folder) / "detections"))
            records = json.loads(Path(files[iou_type]).read_text())
        for record in records if iou_type == "segm" else []:
            record.pop("bbox")  # pycocotools would else take the box's area for the mask's
        return records
