"""Annotation files that MMDetection or pycocotools would misread: refused with file, place and remedy; COCO's pass."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import harness
import pytest
from conftest import Preloaded
from mistakes import content, data, refused
from mmdet.datasets import CocoDataset
from mmengine.hub import get_config

from experiments.data import annotations, datasets
from experiments.errors import UserError

pytestmark = pytest.mark.filterwarnings("ignore")
Content = dict[str, Any]


def changed(**values: Any) -> Callable[[Content], Any]:
    """A change of the second annotation."""
    return lambda file: file["annotations"][1].update(values)


def without(part: str, key: str) -> Callable[[Content], Any]:
    return lambda file: file[part][1].pop(key)


OBJECT = "annotations[1] (id 11)"
FLAWS: dict[str, tuple[Callable[[Content], Any], list[str]]] = {
    **{f"no {part}": (lambda file, part=part: file.pop(part), [part]) for part in content()},
    **{f"empty {part}": (lambda file, part=part: file[part].clear(), [part, "empty"]) for part in content()},
    **{
        f"{part} without {key}": (without(part, key), [f"{part}[1]", f"has no {key}"])
        for part, keys in (
            ("images", ("id", "file_name", "width", "height")),
            ("annotations", ("id", "image_id", "category_id", "bbox", "area", "iscrowd")),
            ("categories", ("id", "name")),
        )
        for key in keys
    },
    "an image that is a name": (lambda file: file["images"].append("3.png"), ["images[2]", "3.png", "file_name"]),
    "image id twice": (lambda file: file["images"][1].update(id=1), ["images[1]", "id 1", "once"]),
    "annotation id twice": (changed(id=10), ["annotations[1]", "id 10", "once"]),
    "category id twice": (lambda file: file["categories"][1].update(id=1), ["categories[1]", "id 1", "once"]),
    "two classes of one name": (lambda file: file["categories"][1].update(name="cat"), ["2 categories", "cat"]),
    "id in words": (lambda file: file["images"][0].update(id="1"), ["images[0]", '"1"', "whole number"]),
    "image of no width": (lambda file: file["images"][1].update(width=0), ["images[1] (id 2)", "width 0", "1 or more"]),
    "no path": (lambda file: file["images"][1].update(file_name=7), ["images[1] (id 2)", "file_name 7"]),
    "unknown image": (changed(image_id=99), [OBJECT, "image_id 99", "none of its 2 images"]),
    "image by name": (changed(image_id="1"), [OBJECT, 'image_id "1"']),
    "unknown category": (changed(category_id=3), [OBJECT, "category_id 3", "none of its 2 categories"]),
    "three numbers": (changed(bbox=[1, 2, 3]), [OBJECT, "[1, 2, 3]", "[x, y, width, height]"]),
    "words in a box": (changed(bbox=[1, 2, "3", 4]), [OBJECT, "[x, y, width, height]"]),
    "NaN in a box": (changed(bbox=[1, 2, float("nan"), 4]), [OBJECT, "NaN", "[x, y, width, height]"]),
    "no width": (changed(bbox=[10, 20, 0, 40]), ["1 of 3", OBJECT, "[10, 20, 0, 40]", "100x80"]),
    "negative height": (changed(bbox=[10, 20, 5, -40]), ["1 of 3", OBJECT, "-40"]),
    "corners for sizes": (changed(bbox=[70, 50, 95, 75]), ["1 of 3", OBJECT, "beyond", "[x, y, width, height]"]),
    "left of its image": (changed(bbox=[-2, 20, 30, 40]), ["1 of 3", OBJECT, "beyond"]),
    "shares for pixels": (changed(bbox=[0.1, 0.2, 0.3, 0.4]), ["1 of 3", OBJECT, "thinner than a pixel", "in pixels"]),
    "no area": (changed(area=0), ["1 of 3", OBJECT, "without area"]),
    "area in words": (changed(area="big"), [OBJECT, '"big"', "square pixels"]),
    "half a crowd": (changed(iscrowd=0.5), [OBJECT, "iscrowd 0.5"]),
    "two points": (changed(segmentation=[[1, 2, 3, 4]]), ["1 of 3", OBJECT, "fewer than three points"]),
    "mask in words": (changed(segmentation="round"), [OBJECT, "round", "polygons"]),
    "polygon of points": (changed(segmentation=[[[1, 2], [3, 4], [5, 6]]]), [OBJECT, "[x1, y1, x2, y2, ...]"]),
    "RLE without counts": (changed(segmentation={"size": [80, 100]}), [OBJECT, "counts"]),
    "RLE turned": (changed(segmentation={"counts": [8000], "size": [100, 80]}), [OBJECT, "[100, 80]", "[80, 100]"]),
}


@pytest.mark.parametrize("flaw", FLAWS)
def test_flawed_file_is_refused_with_the_place(tmp_path: Path, flaw: str) -> None:
    file = content()
    FLAWS[flaw][0](file)
    with pytest.raises(UserError) as refused:
        datasets.locate(harness.composed(*data(tmp_path, file), f"output_dir={tmp_path / 'outputs'}"))
    sentence = str(refused.value)
    assert sentence.startswith(f"{tmp_path / 'train.json'} is no annotation file in COCO's format")
    assert [part for part in FLAWS[flaw][1] if part not in sentence] == [], sentence
    assert len(sentence) < 500
    assert "\n" not in sentence
    assert not (tmp_path / "outputs").exists()


def test_command_is_refused_with_that_sentence(preloaded: Preloaded, tmp_path: Path) -> None:
    file = content()
    FLAWS["corners for sizes"][0](file)
    arguments = data(tmp_path, file)
    with pytest.raises(UserError) as wanted:
        datasets.locate(harness.composed(*arguments))
    assert refused(preloaded, tmp_path / "outputs", *arguments) == str(wanted.value)
    assert not (tmp_path / "outputs").exists()


@pytest.mark.parametrize("text", ["this is no JSON", "[1, 2]", "", "\x00"])
def test_file_of_something_else(preloaded: Preloaded, tmp_path: Path, text: str) -> None:
    assert "val.json is no annotation" in refused(preloaded, tmp_path / "outputs", *data(tmp_path, content(), text))
    assert not (tmp_path / "outputs").exists()


def test_good_file_is_trained_on(preloaded: Preloaded, tmp_path: Path) -> None:
    """The file that all flaws above are put into."""
    outputs = tmp_path / "outputs"
    arguments = (*data(tmp_path, content()), "architecture=mask_rcnn", f"output_dir={outputs}")
    done = preloaded.run(*arguments, fake_training=True)
    assert done.code == 0, done.stdout + done.stderr


def test_masks_are_asked_for_where_they_are_learnt(preloaded: Preloaded, tmp_path: Path) -> None:
    file = content()
    file["annotations"][1].pop("segmentation")
    arguments = data(tmp_path, file)
    sentence = refused(preloaded, tmp_path / "outputs", *arguments, "architecture=mask_rcnn")
    assert f"{OBJECT} has no segmentation" in sentence
    assert "architecture=faster_rcnn" in sentence
    done = preloaded.run(*arguments, f"output_dir={tmp_path / 'outputs'}", fake_training=True)
    assert done.code == 0, done.stdout + done.stderr


def test_object_with_id_0_is_refused_where_it_would_count_as_missed(preloaded: Preloaded, tmp_path: Path) -> None:
    """pycocotools writes the id of the matched object, and 0 for no match."""
    file = content()
    file["annotations"][1]["id"] = 0
    sentence = refused(preloaded, tmp_path / "outputs", *data(tmp_path, content(), file))
    assert "val.json: annotations[1] (id 0)" in sentence
    assert "number annotations from 1" in sentence


def test_nothing_to_train_on(preloaded: Preloaded, tmp_path: Path) -> None:
    """MMDetection would stop without a word of that: objects are only on an image that it finds too small."""
    file = content()
    file["images"][0] |= {"width": 100, "height": 31}
    file["annotations"] = file["annotations"][:1]
    file["annotations"][0]["bbox"] = [10, 10, 10, 10]
    sentence = refused(preloaded, tmp_path / "outputs", *data(tmp_path, file, content()))
    assert "train.json has no image to train on" in sentence
    assert "32 pixels" in sentence
    with pytest.raises(ValueError, match="need at least one array"):
        mmdetections(tmp_path / "train.json")
    assert len(mmdetections(tmp_path / "val.json")) == 2


@pytest.mark.parametrize("folder", ["images", "more/images"])
def test_missing_image_files_are_counted_and_named(preloaded: Preloaded, tmp_path: Path, folder: str) -> None:
    file = content()
    file["images"].append({"id": 3, "file_name": f"{folder}/3.png", "width": 50, "height": 50})
    arguments = data(tmp_path, file)
    sentence = refused(preloaded, tmp_path / "outputs", *arguments)
    assert f"1 of 3 images of {tmp_path / 'train.json'}" in sentence
    assert str(tmp_path / "images" / folder / "3.png") in sentence
    harness.picture(tmp_path / "images" / folder / "3.png", 50, 50)
    done = preloaded.run(*arguments, f"output_dir={tmp_path / 'outputs'}", fake_training=True)
    assert done.code == 0, done.stdout + done.stderr


def mmdetections(file: Path) -> CocoDataset:
    """MMDetection's own reading of a file, as its COCO configs filter training data."""
    cfg = get_config("mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py").train_dataloader.dataset
    return CocoDataset(
        ann_file=str(file),
        data_prefix={"img": ""},
        metainfo={"classes": ("cat", "dog")},
        filter_cfg=cfg.filter_cfg,
        pipeline=[],
    )


def crowded(odd: dict[str, Any], count: int, total: int) -> Content:
    """A file of `total` objects, `count` of them odd."""
    file = content()
    usual = file["annotations"][0]
    file["annotations"] = [{**usual, **(odd if n < count else {}), "id": n + 1} for n in range(total)]
    return file


THIN = {"bbox": [10, 20, 0.5, 40]}
FLAT = {"bbox": [10, 20, 30, 0]}
OVER = {"bbox": [90, 20, 11.5, 40]}


@pytest.mark.parametrize(("odd", "most"), [(FLAT, 2), (OVER, 2), (THIN, 20), ({"area": 0}, 20)], ids=str)
def test_few_odd_boxes_are_told_and_many_refused(
    tmp_path: Path, odd: dict[str, Any], most: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """COCO's own train2017 has two boxes without height among 860,001."""
    file = tmp_path / "all.json"
    file.write_text(json.dumps(crowded(odd, most, 2000)))
    assert annotations.contents(file, "few", tmp_path).trainable == 1
    assert f"{most} of 2000 objects" in " ".join(capsys.readouterr().out.split())
    file.write_text(json.dumps(crowded(odd, most + 1, 2000)))
    with pytest.raises(UserError, match=f"{most + 1} of 2000 objects"):
        annotations.contents(file, "many", tmp_path)


def test_box_that_touches_or_passes_its_border_by_a_pixel_is_none_of_them(tmp_path: Path) -> None:
    file = tmp_path / "all.json"
    file.write_text(json.dumps(crowded({"bbox": [-0.7, 0, 101.5, 80.9]}, 3, 3)))
    assert annotations.contents(file, "border", tmp_path).trainable == 1


@pytest.mark.parametrize(
    "odd", [FLAT, THIN, {"area": 0}, {"bbox": [120, 20, 30, 40]}], ids=["flat", "thin", "no area", "outside"]
)
def test_mmdetection_leaves_out_what_is_said_to_be_left_out(tmp_path: Path, odd: dict[str, Any]) -> None:
    file = tmp_path / "all.json"
    file.write_text(json.dumps(crowded(odd, 1, 3)))
    assert len(mmdetections(file)[0]["instances"]) == 2


OFFICIAL = sorted(harness.SHARED_DATA.glob("*/annotations/*.json"))


@pytest.mark.skipif(not OFFICIAL, reason=f"no COCO annotations in {harness.SHARED_DATA}")
@pytest.mark.parametrize("file", OFFICIAL, ids=lambda path: path.name)
def test_cocos_own_files_pass(tmp_path: Path, file: Path) -> None:
    found = annotations.contents(file, "official", tmp_path)
    official = json.loads(file.read_text())
    assert list(found.classes) == [category["name"] for category in official["categories"]]
    assert list(found.file_names) == [image["file_name"] for image in official["images"]]
    assert found.zeroth is None
    masks = all(annotation.get("segmentation") for annotation in official["annotations"])
    assert (found.maskless is None) == masks


def test_file_that_passed_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even by another process: COCO's 450 MB take it a quarter of a minute."""
    file, record = tmp_path / "all.json", tmp_path / "checked"
    file.write_text(json.dumps(content()))
    digest = datasets.fingerprint(file)
    found = annotations.contents(file, digest, record)
    annotations.remember(found, digest, record)
    monkeypatch.setattr(annotations, "_judge", lambda *_: pytest.fail("read again"))
    assert annotations.contents(file, digest, record) == found


def test_other_rules_read_it_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "all.json"
    file.write_text(json.dumps(content()))
    found = annotations.contents(file, "digest", tmp_path)
    annotations.remember(found, "digest", tmp_path)
    monkeypatch.setattr(annotations, "VERSION", annotations.VERSION + 1)
    flawed = copy.deepcopy(content())
    flawed["images"].clear()
    file.write_text(json.dumps(flawed))
    with pytest.raises(UserError, match="empty"):
        annotations.contents(file, "digest", tmp_path)


def test_check_is_kept_beside_the_trials(preloaded: Preloaded, tmp_path: Path) -> None:
    outputs = tmp_path / "outputs"
    done = preloaded.run(*data(tmp_path, content()), f"output_dir={outputs}", fake_training=True)
    assert done.code == 0, done.stdout + done.stderr
    digest = datasets.fingerprint(tmp_path / "train.json")
    assert [path.name for path in (outputs / "data" / "checked").glob("*.json")] == [f"{digest}.json"]
