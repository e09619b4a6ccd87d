"""Real COCO images through real training and evaluation: 80 classes, a crowd, a grey image, images without objects."""

import json
from pathlib import Path

import pytest
from PIL import Image

from experiments import names
from tests.support import harness
from tests.support.running import Preloaded

DATA = harness.SHARED_DATA / "coco_mini"
pytestmark = pytest.mark.skipif(not DATA.exists(), reason=f"the sample of COCO images is not in {DATA}")


def subset(split: str, target: Path, count: int) -> dict:
    """Writes an annotation file of `count` images: what is odd in the split first, then the most crowded."""
    content = json.loads((DATA / "annotations" / f"instances_{split}.json").read_text())
    by_image: dict[int, list[dict]] = {image["id"]: [] for image in content["images"]}
    for annotation in content["annotations"]:
        by_image[annotation["image_id"]].append(annotation)

    def oddness(image: dict) -> tuple:
        own = by_image[image["id"]]
        grey = Image.open(DATA / "images" / image["file_name"]).mode == "L"
        return (not grey, bool(own), not any(annotation["iscrowd"] for annotation in own), -len(own))

    images = sorted(content["images"], key=oddness)[:count]
    chosen = {image["id"] for image in images}
    content |= {
        "images": images,
        "annotations": [annotation for annotation in content["annotations"] if annotation["image_id"] in chosen],
    }
    target.write_text(json.dumps(content))
    return content


@pytest.mark.long
def test_real_images_are_trained_on_and_evaluated(preloaded: Preloaded, tmp_path: Path) -> None:
    contents = {split: subset(split, tmp_path / f"{split}.json", count) for split, count in (("train", 12), ("val", 6))}
    annotations = [annotation for content in contents.values() for annotation in content["annotations"]]
    used = [image for content in contents.values() for image in content["images"]]
    assert any(annotation["iscrowd"] for annotation in annotations)
    assert {image["id"] for image in used} - {annotation["image_id"] for annotation in annotations}
    assert any(Image.open(DATA / "images" / image["file_name"]).mode == "L" for image in used)

    keys = [
        f"dataset.{split}.{key}"
        for split in ("train", "val")
        for key in (f"annotations={tmp_path / split}.json", "images=images")
    ]
    outputs = tmp_path / "outputs"
    done = preloaded.run(
        "dataset=coco",
        "dataset.name=coco_mini",
        f"dataset.root={DATA}",
        *keys,
        "architecture=mask_rcnn",
        "pre=conv3",
        "post=attention",
        "profile.image_scale=[256,160]",
        "schedule.epochs=1",
        "schedule.warmup_iters=1",
        f"output_dir={outputs}",
    )
    assert done.code == 0, done.stdout + done.stderr
    (run,) = harness.runs(outputs)
    assert run.info.status == names.FINISHED
    assert run.data.params["dataset"] == "coco_mini"
    for iou_type in names.IOU_TYPES:
        for metric in names.COCO_METRICS:
            assert -1 <= run.data.metrics[names.coco_metric(iou_type, metric)] <= 1
    assert run.data.metrics[names.EPOCH_LOSS] > 0
    (trial,) = (outputs / "trials").iterdir()
    assert "num_classes=80" in (trial / "detector.py").read_text()
