"""Any value in any place of an annotation file: it is refused in one sentence, or evaluated as pycocotools does."""

import copy
import json
from pathlib import Path
from typing import Any

import hotcoco
import numpy as np
import pytest
from pycocotools import mask
from pycocotools.coco import COCO

from experiments.data import annotations
from experiments.errors import UserError
from experiments.training.evaluation import evaluate
from tests.experiments.data.test_odd_objects import mmdetections
from tests.experiments.training.test_evaluation import assert_equal
from tests.support.coco_sets import by_pycocotools
from tests.support.mistakes import content

pytestmark = pytest.mark.filterwarnings("ignore")

NAN, INFINITY = float("nan"), float("inf")
VALUES = (
    *(
        None,
        True,
        False,
        0,
        1,
        2,
        3,
        -1,
        10,
        12,
        80,
        100,
        0.5,
        1.0,
        -0.0,
        1e-320,
        1e308,
        -1e308,
        NAN,
        INFINITY,
        -INFINITY,
    ),
    *(2**31, 2**53 + 1, 2**63 - 1, 2**63, 2**64, -(2**63), 10**30, 10**400),
    *("", "1", "cat", "NaN", "\0", "é", "\ud800", " ", "a\nb"),
    *([], [1], [[]], [None], {}, {"id": 1}, [[1, 2, 3, 4]], [[1, 2, 3, 4, 5, 6]], [10, 20, 30, 40], [1e308] * 4),
)


def many() -> dict[str, Any]:
    """A file in which one odd object may pass."""
    file = content()
    file["annotations"] = [{**copy.deepcopy(file["annotations"][n % 3]), "id": n + 1} for n in range(100)]
    return file


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """All places of a value to which another can be given."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path] * bool(path) + [place for key, one in items for place in places(one, (*path, key))]


def changed(file: Any, path: tuple[Any, ...], value: Any) -> Any:
    """The file with another value there."""
    *outer, last = path
    node = file
    for key in outer:
        node = node[key]
    node[last] = value
    return file


def detections(form: dict[str, Any], masks: bool) -> list[dict[str, Any]]:
    """Some objects as they are, some moved."""
    images = {one["id"]: one for one in form["images"]}
    found = []
    for number, one in enumerate(form["annotations"][::9]):
        image = images[one["image_id"]]
        record = {"image_id": one["image_id"], "category_id": one["category_id"], "score": 1 / (number + 2)}
        if masks:
            row = min(7 * number, image["height"] - 1)
            size = [image["height"], image["width"]]
            pixels = np.zeros(size, np.uint8, order="F")
            pixels[row : row + 40, :40] = 1
            record["segmentation"] = {"size": size, "counts": mask.encode(pixels)["counts"].decode()}
        else:
            record["bbox"] = [10, 20 + number, 30, 40]
        found.append(record)
    return found


@pytest.mark.long
@pytest.mark.parametrize("masks", [False, True], ids=["boxes", "masks"])
@pytest.mark.parametrize("split", ["train", "val"])
def test_any_value_anywhere(tmp_path: Path, split: str, masks: bool) -> None:
    rng = np.random.default_rng([split == "val", masks])
    few, lots = content(), many()
    of_few, of_lots = places(few), [path for path in places(lots) if path[0] != "annotations" or path[1:2] < (3,)]
    file, folder = tmp_path / "given.json", tmp_path / "checked"
    outcomes = {"refused": 0, "passed": 0}
    for number in range(100):
        source, where = (few, of_few) if number % 2 else (lots, of_lots)
        path, value = where[rng.integers(len(where))], VALUES[rng.integers(len(VALUES))]
        given = changed(copy.deepcopy(source), path, copy.deepcopy(value))
        file.write_text(json.dumps(given))
        try:
            found = annotations.check(file, split, masks, folder)
        except UserError as refused:
            sentence = str(refused)
            assert sentence.startswith(f"{file} "), sentence
            assert "\n" not in sentence
            assert len(sentence) < 500
            assert sentence.isprintable(), ascii(sentence)
            outcomes["refused"] += 1
            continue
        found.keep()
        outcomes["passed"] += 1
        assert found.contents.note.isprintable(), ascii(found.contents.note)
        form = json.loads(found.normal_form.read_text())
        if split == "train":
            assert len(mmdetections(found.normal_form, found.contents.classes)) == found.contents.trainable
            continue
        if max(image["width"] * image["height"] for image in form["images"]) > 10**6:
            continue  # their masks would take long to make
        iou_type, some = "segm" if masks else "bbox", detections(form, masks)
        expected = by_pycocotools(COCO(found.normal_form), some, iou_type)
        assert_equal(evaluate(hotcoco.COCO(str(found.normal_form)), [dict(one) for one in some], iou_type), expected)
    assert min(outcomes.values()) > 10, outcomes
