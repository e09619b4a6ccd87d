"""What each kind of error costs: against TIDE's own code (tide_reference.py), by hand, and with COCO's AP50."""

import json
from typing import Any

import numpy as np
import pytest
from pycocotools.cocoeval import COCOeval

from experiments import names
from experiments.training import error_kinds
from experiments.training.decisions import evaluate
from tests.support import tide_reference
from tests.support.coco_sets import indexed

SETS = json.loads(tide_reference.PATH.read_text())
ALL_KINDS = (*names.ERROR_KINDS, *names.ERROR_SIDES)


@pytest.mark.parametrize("iou_type", names.IOU_TYPES)
@pytest.mark.parametrize("number", range(len(SETS)))
def test_as_tide_has_it(number: int, iou_type: str) -> None:
    """With precision read at tidecv's recalls, all its figures come out, masks and crowds among them."""
    found = [dict(one) for one in SETS[number]["detections"]]
    if iou_type == "segm":
        for one in found:
            del one["bbox"]
    evaluation = evaluate(indexed(SETS[number]["truth"]), found, iou_type)
    evaluation.params.recThrs = np.array(tide_reference.RECALLS)
    theirs = SETS[number]["tide"][iou_type]
    judged = error_kinds.judged(evaluation)
    assert 100 * judged.average_precision(judged.objects > 0) == pytest.approx(theirs["AP50"], abs=1e-9)
    ours = {kind: 100 * cost for kind, cost in error_kinds.costs(evaluation).items()}
    assert ours == pytest.approx({kind: theirs[kind] for kind in ALL_KINDS}, abs=1e-9)


def test_the_sets_have_errors_of_every_kind() -> None:
    for iou_type in names.IOU_TYPES:
        assert all(sum(one["tide"][iou_type][kind] > 0.1 for one in SETS) for kind in ALL_KINDS)
    assert any(one["iscrowd"] for one in SETS[0]["truth"]["annotations"])


@pytest.mark.parametrize("seed", range(20))
def test_nothing_put_right_is_pycocotools_own_ap50(seed: int) -> None:
    """To the last bits, with many equal scores; and no kind costs less than nothing or more than there is."""
    rng = np.random.default_rng(seed)
    truth, found = tide_reference.random_set(rng)
    for one in found:
        one["score"] = float(rng.integers(1, 5)) / 5
    evaluation = evaluate(indexed(truth), found, "bbox")
    evaluation.accumulate()
    evaluation.summarize()
    judged = error_kinds.judged(evaluation)
    now = judged.average_precision(judged.objects > 0)
    assert now == pytest.approx(evaluation.stats[1], abs=1e-15)
    costs = error_kinds.costs(evaluation)
    assert all(0 <= cost <= 1 - now + 1e-12 for cost in costs.values())
    assert costs["FalseNeg"] >= costs["Miss"]


def box(x: float, category: int = 1, score: float = 0.9) -> dict[str, Any]:
    return {"image_id": 1, "category_id": category, "bbox": [x, 10, 20, 20], "score": score}


def of(objects: list[dict[str, Any]], found: list[dict[str, Any]]) -> COCOeval:
    annotations = [
        {**one, "id": i, "area": one["bbox"][2] * one["bbox"][3], "iscrowd": 0} for i, one in enumerate(objects, 1)
    ]
    categories = [{"id": i, "name": str(i)} for i in (1, 2)]
    images = [{"id": 1, "width": 400, "height": 60, "file_name": "1.png"}]
    return evaluate(indexed({"images": images, "categories": categories, "annotations": annotations}), found, "bbox")


@pytest.mark.parametrize(
    ("found", "kind", "cost"),
    [
        (box(110), "Loc", 0.5),  # IoU 1/3 with the second object, which it would find: AP50 from 51 of 101 recalls to 1
        (box(104, category=2), "Cls", 0.5),
        (box(110, category=2), "Both", 0.0),  # a false one with the lower score costs nothing by itself
        (box(11, score=0.8), "Dupe", 0.0),
        (box(250), "Bkg", 0.0),
    ],
)
def test_each_kind_by_hand(found: dict[str, Any], kind: str, cost: float) -> None:
    """Two objects of a class, the first found with the highest score, and one detection more."""
    evaluation = of([box(10), box(100)], [box(10, score=0.95), {**found, "score": 0.5}])
    judged = error_kinds.judged(evaluation)
    kinds = {names.ERROR_KINDS[one] for one in judged.kind if one != error_kinds.NONE}
    assert kinds == {kind}
    assert judged.missed.tolist() == ([0, 0] if kind in ("Loc", "Cls") else [1, 0])
    costs = error_kinds.costs(evaluation)
    fifty = 51 / 101  # precision 1 at the recalls 0, .01, ..., .5
    assert costs[kind] == pytest.approx(1 - fifty if cost else 0)
    assert costs["Miss"] == pytest.approx(0 if cost else 1 - fifty)


def test_of_two_about_one_object_the_higher_score_becomes_true() -> None:
    evaluation = of([box(10)], [box(20, score=0.6), box(1, score=0.5), box(12, category=2, score=0.7)])
    judged = error_kinds.judged(evaluation)
    assert judged.kind.tolist() == [error_kinds.LOC, error_kinds.LOC, error_kinds.CLS]
    assert judged.becomes_true.tolist() == [False, False, True]
    costs = error_kinds.costs(evaluation)
    assert costs["Cls"] == pytest.approx(1)  # found, above both badly placed ones
    assert costs["Loc"] == 0  # both go; the object stays without a detection of its class
    assert costs["Miss"] == 0


def test_nothing_detected_is_all_missed() -> None:
    costs = error_kinds.costs(of([box(10)], []))
    assert costs == {kind: float(kind in ("Miss", "FalseNeg")) for kind in ALL_KINDS}


def test_no_objects_is_minus_one() -> None:
    assert set(error_kinds.costs(of([], [box(10)])).values()) == {-1.0}
