"""Data in COCO's format: which class is which, from the annotation file to the metric, and what a trial ran on."""

import hashlib
import itertools
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from mmdet.registry import DATASETS
from mmengine.registry import DefaultScope

from experiments import output_folder
from experiments.data import datasets
from experiments.data.datasets import Split
from experiments.paths import TrialPaths
from experiments.training import build, randomness  # noqa: F401  (registers the training data set)
from experiments.training.evaluation import ExactCocoMetric
from tests.support import harness

pytestmark = pytest.mark.filterwarnings("ignore")
SIDE = {7: 20, 3: 40, 5: 60}  # pixels of the one object of each category id: cat, dog, cow
NAMES = {7: "cat", 3: "dog", 5: "cow"}


def write(path: Path, order: tuple[int, ...]) -> Path:
    """Writes an annotation file with one image of three objects, its categories in an order of our choice."""
    annotations = [
        {
            "id": number,
            "image_id": 1,
            "category_id": category,
            "bbox": [10, 60 * number, side, side],
            "area": side * side,
            "iscrowd": 0,
        }
        for number, (category, side) in enumerate(SIDE.items(), 1)
    ]
    image = {"id": 1, "file_name": "1.png", "width": 300, "height": 300}
    kinds = [{"id": category, "name": NAMES[category]} for category in order]
    return harness.annotation_file(path, kinds, images=[image], annotations=annotations)


def built(folder: Path, train: Path, val: Path) -> Any:
    classes = tuple(category["name"] for category in json.loads(train.read_text())["categories"])
    splits = {"train": Split(train, folder, classes), "val": Split(val, folder, classes)}
    return build.detector_config(harness.settings(), splits, TrialPaths(folder), 1)


@pytest.mark.parametrize("order", [(3, 5, 7), (7, 3, 5)], ids=["by id", "not by id"])
def test_labels_carry_the_name_of_their_category(tmp_path: Path, order: tuple[int, ...]) -> None:
    """However the file orders its categories, the model's class i is the category that `classes` calls so."""
    cfg = built(tmp_path, *[write(tmp_path / "all.json", order)] * 2)
    with DefaultScope.overwrite_default_scope("mmdet"):
        (item,) = DATASETS.build({**cfg.train_dataloader.dataset, "pipeline": []}).load_data_list()
    sides = {NAMES[category]: side for category, side in SIDE.items()}
    found = {cfg.train_dataloader.dataset.metainfo["classes"][o["bbox_label"]]: o["bbox"] for o in item["instances"]}
    assert {name: box[2] - box[0] for name, box in found.items()} == sides


ORDERS = list(itertools.permutations((3, 5, 7)))


@pytest.mark.parametrize("val", ORDERS, ids=str)
def test_perfect_detections_have_an_ap_of_one(tmp_path: Path, val: tuple[int, ...]) -> None:
    """Labels as the training data set gives them, judged on a validation file that orders its categories otherwise."""
    cfg = built(tmp_path, write(tmp_path / "train.json", (3, 5, 7)), write(tmp_path / "val.json", val))
    with DefaultScope.overwrite_default_scope("mmdet"):
        (item,) = DATASETS.build({**cfg.train_dataloader.dataset, "pipeline": []}).load_data_list()
    metric = ExactCocoMetric(ann_file=cfg.val_evaluator.ann_file, metric="bbox", folder=str(tmp_path))
    metric.dataset_meta = dict(cfg.val_dataloader.dataset.metainfo)
    predictions = {
        "bboxes": torch.tensor([instance["bbox"] for instance in item["instances"]], dtype=torch.float),
        "labels": torch.tensor([instance["bbox_label"] for instance in item["instances"]]),
        "scores": torch.ones(3),
    }
    metric.process({}, [{"img_id": 1, "ori_shape": (300, 300), "pred_instances": predictions}])
    assert metric.evaluate(size=1)["coco/bbox/AP"] == pytest.approx(1)


def own_data(folder: Path) -> dict[str, Any]:
    """The configuration of a trial on data of one's own."""
    overrides = [f"dataset.{split}.{key}" for split in ("train", "val") for key in ("annotations=all.json", "images=.")]
    return harness.composed("dataset=coco", "dataset.name=mine", f"dataset.root={folder}", *overrides)


def test_own_data_is_found_below_its_root(tmp_path: Path) -> None:
    """With the classes in the file's order."""
    file = write(tmp_path / "all.json", (3, 7, 5))
    harness.picture(tmp_path / "1.png", 300, 300)
    found = datasets.locate(harness.typed({**own_data(tmp_path), "output_dir": str(tmp_path / "outputs")}))
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert [(part.images, part.classes, part.sha256) for part in found.values()] == [
        (tmp_path, ("dog", "cat", "cow"), digest)
    ] * 2
    for part in found.values():
        assert part.annotations.parent == tmp_path / "outputs" / "data" / "checked"
        assert json.loads(part.annotations.read_text())["annotations"] == json.loads(file.read_text())["annotations"]


@pytest.mark.parametrize("kind", ["coco", "shapes"])
def test_record_has_the_file_that_was_given(tmp_path: Path, kind: str) -> None:
    write(tmp_path / "all.json", (3, 7, 5))
    harness.picture(tmp_path / "1.png", 300, 300)
    config = own_data(tmp_path) if kind == "coco" else harness.composed(*harness.TINY)
    config = {**config, "output_dir": str(tmp_path / "outputs")}
    for split, facts in datasets.facts(harness.typed(config)).items():
        given = Path(facts["annotations"])
        assert facts["sha256"] == hashlib.sha256(given.read_bytes()).hexdigest()
        assert given != datasets.locate(harness.typed(config))[split].annotations
        content = json.loads(given.read_text())
        counts = [len(content[part]) for part in ("images", "annotations", "categories")]
        assert [facts[key] for key in ("images", "objects", "classes")] == counts


def test_shapes_have_the_classes_and_counts_that_were_asked_for(tmp_path: Path) -> None:
    config = {**harness.composed(*harness.TINY), "output_dir": str(tmp_path)}
    found = datasets.locate(harness.typed(config))
    output_folder.accept(tmp_path)  # also if nothing more is written
    counts = {split: len(json.loads(part.annotations.read_text())["images"]) for split, part in found.items()}
    assert counts == {"train": 16, "val": 8}
    for part in found.values():
        categories = json.loads(part.annotations.read_text())["categories"]
        assert part.classes == tuple(category["name"] for category in categories)
        assert part.images.is_dir()
