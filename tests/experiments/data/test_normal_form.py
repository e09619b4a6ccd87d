"""What training and evaluation are given: numbers as pycocotools finds them on the file that the user has."""

import contextlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hotcoco
import numpy as np
import pytest
from pycocotools.coco import COCO

from experiments.data import annotations, datasets
from experiments.errors import UserError
from experiments.training import decisions
from experiments.training.evaluation import by_class, evaluate
from experiments.trial import detections, matches
from tests.experiments.data.test_odd_objects import FIELDS
from tests.experiments.training.test_evaluation import assert_equal
from tests.support import coco_sets, harness
from tests.support.coco_sets import CocoSet, by_pycocotools, indexed
from tests.support.mistakes import content

pytestmark = pytest.mark.filterwarnings("ignore")
Content = dict[str, Any]
Number = Callable[[int], int]


def awkward(seed: int, masks: bool) -> CocoSet:
    rng = np.random.default_rng(seed)
    whole = coco_sets.awkward(rng, images=8, classes=3, tied=bool(seed % 2))
    return coco_sets.with_masks(whole, rng) if masks else whole


def renumbered(whole: CocoSet, image: Number, category: Number) -> tuple[Content, list[Content]]:
    """The set's ground truth and detections with other ids."""
    truth = whole.truth()
    for one in truth["images"]:
        one.update(id=image(one["id"]), file_name=f"{one['id']}.png")
    for one in truth["categories"]:
        one["id"] = category(one["id"])
    found = [dict(one) for one in whole.detections]
    for one in (*truth["annotations"], *found):
        one.update(image_id=image(one["image_id"]), category_id=category(one["category_id"]))
    return truth, found


def checked(folder: Path, text: bytes, split: str = "val", masks: bool = False) -> annotations.Checked:
    file = folder / "given.json"
    file.write_bytes(text)
    found = annotations.check(file, split, masks, folder / "checked")
    found.keep()
    return found


def assert_as_pycocotools(folder: Path, truth: Content, found: list[Content], iou_type: str) -> None:
    """The evaluation of every epoch and the one after the last, on the form, against pycocotools on the file."""
    form = checked(folder, json.dumps(truth).encode(), masks=iou_type == "segm").normal_form
    expected = by_pycocotools(indexed(truth), found, iou_type)
    assert 0 < expected.stats[0] < 1
    ours = evaluate(hotcoco.COCO(str(form)), [dict(one) for one in found], iou_type)
    assert_equal(ours, expected)
    detections.save(folder / "found.npz", {iou_type: found})
    kept = detections.load(folder / "found.npz")[iou_type]
    with contextlib.redirect_stdout(io.StringIO()):
        after = decisions.evaluate(COCO(str(form)), kept, iou_type)
    decided, wanted = matches.decided(after), matches.decided(expected)
    for name in ("image_ids", "class_ids", "score", "matched", "ignored", "objects"):
        assert np.array_equal(getattr(decided, name), getattr(wanted, name)), name
    matches.save(folder / "matches.npz", {iou_type: decided})
    assert matches.load(folder / "matches.npz")[iou_type].class_ids.tolist() == wanted.class_ids.tolist()


@pytest.mark.parametrize("iou_type", ["bbox", "segm"])
@pytest.mark.parametrize("seed", range(4))
def test_numbers_are_pycocotools_on_the_file(tmp_path: Path, seed: int, iou_type: str) -> None:
    truth, found = renumbered(awkward(seed, iou_type == "segm"), lambda n: n, lambda n: n)
    assert_as_pycocotools(tmp_path, truth, found, iou_type)


IDS: dict[str, tuple[Number, Number]] = {
    "from 0": (lambda n: n - 1, lambda n: n - 1),
    "beyond 31 bits": (lambda n: n, lambda n: 2**31 + 5 * n),
    "of one low half": (lambda n: n << 32, lambda n: n << 32),
    "beyond a float's digits": (lambda n: 2**53 + n, lambda n: 2**53 + n),
    "the last there are": (lambda n: 2**63 - 1001 + n, lambda n: 2**63 - 5 + n),
}


@pytest.mark.parametrize("iou_type", ["bbox", "segm"])
@pytest.mark.parametrize("ids", IDS)
def test_ids_may_be_as_large_as_a_file_can_have_them(tmp_path: Path, ids: str, iou_type: str) -> None:
    assert_as_pycocotools(tmp_path, *renumbered(awkward(1, iou_type == "segm"), *IDS[ids]), iou_type)


def test_numbers_are_the_same_whatever_an_annotations_id(tmp_path: Path) -> None:
    """pycocotools takes the id 0 for "no match", and keeps ids as floats."""
    truth, found = renumbered(awkward(2, masks=False), lambda n: n, lambda n: n)
    expected = by_pycocotools(indexed(truth), found, "bbox")
    for first in (0, 2**53, 2**63 - 1000):
        for number, one in enumerate(truth["annotations"]):
            one["id"] = first + number
        form = checked(tmp_path, json.dumps(truth).encode()).normal_form
        assert_equal(evaluate(hotcoco.COCO(str(form)), [dict(one) for one in found], "bbox"), expected)


def header(content: Content) -> None:
    """As export tools write it."""
    content["info"] = {"year": "2024", "version": 1.0, "contributor": None, "date_created": 20240101, "url": ["a"]}
    content["licenses"] = {"id": "CC", "name": None}
    for one in content["images"]:
        one.update(license="CC BY 4.0", date_captured=None, coco_url=7, flickr_url=[], extra={"a": [1, {}]})


def categories(content: Content) -> None:
    for one in content["categories"]:
        one.update(supercategory=3, keypoints="none", skeleton=None, color=[1, 2, 3], isthing="yes")


def objects(content: Content) -> None:
    for one in content["annotations"]:
        one.update(attributes={"occluded": False}, score="high", keypoints=None, num_keypoints="0", track_id=1.5)


def other_header(content: Content) -> None:
    content.update(info="made by hand", licenses=[None, 1], type=3, videos=[[]], annotations_extra=float("nan"))


@pytest.mark.parametrize("odd", [header, categories, objects, other_header], ids=lambda change: change.__name__)
@pytest.mark.parametrize("masks", [False, True])
def test_fields_that_are_not_read_may_be_anything(tmp_path: Path, masks: bool, odd: Callable[[Content], None]) -> None:
    truth, _ = renumbered(awkward(1, masks=True), lambda n: n, lambda n: n)
    plain = json.loads(checked(tmp_path, json.dumps(truth).encode(), masks=masks).normal_form.read_bytes())
    odd(truth)
    form = json.loads(checked(tmp_path, json.dumps(truth).encode(), masks=masks).normal_form.read_bytes())
    assert form == plain
    assert {key: {*form[key][0]} for key in form} == {
        key: {*fields} - ({"segmentation"} if not masks else set()) for key, fields in FIELDS.items()
    }


ENCODINGS = {
    "UTF-8 with a mark": "utf-8-sig",
    "UTF-16 with a mark": "utf-16",
    "UTF-16, low byte first": "utf-16-le",
    "UTF-16, high byte first": "utf-16-be",
}


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("escaped", [False, True])
def test_encoding_does_not_matter(tmp_path: Path, encoding: str, escaped: bool) -> None:
    file = content()
    file["categories"][0]["name"] = "Käfer 虫 🐞"
    file["images"][1]["file_name"] = "größe.png"
    text = json.dumps(file, ensure_ascii=escaped)
    plain = checked(tmp_path, text.encode())
    found = checked(tmp_path, text.encode(ENCODINGS[encoding]))
    assert found.contents.classes == ("Käfer 虫 🐞", "dog")
    assert found.contents.file_names == ("1.png", "größe.png")
    assert found.normal_form.read_bytes() == plain.normal_form.read_bytes()
    assert found.sha256 != plain.sha256
    assert plain.normal_form.read_bytes().isascii()  # pycocotools reads it in the locale's encoding


def test_big_endian_with_its_mark(tmp_path: Path) -> None:
    text = json.dumps(content())
    assert checked(tmp_path, b"\xfe\xff" + text.encode("utf-16-be")).contents.classes == ("cat", "dog")


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16-le", "utf-32", "cp037"])
def test_other_encodings_are_refused(tmp_path: Path, encoding: str) -> None:
    file = content()
    file["categories"][0]["name"] = "Käfer"
    text = json.dumps(file, ensure_ascii=False).encode(encoding)
    if encoding == "utf-16-le":
        text = text[:-1]  # half a letter
    with pytest.raises(UserError) as refused:
        checked(tmp_path, text)
    assert "UTF-8" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_class_names_are_text(tmp_path: Path) -> None:
    """A number and the same as text are one class, in training, evaluation and tables."""
    file = content()
    for number, (kind, name) in enumerate(zip(file["categories"], (8, 7), strict=True)):
        kind.update(id=2 - number, name=name)
    train = checked(tmp_path, json.dumps(file).encode(), "train")
    val = content()
    for kind, name in zip(val["categories"], ("7", "8"), strict=True):
        kind["name"] = name
    (tmp_path / "val").mkdir()
    found = checked(tmp_path / "val", json.dumps(val).encode())
    assert (train.contents.classes, found.contents.classes) == (("8", "7"), ("7", "8"))
    box = {"image_id": 1, "category_id": 2, "bbox": [10, 20, 30, 40], "score": 0.9}
    rows = by_class(evaluate(hotcoco.COCO(str(train.normal_form)), [box], "bbox"))
    assert [row["class"] for row in rows] == ["7", "8"]


def test_image_that_is_large_enough_for_pycocotools_passes(tmp_path: Path) -> None:
    file = content()
    file["images"].append({"id": 3, "file_name": "3.png", "width": 2**31 - 1, "height": 1})
    assert checked(tmp_path, json.dumps(file).encode()).contents.sizes[2] == (2**31 - 1, 1)


def test_nan_and_infinity_are_read_where_they_are_not_used(tmp_path: Path) -> None:
    """NaN and Infinity are no JSON; where nothing reads them, they do not matter."""
    file = content()
    plain = checked(tmp_path, json.dumps(file).encode(), masks=False).normal_form.read_bytes()
    file["annotations"][0]["segmentation"] = [[1, 2, float("nan"), float("-inf"), 5, 6]]
    file["annotations"][1]["score"] = float("inf")
    assert checked(tmp_path, json.dumps(file).encode(), masks=False).normal_form.read_bytes() == plain
    with pytest.raises(UserError, match=r"annotations\[0\] \(id 10\) has a polygon of \[1, 2, \"NaN\", \"-Infinity\""):
        checked(tmp_path, json.dumps(file).encode(), masks=True)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"images": ' + "[" * 100_000 + "]" * 100_000 + "}"])
def test_lists_in_lists_in_lists(tmp_path: Path, text: str) -> None:
    with pytest.raises(UserError, match="is not an annotation file in COCO's format"):
        checked(tmp_path, text.encode())


def test_drawn_data_have_the_same_form(tmp_path: Path) -> None:
    config = {**harness.composed(*harness.TINY), "output_dir": str(tmp_path)}
    for part in datasets.locate(harness.typed(config)).values():
        assert {key: {*one[0]} for key, one in json.loads(part.annotations.read_text()).items()} == {
            key: {*fields} - {"segmentation"} for key, fields in FIELDS.items()
        }
