"""COCO's six average precisions in full precision, after every epoch, by hotcoco."""

import contextlib
import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from hotcoco import COCO, COCOeval

import groie  # noqa: F401 (it stands in for the operators that mmcv lacks)

# isort: split
from mmdet.evaluation.metrics import CocoMetric
from mmdet.registry import METRICS

from experiments import files, names
from experiments.paths import TrialPaths
from experiments.trial import detections
from experiments.trial.detections import Records


def evaluate(truth: COCO, found: Records, iou_type: str) -> COCOeval:
    """Returns the evaluation of detections on the images of `truth`, equal to pycocotools' to the last bit.

    Args:
        truth: COCO annotations.
        found: records in COCO's result format; for masks without boxes, because boxes would set an object's area.
        iou_type: "bbox" or "segm".
    """
    evaluation = COCOeval(truth, truth.load_res(found), iou_type)
    with contextlib.redirect_stdout(io.StringIO()):  # which would print a rounded table
        evaluation.run()
    return evaluation


def average_precisions(evaluation: COCOeval) -> dict[str, float]:
    """Returns the six COCO numbers of the paper's tables, as fractions; -1 if there is no object of that size."""
    return {metric: float(value) for metric, value in zip(names.COCO_METRICS, evaluation.stats[:6], strict=True)}


def by_class(evaluation: COCOeval) -> list[dict[str, Any]]:
    """Returns the same six for each class, one dict per class; None if there is no object of that size."""
    settings, curves = evaluation.params, evaluation.eval
    assert curves is not None
    most = len(settings.max_dets) - 1
    areas = {area: number for number, area in enumerate(settings.area_rng_lbl)}
    chosen = {"AP": (slice(None), "all"), "AP50": (0, "all"), "AP75": (5, "all")} | {
        f"AP{area[0]}": (slice(None), area) for area in ("small", "medium", "large")
    }
    classes = evaluation.coco_gt.cats
    rows = []
    for number, category in enumerate(settings.cat_ids):
        row: dict[str, Any] = {"class": classes[category]["name"]}
        for metric, (thresholds, area) in chosen.items():
            # IoU thresholds .50 to .95 x recall x class x area x number of detections; -1 if there is no object
            precision = curves["precision"][thresholds, ..., number, areas[area], most]
            row[metric] = float(precision.mean()) if (precision > -1).all() else None
        rows.append(row)
    return rows


@METRICS.register_module()
class ExactCocoMetric(CocoMetric):
    """MMDetection's COCO metric without its rounding to three decimals, under the project's metric names.

    Args:
        ann_file: of the validation set, in the normal form (`experiments.data.normal_form`).
        folder: of the trial; gets the detections and the numbers by class, in `TrialPaths.fresh` until recorded.
    """

    default_prefix = "coco"

    def __init__(self, *args: Any, ann_file: str, folder: str, **kwargs: Any) -> None:
        super().__init__(*args, ann_file=ann_file, **kwargs)
        self.truth = COCO(ann_file)
        self.paths = TrialPaths(Path(folder))
        self.collect_dir = str(self.paths.collected)  # by default MMEngine writes to the folder of the command

    def compute_metrics(self, results: list[tuple[dict, dict]]) -> dict[str, float]:
        """Returns `bbox/AP` ... `segm/APl` over all images of the validation set."""
        found = self._records(prediction for _, prediction in results)
        metrics: dict[str, float] = {}
        classes: dict[str, list[dict[str, Any]]] = {}
        for iou_type in self.metrics:
            evaluation = evaluate(self.truth, found[iou_type], iou_type)
            values = average_precisions(evaluation)
            metrics |= {names.coco_metric(iou_type, metric): value for metric, value in values.items()}
            classes[iou_type] = by_class(evaluation)
        self.paths.work.mkdir(exist_ok=True)
        detections.save(self.paths.fresh(self.paths.detections), found)
        files.write(self.paths.fresh(self.paths.by_class), json.dumps(classes, indent=1))
        return metrics

    def _records(self, predictions: Iterable[dict]) -> dict[str, Records]:
        # By name: ids and order of the categories may differ from the training data, which defines the labels.
        ids = {category["name"]: number for number, category in self.truth.cats.items()}
        classes = np.array([ids[name] for name in self.dataset_meta["classes"]])
        found: dict[str, Records] = {iou_type: [] for iou_type in self.metrics}
        for prediction in predictions:
            image, categories = prediction["img_id"], classes[prediction["labels"]].tolist()
            corners = np.asarray(prediction["bboxes"], np.float64).reshape(-1, 4)
            boxes = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1).tolist()
            shapes: dict[str, tuple[str, list, list[float]]] = {"bbox": ("bbox", boxes, prediction["scores"].tolist())}
            if "masks" in prediction:
                masks = [{**mask, "counts": _text(mask["counts"])} for mask in prediction["masks"]]
                # some detectors give the mask another score
                shapes["segm"] = ("segmentation", masks, prediction.get("mask_scores", prediction["scores"]).tolist())
            for iou_type, records in found.items():
                key, of_image, of_score = shapes[iou_type]
                records += [
                    {"image_id": image, "category_id": category, "score": score, key: shape}
                    for category, score, shape in zip(categories, of_score, of_image, strict=True)
                ]
        return found


def _text(counts: bytes | str) -> str:
    return counts.decode() if isinstance(counts, bytes) else counts
