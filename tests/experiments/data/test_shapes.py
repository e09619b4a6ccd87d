"""The embedded data: what its annotations claim is in its pixels, and no crash or race leaves half of it."""

import dataclasses
import math
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import combinations
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from pycocotools import mask
from pycocotools.coco import COCO
from scipy import stats

from experiments.data import shapes, shapes_cache
from experiments.data.shapes_cache import ShapesSpec, ensure_shapes
from experiments.data.shapes_sheet import sheet
from experiments.errors import UserError
from experiments.planning import refusals
from tests.support import harness

ROOT = Path(__file__).parents[3]
SMALL = ShapesSpec(seed=3, train_images=12, val_images=6, image_size=96)
SIZE = 160  # pixels
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools' own
FINER = 4  # rasters per pixel: at one, the tip of a triangle falls between pixels


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ensure_shapes(ShapesSpec(0, 400, 100, SIZE), tmp_path_factory.mktemp("shapes"))


@pytest.fixture(scope="module")
def coco(data: Path) -> dict[str, COCO]:
    return {split: COCO(str(data / "annotations" / f"{split}.json")) for split in ("train", "val")}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def annotations(coco: dict[str, COCO]) -> Iterator[dict]:
    for split in coco.values():
        yield from split.dataset["annotations"]


def raster(annotation: dict) -> np.ndarray:
    """Returns pycocotools' mask of the polygons on a grid FINER times as fine as the image's pixels."""
    polygons = [(FINER * np.array(polygon)).tolist() for polygon in annotation["segmentation"]]
    return mask.decode(mask.merge(mask.frPyObjects(polygons, FINER * SIZE, FINER * SIZE)))


# What it takes to be the same data


def test_asking_for_more_images_keeps_those_there_were(tmp_path: Path) -> None:
    few = contents(ensure_shapes(SMALL, tmp_path))
    many = contents(ensure_shapes(dataclasses.replace(SMALL, train_images=15, val_images=7), tmp_path))
    images = {name: content for name, content in few.items() if name.endswith(".png")}
    assert images == {name: many[name] for name in images}


def test_seeds_and_splits_share_no_image(tmp_path: Path) -> None:
    for seed in (3, 4):
        ensure_shapes(dataclasses.replace(SMALL, seed=seed), tmp_path)
    images = [path.read_bytes() for path in tmp_path.rglob("*.png")]
    assert len(set(images)) == len(images) == 2 * (12 + 6)


def test_another_image_size_shows_the_same_scene() -> None:
    scene = shapes.describe(0, "train", 1)
    small, large = (shapes.draw(scene, size) for size in (SIZE, 4 * SIZE))
    shrunk = cv2.resize(large, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    assert np.abs(shrunk.astype(int) - small).mean() < 6  # of 255; an unrelated scene is above 50
    for a, b in zip(shapes.annotate(scene, SIZE), shapes.annotate(scene, 4 * SIZE), strict=True):
        assert np.array(b["bbox"]) == pytest.approx(4 * np.array(a["bbox"]), abs=0.05)
        assert b["area"] == pytest.approx(16 * a["area"], abs=0.5)


def test_same_version_draws_the_same() -> None:
    """Where this fails, raise VERSION: a folder drawn before the change would be taken for one drawn after it."""
    scene = shapes.describe(0, "train", 1)
    first, *_, last = shapes.annotate(scene, 160)
    assert shapes_cache.VERSION == 1
    assert shapes.draw(scene, 160).mean() == pytest.approx(110.07, abs=0.05)
    assert first["bbox"] == pytest.approx([63.3, 68.46, 77.13, 75.77], abs=0.02)
    assert last["bbox"] == pytest.approx([16.5, 55.73, 22.11, 23.5], abs=0.02)


# What the pixels and the annotations say


def test_boxes_are_tight_around_the_rasterised_polygons(coco: dict[str, COCO]) -> None:
    for annotation in annotations(coco):
        rows, columns = np.nonzero(raster(annotation))
        seen = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]) / FINER
        x, y, width, height = annotation["bbox"]
        assert seen == pytest.approx([x, y, x + width, y + height], abs=1.5)


def test_areas_are_those_of_the_rasterised_polygons(coco: dict[str, COCO]) -> None:
    for annotation in annotations(coco):
        assert raster(annotation).sum() / FINER**2 == pytest.approx(annotation["area"], rel=0.02)
        assert annotation["area"] <= annotation["bbox"][2] * annotation["bbox"][3]


def test_masks_are_what_is_visible(coco: dict[str, COCO]) -> None:
    overlapping = 0
    for split in coco.values():
        for image in split.getImgIds():
            found = split.loadAnns(split.getAnnIds(image))
            for a, b in combinations(found, 2):
                assert (raster(a) & raster(b)).sum() / FINER**2 < 2  # pixels: rounding along the common rim
                overlapping += int(mask.iou([a["bbox"]], [b["bbox"]], [0])[0, 0] > 0)
    assert overlapping > 100  # or the above says nothing


@pytest.mark.parametrize("index", range(8))
def test_the_topmost_objects_pixels_are_its_mask(index: int) -> None:
    scene = shapes.describe(0, "train", index)
    black, white = (np.full(3, value, np.float32) for value in (0, 1))
    painted = []
    for colour in (black, white):
        top = dataclasses.replace(scene.objects[-1], texture="plain", colours=(colour, colour))
        painted.append(shapes.draw(dataclasses.replace(scene, objects=(*scene.objects[:-1], top)), SIZE).astype(int))
    covered = (painted[1] - painted[0]).mean(axis=2) / 255
    assert covered.sum() == pytest.approx(shapes.annotate(scene, SIZE)[-1]["area"], rel=0.06)
    cells = raster(shapes.annotate(scene, SIZE)[-1]).reshape(SIZE, FINER, SIZE, FINER).mean(axis=(1, 3))
    assert np.abs(covered - cells).max() < 0.5


def test_no_object_leaves_the_image(coco: dict[str, COCO]) -> None:
    for annotation in annotations(coco):
        for polygon in annotation["segmentation"]:
            assert len(polygon) >= 6
            assert min(polygon) >= 0
            assert max(polygon) <= SIZE
        x, y, width, height = annotation["bbox"]
        assert min(x, y) >= 0
        assert max(x + width, y + height) <= SIZE + 0.02


def test_every_file_is_there_as_annotated(data: Path, coco: dict[str, COCO]) -> None:
    for split, count in (("train", 400), ("val", 100)):
        images = coco[split].dataset["images"]
        assert len(images) == count
        for image in images:
            assert cv2.imread(str(data / "images" / image["file_name"])).shape == (image["height"], image["width"], 3)
        assert all(annotation["iscrowd"] == 0 for annotation in coco[split].dataset["annotations"])


def test_only_validation_images_may_be_empty(coco: dict[str, COCO]) -> None:
    objects = {split: [len(c.getAnnIds(image)) for image in c.getImgIds()] for split, c in coco.items()}
    assert Counter(objects["train"])[0] == 0
    assert 0 < Counter(objects["val"])[0] < 6
    assert max(objects["train"]) == shapes.MOST_OBJECTS


# What makes it a test of RoI extractors


def sizes(coco: COCO) -> np.ndarray:
    boxes = np.array([annotation["bbox"] for annotation in coco.dataset["annotations"]])
    return np.sqrt(boxes[:, 2] * boxes[:, 3])


@pytest.mark.parametrize("split", ["train", "val"])
def test_every_fpn_level_gets_its_share_of_the_objects(coco: dict[str, COCO], split: str) -> None:
    level = np.clip(np.floor(np.log2(sizes(coco[split]) / (SIZE / 16))), 0, 3).astype(int)
    shares = np.bincount(level, minlength=4) / len(level)
    assert shares.min() > 0.15
    assert shares.max() < 0.35


def test_sizes_are_log_uniform(coco: dict[str, COCO]) -> None:
    low, high = math.log(SIZE * shapes.SMALLEST), math.log(SIZE * shapes.LARGEST)
    assert stats.kstest(np.log(sizes(coco["train"])), stats.uniform(low, high - low).cdf).statistic < 0.05


@pytest.mark.parametrize("split", ["train", "val"])
def test_classes_are_even(coco: dict[str, COCO], split: str) -> None:
    seen = Counter(annotation["category_id"] for annotation in coco[split].dataset["annotations"])
    assert [category["name"] for category in coco[split].loadCats(sorted(seen))] == list(shapes.CLASSES)
    assert stats.chisquare(list(seen.values())).pvalue > 0.001


def test_both_textures_have_one_wavelength_in_small_and_large_objects() -> None:
    """The strongest wave of the picture of an object, by Fourier transform, is 1/24 of the side."""
    for index in range(12):
        scene = shapes.describe(0, "train", index)
        x, y, width, height = (round(v) for v in shapes.annotate(scene, 480)[-1]["bbox"])
        grey = shapes.draw(scene, 480)[y : y + height, x : x + width].mean(axis=2)
        centre = grey[height // 4 : -(height // 4), width // 4 : -(width // 4)]  # inside any outline
        power = np.abs(np.fft.rfft2(centre - centre.mean(), s=(960, 960)))
        row, column = np.unravel_index(power.argmax(), power.shape)
        frequency = math.hypot(np.fft.fftfreq(960)[row], np.fft.rfftfreq(960)[column])
        assert 1 / frequency == pytest.approx(480 / 24, rel=0.2)


def test_the_demo_changes_level_where_the_sizes_do() -> None:
    read = (yaml.safe_load((ROOT / "conf" / name).read_text()) for name in ("profile/demo.yaml", "dataset/shapes.yaml"))
    profile, dataset = read
    assert profile["finest_scale"] == shapes.finest_scale(dataset["image_size"])
    assert profile["image_scale"] == [dataset["image_size"]] * 2


# Whole or not at all


def test_existing_data_set_is_not_drawn_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = ensure_shapes(SMALL, tmp_path)
    monkeypatch.setattr(shapes, "draw", lambda *_: pytest.fail("drawn again"))
    assert ensure_shapes(SMALL, tmp_path) == folder


def test_another_version_is_another_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = SMALL.folder
    monkeypatch.setattr(shapes_cache, "VERSION", shapes_cache.VERSION + 1)
    assert folder != SMALL.folder


def start_together(barrier: Barrier) -> None:
    barrier.wait(timeout=60)


def test_two_processes_at_once_get_one_whole_data_set(tmp_path: Path) -> None:
    spec = dataclasses.replace(SMALL, train_images=100)
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, spawn, start_together, (spawn.Barrier(2),)) as pool:
        answers = [pool.submit(ensure_shapes, spec, tmp_path / "shared") for _ in range(2)]
        folder, other = (answer.result(timeout=120) for answer in answers)
    assert folder == other
    assert contents(folder) == contents(ensure_shapes(spec, tmp_path / "alone"))
    assert sorted(path.name for path in folder.parent.iterdir()) == [folder.name, f"{folder.name}.lock"]


def test_data_set_of_a_killed_process_is_drawn_again(tmp_path: Path) -> None:
    spec = dataclasses.replace(SMALL, train_images=300)
    code = f"from experiments.data.shapes_cache import *; ensure_shapes({spec}, Path({str(tmp_path)!r}))"
    drawing = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)
    while len(list(tmp_path.rglob("*.png"))) < 20:
        assert drawing.poll() is None
        time.sleep(0.01)
    os.kill(drawing.pid, signal.SIGKILL)
    assert drawing.wait() == -signal.SIGKILL
    assert not (tmp_path / spec.folder).exists()
    (next(tmp_path.glob("*.partial")) / "images" / "train" / "stranger.png").touch()
    folder = ensure_shapes(spec, tmp_path)
    assert len(list((folder / "images" / "train").iterdir())) == 300


# The user's mistakes


@pytest.mark.parametrize(
    ("key", "value", "wanted"),
    [
        ("seed", -1, f"0 or more and at most {2**63 - 1}"),
        ("train_images", 0, "1 or more and at most 1000000"),
        ("val_images", "10", "1 or more and at most 1000000"),
        ("image_size", 95, "96 or more and at most 1024"),
        ("image_size", 160.0, "96 or more and at most 1024"),
    ],
)
def test_an_impossible_drawing_is_refused_with_what_is_possible(key: str, value: Any, wanted: str) -> None:
    config = harness.composed()
    with pytest.raises(UserError) as error:
        refusals.validated({**config, "dataset": {**config["dataset"], key: value}})
    assert str(error.value) == f"dataset.{key}={value} is refused; give a whole number, {wanted}"


def test_a_place_that_cannot_be_written_is_named_with_the_remedy(tmp_path: Path) -> None:
    root = tmp_path / "file"
    root.touch()
    with pytest.raises(UserError) as error:
        ensure_shapes(SMALL, root)
    assert str(error.value) == (
        f"shapes cannot be written to {root} (File exists); make room there or set output_dir to another folder"
    )


def test_the_contact_sheet_is_drawn(tmp_path: Path) -> None:
    sheet(tmp_path / "sheet.png", image_size=96, seed=0)
    assert cv2.imread(str(tmp_path / "sheet.png")).std() > 30
