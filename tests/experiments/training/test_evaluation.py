"""COCO's metrics, by the project's own path, against pycocotools and the published numbers of COCO's fixture."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import hotcoco
import numpy as np
import pytest
from pycocotools import mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from experiments import names
from experiments.paths import TrialPaths
from experiments.training import decisions
from experiments.training.evaluation import ExactCocoMetric, average_precisions, by_class, evaluate
from experiments.trial import detections, matches
from tests.support import coco_sets, harness
from tests.support.coco_sets import CocoSet

FIXTURE = harness.SHARED_DATA / "coco_eval_fixture"
MINI = harness.SHARED_DATA / "coco_mini" / "annotations" / "instances_val.json"
PUBLISHED = {
    "bbox": [0.5046, 0.6970, 0.5730, 0.5856, 0.5194, 0.5014],
    "segm": [0.3195, 0.5623, 0.2989, 0.3874, 0.3102, 0.3269],
}
needs_fixture = pytest.mark.skipif(not FIXTURE.exists(), reason=f"COCO's evaluation fixture is not in {FIXTURE}")


def published(iou_type: str) -> list[dict[str, Any]]:
    return json.loads((FIXTURE / f"instances_val2014_fake{iou_type}100_results.json").read_text())


def assert_equal(ours: hotcoco.COCOeval, expected: COCOeval) -> None:
    """The six numbers, and precision and score at each recall, for each class."""
    found = average_precisions(ours)
    assert list(found) == ["AP", "AP50", "AP75", "APs", "APm", "APl"]
    np.testing.assert_allclose(list(found.values()), expected.stats[:6], rtol=0, atol=1e-12)
    curves = ours.eval
    assert curves is not None
    for what in ("precision", "scores", "recall"):
        np.testing.assert_allclose(curves[what], expected.eval[what], rtol=0, atol=1e-12)


def assert_as_pycocotools_has_it(whole: CocoSet, iou_type: str = "bbox") -> hotcoco.COCOeval:
    ours = evaluate(hotcoco.COCO(whole.truth()), [dict(one) for one in whole.detections], iou_type)
    assert_equal(ours, coco_sets.evaluated(whole, iou_type))
    return ours


@pytest.mark.parametrize("crowded", [False, True])
@pytest.mark.parametrize("tied", [False, True])
def test_awkward_boxes(tied: bool, crowded: bool) -> None:
    """Crowds, ties, absent classes, areas on borders, images without objects or detections, more than 100 of them."""
    most = 0
    for seed in range(10 if crowded else 60):
        rng = np.random.default_rng([seed, tied, crowded])
        images, classes = int(rng.integers(1, 13)), int(rng.integers(1, 5))
        whole = coco_sets.awkward(rng, images, classes, tied, crowded)
        assert_as_pycocotools_has_it(whole)
        most = max(most, *np.unique([one["image_id"] for one in whole.detections], return_counts=True)[1], 0)
    assert (most > 100) == crowded


@pytest.mark.parametrize("seed", range(20))
def test_awkward_masks(seed: int) -> None:
    rng = np.random.default_rng(seed)
    whole = coco_sets.awkward(rng, images=6, classes=2, tied=bool(seed % 2))
    ours = assert_as_pycocotools_has_it(coco_sets.with_masks(whole, rng), "segm")
    assert 0 < average_precisions(ours)["AP"] < 1


def test_nothing_found_and_nothing_there() -> None:
    whole = coco_sets.awkward(np.random.default_rng(0), images=6, classes=2)
    for none in ({"detections": []}, {"annotations": []}, {"annotations": [], "detections": []}):
        assert_as_pycocotools_has_it(replace(whole, **none))


def test_order_of_images_and_categories_does_not_matter() -> None:
    whole = coco_sets.awkward(np.random.default_rng(4), images=8, classes=3)
    truth = whole.truth()
    truth["images"] = truth["images"][::-1]
    truth["categories"] = truth["categories"][::-1]
    ours = evaluate(hotcoco.COCO(truth), [dict(one) for one in whole.detections], "bbox")
    assert_equal(ours, coco_sets.evaluated(whole))
    assert [row["class"] for row in by_class(ours)] == ["class 1", "class 2", "class 3", "class 4"]


def mini_records(iou_type: str) -> list[dict[str, Any]]:
    """Detections near the real objects, some doubled, some of another class; masks shifted."""
    rng = np.random.default_rng(0)
    truth = COCO(MINI)
    records = []
    classes = truth.getCatIds()
    for one in truth.anns.values():
        for _ in range(rng.integers(0, 3)):
            wrong = rng.random() < 0.2
            record = {
                "image_id": one["image_id"],
                "category_id": int(rng.choice(classes)) if wrong else one["category_id"],
                "score": float(rng.integers(1, 20)) / 20,
            }
            if iou_type == "bbox":
                *_, width, height = one["bbox"]
                moved = rng.normal(0, 0.1, 4) * (width, height, width, height)
                record["bbox"] = (np.maximum(np.array(one["bbox"]) + moved, 0.5)).tolist()
            else:
                shifted = np.roll(truth.annToMask(one), rng.integers(0, 6, 2), axis=(0, 1))
                drawn = mask.encode(np.asfortranarray(shifted))
                record["segmentation"] = {**drawn, "counts": drawn["counts"].decode()}
            records.append(record)
    return records


@pytest.mark.filterwarnings("ignore:__array__ implementation")  # pycocotools' decode, with numpy 2
@pytest.mark.skipif(not MINI.exists(), reason=f"the real COCO annotations are not in {MINI}")
@pytest.mark.parametrize("iou_type", names.IOU_TYPES)
def test_real_annotations(iou_type: str) -> None:
    """Polygons and crowds of 253 images of val2017."""
    records = mini_records(iou_type)
    expected = coco_sets.by_pycocotools(COCO(MINI), records, iou_type)
    ours = evaluate(hotcoco.COCO(str(MINI)), records, iou_type)
    assert_equal(ours, expected)
    assert 0.1 < average_precisions(ours)["AP"] < 0.9


def predictions(truth: COCO, iou_type: str) -> list[dict[str, Any]]:
    """The fixture's detections as MMDetection makes them: boxes by corners, labels by position, masks as RLE."""
    categories = truth.getCatIds()
    grouped: dict[int, list[dict[str, Any]]] = {image: [] for image in truth.getImgIds()}
    for item in published(iou_type):
        grouped[item["image_id"]].append(item)
    found = []
    for image, own in grouped.items():
        boxes = np.array([item.get("bbox", [0, 0, 1, 1]) for item in own], dtype=np.float64).reshape(-1, 4)
        prediction = {
            "img_id": image,
            "bboxes": np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1),
            "scores": np.array([item["score"] for item in own]),
            "labels": np.array([categories.index(item["category_id"]) for item in own], dtype=int),
        }
        if iou_type == "segm":
            prediction["masks"] = [as_bytes(item["segmentation"]) for item in own]
        found.append(prediction)
    return found


def as_bytes(drawn: dict[str, Any]) -> dict[str, Any]:
    return {**drawn, "counts": drawn["counts"].encode()}  # as pycocotools' encode() gives it, and so MMDetection


def fixture_metric(iou_types: list[str], folder: Path) -> ExactCocoMetric:
    path = FIXTURE / "instances_val2014_100.json"
    metric = ExactCocoMetric(ann_file=str(path), metric=iou_types, folder=str(folder))
    metric.dataset_meta = {"classes": tuple(category["name"] for category in COCO(path).cats.values())}
    return metric


@needs_fixture
@pytest.mark.parametrize("iou_type", PUBLISHED)
def test_published_numbers_from_predictions_as_mmdetection_makes_them(iou_type: str, tmp_path: Path) -> None:
    """The whole way, and what is kept of it: detections that give the numbers again, and the classes' own."""
    path = FIXTURE / "instances_val2014_100.json"
    truth = COCO(path)
    metric = fixture_metric([iou_type], tmp_path)
    found = metric.compute_metrics([({}, prediction) for prediction in predictions(truth, iou_type)])
    assert list(found) == [f"{iou_type}/{metric}" for metric in names.COCO_METRICS]
    assert [round(value, 4) for value in found.values()] == PUBLISHED[iou_type]

    paths = TrialPaths(tmp_path)
    assert not paths.detections.exists()  # before the epoch is recorded
    for file in paths.evaluated:
        paths.fresh(file).replace(file)
    kept = detections.load(paths.detections)
    expected = coco_sets.by_pycocotools(truth, kept[iou_type], iou_type)
    assert_equal(evaluate(hotcoco.COCO(str(path)), kept[iou_type], iou_type), expected)
    rows = json.loads(paths.by_class.read_text())[iou_type]
    for short, whole in zip(names.COCO_METRICS, found.values(), strict=True):
        known = [row[short] for row in rows if row[short] is not None]
        assert np.mean(known) == pytest.approx(whole, abs=1e-12)
    assert [row["class"] for row in rows] == [truth.cats[number]["name"] for number in truth.getCatIds()]

    with pytest.raises(ValueError, match=rf"have {iou_type}/AP 0\.\d+ on .*, but the journal has 0\.5; restore"):
        decisions.keep(paths, str(path), {f"{iou_type}/AP": 0.5})
    assert not paths.matches.exists()
    errors = decisions.keep(paths, str(path), found)  # by another evaluator than `found`: its AP is the same
    assert list(errors) == [names.error_metric(iou_type, kind) for kind in (*names.ERROR_KINDS, *names.ERROR_SIDES)]
    assert 0 < errors[names.error_metric(iou_type, "Miss")] < 1
    assert np.array_equal(matches.load(paths.matches)[iou_type].matched, matches.decided(expected).matched)


@needs_fixture
def test_the_same_records_as_mmdetection_writes(tmp_path: Path) -> None:
    """Boxes in single precision as a detector gives them, and masks with scores of their own."""
    metric = fixture_metric(["bbox", "segm"], tmp_path)
    results = predictions(COCO(FIXTURE / "instances_val2014_100.json"), "segm")
    rng = np.random.default_rng(0)
    for one in results:
        corner = rng.uniform(0, 300, (len(one["labels"]), 2))
        one["bboxes"] = np.concatenate([corner, corner + rng.uniform(1, 99, corner.shape)], axis=1).astype(np.float32)
        one["mask_scores"] = rng.random(len(one["labels"])).astype(np.float32)
    metric.compute_metrics([({}, one) for one in results])
    metric.cat_ids = metric._coco_api.get_cat_ids(cat_names=metric.dataset_meta["classes"])
    written = metric.results2json(results, str(tmp_path / "theirs"))
    kept = detections.load(tmp_path / "work" / "detections.npz")
    for iou_type in ("bbox", "segm"):
        theirs = json.loads(Path(written[iou_type]).read_text())
        for one in theirs if iou_type == "segm" else ():
            del one["bbox"]  # pycocotools would take its area for the mask's
        assert kept[iou_type] == theirs


def one_object(side: int) -> hotcoco.COCO:
    box = [10, 10, side, side]
    annotation = {"id": 1, "image_id": 1, "category_id": 1, "bbox": box, "area": side * side, "iscrowd": 0}
    images = [{"id": 1, "width": 200, "height": 200, "file_name": "1.png"}]
    return hotcoco.COCO({"images": images, "categories": [{"id": 1, "name": "square"}], "annotations": [annotation]})


def test_perfect_detection_is_one_and_absent_sizes_are_minus_one(capfd: pytest.CaptureFixture[str]) -> None:
    records = [{"image_id": 1, "category_id": 1, "bbox": [10, 10, 20, 20], "score": 0.9}]
    found = average_precisions(evaluate(one_object(side=20), records, "bbox"))
    ones = dict.fromkeys(("AP", "AP50", "AP75", "APs"), pytest.approx(1))
    assert found == {**ones, "APm": -1, "APl": -1}
    assert capfd.readouterr() == ("", "")


def test_a_score_that_is_no_number_is_refused() -> None:
    records = [{"image_id": 1, "category_id": 1, "bbox": [10, 10, 20, 20], "score": float("nan")}]
    with pytest.raises(ValueError, match="NaN score"):
        evaluate(one_object(side=20), records, "bbox")
