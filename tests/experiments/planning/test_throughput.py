"""What a study costs that nobody has measured: multiply-adds, images and epochs at a stated throughput."""

from pathlib import Path

import pytest

from experiments.data import datasets
from experiments.planning import throughput
from experiments.planning.estimate import Estimate
from experiments.planning.plan import Entry, Plan
from experiments.planning.rehearsal import unplaced
from experiments.training import cost
from tests.support import harness

SEEDS, EPOCHS, IMAGES, STATED = (0, 1), 10, 16, 250.0


def entry(folder: Path, *overrides: str, known: Estimate | None = None) -> Entry:
    told = (f"resources.gmacs_per_second={STATED}", f"output_dir={folder}")
    one = Entry(harness.labelled(harness.composed(*told, *overrides), overrides))
    one.runs, one.cost = True, known or Estimate(None, "no similar trial was measured yet")
    return one


def test_seeds_share_a_count_and_what_was_measured_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    measured = entry(tmp_path, *harness.TINY, "pre=conv3", known=Estimate(1.5, "1 measured"))
    replicas = [
        entry(tmp_path, *harness.TINY, f"schedule.epochs={EPOCHS}", "pre=conv5", f"seed={seed}") for seed in SEEDS
    ]
    throughput.fill(Plan((measured, *replicas), ("x",), 2))
    assert measured.cost == Estimate(1.5, "1 measured")
    per_image = cost.training_gmacs(unplaced(replicas[0].trial.settings).model, 96, 96)
    assert per_image is not None
    for one in replicas:
        assert one.cost.gmacs == pytest.approx(per_image * IMAGES * EPOCHS)
        assert one.cost.device_hours == pytest.approx(per_image * IMAGES * EPOCHS / STATED / 3600)
        assert one.cost.source.startswith("multiply-adds of 16 images an epoch, at resources.gmacs_per_second=250;")
    assert capsys.readouterr().out.startswith("counting 1 of 1: faster_rcnn sum pre=conv5 ")


def test_images_are_counted_but_for_cocos_own(tmp_path: Path) -> None:
    """Of a file: those with objects, and large enough, as MMDetection trains on them."""
    root = (f"dataset.root={tmp_path}", f"output_dir={tmp_path / 'outputs'}")
    assert datasets.training_images(harness.settings("dataset=coco", *root)) == 117_266
    assert datasets.training_images(harness.settings("dataset=coco", "dataset.name=mine", *root)) is None
    images = [{"id": n, "file_name": f"{n}.jpg", "width": 90, "height": 90} for n in (1, 2, 3)]
    box = {"category_id": 1, "bbox": [10, 10, 40, 40], "area": 1600, "iscrowd": 0}
    objects = [{**box, "id": n, "image_id": n} for n in (1, 3)]
    file = tmp_path / "annotations" / "instances_train2017.json"
    harness.annotation_file(file, harness.categories("a"), images=images, annotations=objects)
    assert datasets.training_images(harness.settings("dataset=coco", "dataset.name=mine", *root)) == 2
    assert datasets.training_images(harness.settings("dataset=coco", *root)) == 2


def test_data_of_unknown_size_have_no_estimate(tmp_path: Path) -> None:
    one = entry(tmp_path, "profile=coco", "dataset.name=mine", f"dataset.root={tmp_path}")
    throughput.fill(Plan((one,), ("x",), 1))
    assert one.cost == Estimate(None, "the number of images is unknown without the annotation files")
