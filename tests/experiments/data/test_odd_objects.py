"""Objects that are odd, ignored or without a mask: counted and named, left out by all alike, refused if many."""

import contextlib
import io
import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from mmdet.datasets import CocoDataset
from mmengine.hub import get_config

from experiments.data import annotations
from experiments.data.annotations import Checked
from experiments.errors import UserError
from tests.support import harness
from tests.support.mistakes import content, data, refused
from tests.support.running import Preloaded

pytestmark = pytest.mark.filterwarnings("ignore")
Content = dict[str, Any]

THIN = {"bbox": [10, 20, 0.5, 40]}
FLAT = {"bbox": [10, 20, 30, 0]}
OUTSIDE = {"bbox": [101, 20, 30, 40]}
OVER = {"bbox": [90, 20, 11.5, 40]}
NO_AREA = {"area": 0}
MASKLESS = {"segmentation": [[10, 20, 40, 60]]}
ODD = {"thin": THIN, "flat": FLAT, "outside": OUTSIDE, "over": OVER, "no area": NO_AREA, "no mask": MASKLESS}
ACCEPTED = {"flat": 2, "outside": 2, "over": 2, "thin": 20, "no area": 20, "no mask": 20}  # of 2,000


def crowded(odd: dict[str, Any], count: int, total: int) -> Content:
    """A file of `total` objects on its first image, `count` of them odd."""
    file = content()
    usual = file["annotations"][0]
    file["annotations"] = [{**usual, **(odd if n < count else {}), "id": n + 1} for n in range(total)]
    return file


def checked(folder: Path, file: Content, split: str = "train", masks: bool = True) -> Checked:
    """Writes a file and has it checked and kept."""
    path = folder / "all.json"
    path.write_text(json.dumps(file))
    found = annotations.check(path, split, masks, folder / "checked")
    found.keep()
    return found


def form(found: Checked) -> Content:
    return json.loads(found.normal_form.read_text())


@cache
def filter_cfg() -> dict[str, Any]:
    """How MMDetection's COCO configs filter training data."""
    cfg = get_config("mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py").train_dataloader.dataset
    return dict(cfg.filter_cfg)


def mmdetections(file: Path, classes: tuple[str, ...] = ("cat", "dog")) -> CocoDataset:
    """MMDetection's own reading of a file."""
    with contextlib.redirect_stdout(io.StringIO()):
        return CocoDataset(
            ann_file=str(file),
            data_prefix={"img": ""},
            metainfo={"classes": classes},
            filter_cfg=filter_cfg(),
            pipeline=[],
        )


def instances(file: Path) -> list[dict[str, Any]]:
    """All objects of MMDetection's reading that are trained on."""
    return [one for item in mmdetections(file) for one in item["instances"] if not one["ignore_flag"]]


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("split", ["train", "val"])
def test_few_odd_objects_are_counted_and_many_refused(tmp_path: Path, kind: str, split: str) -> None:
    """COCO's own train2017 has two boxes without height among 860,001."""
    most = ACCEPTED[kind]
    note = checked(tmp_path, crowded(ODD[kind], most, 2000), split).contents.note
    assert f"{most} objects" in note
    assert "the first is annotations[0] (id 1)" in note
    with pytest.raises(UserError, match=f"{most + 1} of 2000 objects .* first is annotations\\[0\\]"):
        checked(tmp_path, crowded(ODD[kind], most + 1, 2000), split)


@pytest.mark.parametrize("kind", ODD)
def test_note_says_what_training_and_evaluation_do(tmp_path: Path, kind: str) -> None:
    """Held against MMDetection's reading of the form, and of the file that was given."""
    file = crowded(ODD[kind], 1, 1000)
    trained = kind == "over"
    train, val = (checked(tmp_path, file, split) for split in ("train", "val"))
    words = "training uses" if trained else "of 2 images and 1,000 objects, training leaves out 1 image without"
    assert words in train.contents.note
    assert len(instances(train.normal_form)) == 999 + trained
    assert len(instances(tmp_path / "all.json")) == 999 + (trained or kind == "no mask")  # which it finds out later
    assert (
        "evaluation leaves out" in val.contents.note if kind == "no mask" else "evaluation counts" in val.contents.note
    )
    assert len(form(val)["annotations"]) == 1000 - (kind == "no mask")


def test_box_within_a_pixel_of_the_border_is_not_odd(tmp_path: Path) -> None:
    found = checked(tmp_path, crowded({"bbox": [-0.7, 0, 101.5, 80.9]}, 3, 3))
    assert found.contents.note == "of 2 images and 3 objects, training leaves out 1 image without objects"


def test_no_note_where_all_objects_are_used(tmp_path: Path) -> None:
    file = content()
    file["annotations"][2]["iscrowd"] = 0
    assert [checked(tmp_path, file, split).contents.note for split in ("train", "val")] == ["", ""]


@pytest.mark.parametrize("mark", [1, True])
def test_ignored_objects_are_evaluated_and_not_trained_on(tmp_path: Path, mark: object) -> None:
    """MMDetection leaves them out; pycocotools takes `ignore` for another name of `iscrowd`."""
    file = content()
    file["annotations"][0]["ignore"] = mark
    file["annotations"][1]["ignore"] = False if mark is True else None
    train, val = (checked(tmp_path, file, split) for split in ("train", "val"))
    assert "1 object marked ignore" in train.contents.note
    assert val.contents.note == ""
    assert [len(form(one)["annotations"]) for one in (train, val)] == [2, 3]
    assert instances(train.normal_form) == instances(tmp_path / "all.json")
    assert all(set(one) == {*FIELDS["annotations"]} for one in form(val)["annotations"])


FIELDS = {
    "images": ["id", "file_name", "width", "height"],
    "categories": ["id", "name"],
    "annotations": ["id", "image_id", "category_id", "bbox", "area", "iscrowd", "segmentation"],
}


def test_note_counts_the_objects_that_are_left_out(preloaded: Preloaded, tmp_path: Path) -> None:
    """For each file once, however many trials there are."""
    file = crowded({}, 0, 1000)
    file["annotations"][3] |= THIN
    file["annotations"][5] |= FLAT
    file["annotations"][6] |= {"ignore": 1}
    file["annotations"][7] |= {"iscrowd": 1}
    file["annotations"][8] |= MASKLESS
    file["images"].append({"id": 3, "file_name": "3.png", "width": 200, "height": 31})
    file["annotations"][9] |= {"image_id": 3, "bbox": [1, 2, 3, 4]}
    arguments = (*data(tmp_path, file), "architecture=mask_rcnn", "seed=0,1,2", "dry_run=true")
    harness.picture(tmp_path / "images" / "3.png", 200, 31)
    done = preloaded.run("-m", *arguments, f"output_dir={tmp_path / 'outputs'}")
    assert done.code == 0, done.stdout + done.stderr
    notes = [line for line in done.stdout.splitlines() if line.startswith("note: ")]
    box = "with bbox [10, 20, {}] and area 1200 on 100x80 pixels"
    assert notes == [
        f"note: {tmp_path}/train.json: of 3 images and 1,000 objects, training leaves out 1 image without objects, "
        "1 image with a side below 32 pixels, 1 crowd, 1 object marked ignore, "
        f"1 object thinner than a pixel or without area (the first is annotations[3] (id 4) {box.format('0.5, 40')}), "
        "1 object without width or height, or outside their image (the first is annotations[5] (id 6) "
        f"{box.format('30, 0')}) and 1 object without a mask that can be drawn (the first is annotations[8] (id 9) "
        "with segmentation [[10, 20, 40, 60]])",
        f"note: {tmp_path}/val.json: evaluation leaves out 1 object without a mask that can be drawn (the first is "
        "annotations[8] (id 9) with segmentation [[10, 20, 40, 60]]); evaluation counts 1 object thinner than a pixel "
        f"or without area (the first is annotations[3] (id 4) {box.format('0.5, 40')}) and 1 object without width or "
        f"height, or outside their image (the first is annotations[5] (id 6) {box.format('30, 0')})",
    ]
    again = preloaded.run("-m", *arguments, f"output_dir={tmp_path / 'outputs'}")
    assert [line for line in again.stdout.splitlines() if line.startswith("note: ")] == notes


def test_masks_are_asked_for_where_they_are_learnt(preloaded: Preloaded, tmp_path: Path) -> None:
    file = content()
    file["annotations"][1].pop("segmentation")
    arguments = data(tmp_path, file)
    for dry in ("true", "false"):
        asked = (*arguments, "architecture=mask_rcnn", f"dry_run={dry}")
        sentence = refused(preloaded, tmp_path / "outputs", *asked)
        assert "train.json lacks masks: 1 of 3 objects" in sentence
        assert "annotations[1] (id 11) with segmentation missing" in sentence
        assert "architecture=faster_rcnn" in sentence
    done = preloaded.run(*arguments, f"output_dir={tmp_path / 'outputs'}", fake_training=True)
    assert done.code == 0, done.stdout + done.stderr


def test_data_without_images_to_train_on_are_refused(preloaded: Preloaded, tmp_path: Path) -> None:
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


@pytest.mark.parametrize("left_out", [{"iscrowd": 1}, {"ignore": 1}])
def test_data_without_objects_to_train_on_are_refused(tmp_path: Path, left_out: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"no image to train on: .*(all its objects|without objects)"):
        checked(tmp_path, crowded(left_out, 3, 3))
    assert checked(tmp_path, crowded(left_out, 3, 3), "val").contents.objects == 3


OFFICIAL = sorted(harness.SHARED_DATA.glob("*/annotations/*.json"))


@pytest.mark.skipif(not OFFICIAL, reason=f"no COCO annotations in {harness.SHARED_DATA}")
@pytest.mark.parametrize("file", OFFICIAL, ids=lambda path: path.name)
def test_cocos_own_files_pass(tmp_path: Path, file: Path) -> None:
    official = json.loads(file.read_text())
    masks = all(annotation.get("segmentation") for annotation in official["annotations"])
    found = annotations.check(file, "val", masks, tmp_path).contents
    assert list(found.classes) == [category["name"] for category in official["categories"]]
    assert list(found.file_names) == [image["file_name"] for image in official["images"]]
    assert list(found.sizes) == [(image["width"], image["height"]) for image in official["images"]]
    assert found.objects == len(official["annotations"])
    assert "leaves out" not in found.note
