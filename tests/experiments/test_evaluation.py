"""COCO's metrics, by the project's own path, against the published numbers of COCO's fixture."""

import json
from pathlib import Path
from typing import Any

import harness
import numpy as np
import pytest
from pycocotools.coco import COCO

from experiments import names
from experiments.detections import load
from experiments.training.evaluation import ExactCocoMetric, coco_average_precision

FIXTURE = harness.SHARED_DATA / "coco_eval_fixture"
PUBLISHED = {
    "bbox": [0.5046, 0.6970, 0.5730, 0.5856, 0.5194, 0.5014],
    "segm": [0.3195, 0.5623, 0.2989, 0.3874, 0.3102, 0.3269],
}
needs_fixture = pytest.mark.skipif(not FIXTURE.exists(), reason=f"COCO's evaluation fixture is not in {FIXTURE}")


def detections(iou_type: str) -> list[dict[str, Any]]:
    return json.loads((FIXTURE / f"instances_val2014_fake{iou_type}100_results.json").read_text())


@needs_fixture
@pytest.mark.parametrize("iou_type", PUBLISHED)
def test_published_numbers(iou_type: str) -> None:
    truth = COCO(FIXTURE / "instances_val2014_100.json")
    found = coco_average_precision(truth, detections(iou_type), iou_type)
    assert list(found) == ["AP", "AP50", "AP75", "APs", "APm", "APl"]
    assert [round(value, 4) for value in found.values()] == PUBLISHED[iou_type]
    assert any(round(value, 4) != value for value in found.values())  # full precision


@needs_fixture
@pytest.mark.parametrize("iou_type", PUBLISHED)
def test_published_numbers_from_predictions_as_mmdetection_makes_them(iou_type: str, tmp_path: Path) -> None:
    """The whole way: boxes by corners, labels by position, masks as RLE, one sample an image."""
    path = FIXTURE / "instances_val2014_100.json"
    metric = ExactCocoMetric(ann_file=str(path), metric=[iou_type], folder=str(tmp_path))
    truth = COCO(path)
    categories = truth.getCatIds()
    metric.dataset_meta = {"classes": tuple(category["name"] for category in truth.loadCats(categories))}
    grouped = detections_by_image(iou_type)
    for image in truth.loadImgs(truth.getImgIds()):
        own = grouped.get(image["id"], [])
        boxes = np.array([item.get("bbox", [0, 0, 1, 1]) for item in own], dtype=np.float64).reshape(-1, 4)
        prediction = {
            "img_id": image["id"],
            "bboxes": np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1),
            "scores": np.array([item["score"] for item in own]),
            "labels": np.array([categories.index(item["category_id"]) for item in own], dtype=int),
        }
        if iou_type == "segm":
            prediction["masks"] = [item["segmentation"] for item in own]
        metric.results.append(({}, prediction))
    measured = metric.compute_metrics(metric.results)
    found = {name: value for name, value in measured.items() if name.startswith(f"{iou_type}/")}
    assert set(measured) - set(found) == {
        names.error_metric(iou_type, kind) for kind in (*names.ERROR_KINDS, *names.ERROR_SIDES)
    }
    assert [round(value, 4) for value in found.values()] == PUBLISHED[iou_type]
    assert next(iter(found)) == f"{iou_type}/AP"

    # What is kept of it: the detections give the numbers again, and the classes' APs have them as their mean.
    kept = load(tmp_path / "detections.npz")
    assert [round(value, 4) for value in coco_average_precision(truth, kept[iou_type], iou_type).values()] == list(
        PUBLISHED[iou_type]
    )
    by_class = json.loads((tmp_path / "by_class.json").read_text())[iou_type]
    for short, whole in zip(("AP", "AP50", "AP75", "APs", "APm", "APl"), found.values(), strict=True):
        known = [row[short] for row in by_class if row[short] is not None]
        assert np.mean(known) == pytest.approx(whole, abs=1e-12)
    assert [row["class"] for row in by_class] == [truth.cats[number]["name"] for number in categories]


def detections_by_image(iou_type: str) -> dict[int, list[dict[str, Any]]]:
    grouped: dict[int, list[dict[str, Any]]] = {}
    for item in detections(iou_type):
        grouped.setdefault(item["image_id"], []).append(item)
    return grouped


def one_object(tmp_path: Path, side: int) -> COCO:
    """A data set of one square object."""
    path = tmp_path / "truth.json"
    box = [10, 10, side, side]
    annotation = {"id": 1, "image_id": 1, "category_id": 1, "bbox": box, "area": side * side, "iscrowd": 0}
    content = {
        "images": [{"id": 1, "width": 200, "height": 200, "file_name": "1.png"}],
        "categories": [{"id": 1, "name": "square"}],
        "annotations": [annotation],
    }
    path.write_text(json.dumps(content))
    return COCO(path)


def test_perfect_detection_is_one_and_absent_sizes_are_minus_one(tmp_path: Path) -> None:
    truth = one_object(tmp_path, side=20)
    found = coco_average_precision(
        truth, [{"image_id": 1, "category_id": 1, "bbox": [10, 10, 20, 20], "score": 0.9}], "bbox"
    )
    assert found == {
        "AP": pytest.approx(1),
        "AP50": pytest.approx(1),
        "AP75": pytest.approx(1),
        "APs": pytest.approx(1),
        "APm": -1,
        "APl": -1,
    }


def test_no_detections_are_zero_where_there_was_something(tmp_path: Path) -> None:
    assert list(coco_average_precision(one_object(tmp_path, side=20), [], "bbox").values()) == [0, 0, 0, 0, -1, -1]
