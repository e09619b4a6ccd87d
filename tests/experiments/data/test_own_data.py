"""Data as people's tools write them, through a real training: its numbers are pycocotools' on the files as they are."""

import codecs
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from experiments import names
from experiments.trial import detections
from tests.support import coco_sets, harness
from tests.support.mistakes import own_data
from tests.support.running import Preloaded

pytestmark = pytest.mark.filterwarnings("ignore")
WIDTH, HEIGHT = 96, 64
FIRST_IMAGE, FIRST_CATEGORY = 2**53, 2**31  # a float would take neighbours for one, 32 bits would be too few
COLOURS = ("red", "green")
MASKLESS = 50  # the place of an object in val whose polygon has two points


def drawn(folder: Path, split: str, images: int) -> dict[str, Any]:
    """Draws images of ten rectangles in the colours of their classes; returns the annotation file's content."""
    rng = np.random.default_rng(len(split))
    content: dict[str, Any] = {
        "info": {"year": "2024", "version": 1, "description": None},
        "licenses": "CC BY 4.0",
        "images": [],
        "annotations": [],
    }
    for number in range(images):
        picture = Image.new("RGB", (WIDTH, HEIGHT), "grey")
        file = {"file_name": f"{split}{number}.png", "width": WIDTH, "height": HEIGHT, "license": "none"}
        content["images"].append({"id": FIRST_IMAGE + number, **file})
        for kind in [0, 1] * 5:
            width, height = (int(side) for side in rng.integers(10, 30, 2))
            x, y = int(rng.integers(0, WIDTH - width)), int(rng.integers(0, HEIGHT - height))
            right, lower = x + width, y + height
            ImageDraw.Draw(picture).rectangle((x, y, right - 1, lower - 1), COLOURS[kind])
            content["annotations"].append(
                {
                    "id": len(content["annotations"]),
                    "image_id": FIRST_IMAGE + number,
                    "category_id": FIRST_CATEGORY + (kind if split == "train" else 1 - kind),
                    "bbox": [x, y, width, height],
                    "area": width * height,
                    "iscrowd": 0,
                    "segmentation": [[x, y, right, y, right, lower, x, lower]],
                }
            )
        picture.save(folder / "images" / f"{split}{number}.png")
    return content


def pycocotools(content: dict[str, Any], found: list[dict[str, Any]], iou_type: str) -> np.ndarray:
    """AP, AP50, AP75, APs, APm and APl on a file's content, its annotations numbered from 1 for pycocotools."""
    numbered = [{**one, "id": number} for number, one in enumerate(content["annotations"], 1)]
    truth = coco_sets.indexed({**content, "info": {}, "annotations": numbered})
    return np.array(coco_sets.by_pycocotools(truth, found, iou_type).stats[:6])


@pytest.mark.long
def test_numbers_are_pycocotools_on_the_files_as_they_are(preloaded: Preloaded, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    train, val = drawn(tmp_path, "train", 8), drawn(tmp_path, "val", 10)
    for content, kinds in ((train, (8, "9")), (val, ("9", "8"))):
        content["categories"] = [
            {"id": FIRST_CATEGORY + place, "name": name, "supercategory": 3} for place, name in enumerate(kinds)
        ]
    train["annotations"][0]["ignore"] = 1
    val["annotations"][MASKLESS]["segmentation"] = [[10, 20, 40, 60]]
    (tmp_path / "train.json").write_bytes(codecs.BOM_UTF8 + json.dumps(train).encode())
    (tmp_path / "val.json").write_bytes(json.dumps(val).encode("utf-16"))

    outputs = tmp_path / "outputs"
    tiny = [item for item in harness.TINY if not item.startswith("dataset.")]
    arguments = (*own_data(tmp_path, "train.json", "val.json", "images"), *tiny, "architecture=mask_rcnn")
    done = preloaded.run(*arguments, f"output_dir={outputs}")
    assert done.code == 0, done.stdout + done.stderr
    notes = [line for line in done.stdout.splitlines() if line.startswith("note: ")]
    assert len(notes) == 2
    assert "training leaves out 1 object marked ignore" in notes[0]
    assert "evaluation leaves out 1 object without a mask that can be drawn" in notes[1]

    (run,) = harness.runs(outputs)
    (trial,) = (outputs / "trials").iterdir()
    kept = detections.load(trial / "detections.npz")
    del val["annotations"][MASKLESS]
    for iou_type in names.IOU_TYPES:
        assert {one["image_id"] for one in kept[iou_type]} <= {one["id"] for one in val["images"]}
        ours = [run.data.metrics[names.coco_metric(iou_type, metric)] for metric in names.COCO_METRICS]
        np.testing.assert_allclose(ours, pycocotools(val, kept[iou_type], iou_type), rtol=0, atol=1e-12)
    assert run.data.metrics[names.coco_metric("bbox", "AP50")] > 0.01
    classes = json.loads((trial / "by_class.json").read_text())["bbox"]
    assert sorted(row["class"] for row in classes) == ["8", "9"]
    log = (trial / "log.txt").read_text()
    assert "Traceback" not in log
