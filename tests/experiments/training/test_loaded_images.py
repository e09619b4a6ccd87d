"""Every image that is trained on or evaluated is compared with its annotation file, also one outside of the sample."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mmdet.registry import DATASETS
from mmengine.registry import DefaultScope
from PIL import Image
from torch.utils.data import DataLoader

from experiments import names
from experiments.data import datasets
from experiments.errors import UserError
from experiments.paths import TrialPaths
from experiments.training import build, randomness  # noqa: F401  (registers the training data set)
from experiments.training import images as step
from experiments.training.failures import failure
from tests.support import harness
from tests.support.pictures import deep, described, only_with_boxes, pixels, turned
from tests.support.running import Preloaded

pytestmark = pytest.mark.filterwarnings("ignore")
SPLITS = ("train", "val")
COUNT, PLACE = 399, 2  # of so many images the sample of 200 has the first two, then every second: not this one


def one_bad_image(root: Path, write: Callable[[Path], Any]) -> list[str]:
    """Makes a data set of good images but for one, which the plan's sample does not have."""
    stated = [("good.png", 96, 64)] * COUNT
    stated[PLACE] = ("bad.png", 96, 64)
    arguments = described(root, stated)
    write(root / "images" / "bad.png")
    Image.fromarray(pixels()).save(root / "images" / "good.png")
    return arguments


def dataset(split: str, folder: Path, *overrides: str) -> Any:
    """Builds what MMDetection loads from, by a trial's own config."""
    config = harness.composed(*overrides, f"output_dir={folder / 'outputs'}")
    cfg = build.detector_config(harness.typed(config), datasets.locate(harness.typed(config)), TrialPaths(folder), 1)
    with DefaultScope.overwrite_default_scope("mmdet"):
        return DATASETS.build(cfg[f"{split}_dataloader"].dataset)


def shrunk(path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(pixels(48, 32)).save(path)


def cut(path: Path) -> None:
    shrunk(path)
    path.write_bytes(path.read_bytes()[:-40])


BAD = {
    "shrunk": (shrunk, "bad.png is loaded with 48x32 pixels, but its annotation file says 96x64: probably it is a"),
    "turned": (
        lambda path: turned(path, 6),
        "bad.png is loaded with 64x96 pixels, but its annotation file says 96x64",
    ),
    "half turned": (lambda path: turned(path, 3), "bad.png asks by its EXIF tag (orientation 3)"),
    "12 bits": (lambda path: path.parent.mkdir() or deep(path, 4095, "grey"), "bad.png is loaded too dark"),
    "cut off": (cut, "bad.png cannot be read by OpenCV: it is a damaged or incomplete PNG file"),
}


@pytest.mark.long
@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("bad", BAD)
def test_bad_image_is_refused_wherever_it_is_loaded(tmp_path: Path, bad: str, split: str) -> None:
    """In this process or another, the reason is the sentence; no other image stands in for it."""
    write, sentence = BAD[bad]
    found = dataset(split, tmp_path, *one_bad_image(tmp_path, write))
    assert "good.png" in found[0]["data_samples"].img_path
    with pytest.raises(UserError) as here:
        found[PLACE]
    assert str(tmp_path / "images" / sentence) in str(here.value)
    with pytest.raises(UserError) as there:
        list(DataLoader(found, batch_size=1, sampler=[0, PLACE], num_workers=1, collate_fn=list))
    for error in (here.value, there.value):
        expected = {"status": names.FAILED, "reason": str(here.value), "transient": False, "memory_at": None}
        assert failure(error, TrialPaths(tmp_path)) == expected


def test_planning_says_the_same(tmp_path: Path) -> None:
    found = dataset("train", tmp_path, *one_bad_image(tmp_path, shrunk))
    with pytest.raises(UserError) as here:
        found[PLACE]
    arguments = described(tmp_path, [("good.png", 96, 64), ("bad.png", 96, 64)], [("good.png", 96, 64)])
    with pytest.raises(UserError) as planned:
        datasets.locate(harness.settings(*arguments, f"output_dir={tmp_path / 'others'}"))
    assert str(planned.value) == str(here.value)


@pytest.mark.parametrize("split", SPLITS)
def test_images_that_turn_as_others_show_are_loaded(tmp_path: Path, split: str) -> None:
    """Orientation 6 with the size of the turned image shows that boxes follow, so a half turn is right, too."""
    arguments = described(tmp_path, [("6.jpg", 64, 96), ("3.jpg", 96, 64), ("square.jpg", 64, 64)])
    stored = pixels(96, 64)
    for name, orientation, width in (("6", 6, 96), ("3", 3, 96), ("square", 8, 64)):
        turned(tmp_path / "images" / f"{name}.jpg", orientation, width)
    found = dataset(split, tmp_path, *arguments, "profile.image_scale=[96,96]")
    loader = found.pipeline.transforms[0]
    for place, picture in enumerate((np.rot90(stored, -1), stored[::-1, ::-1])):
        results = loader(found.get_data_info(place))
        assert abs(results["img"][..., ::-1].astype(float) - picture).mean() < 10  # JPEG is lossy
    loader(found.get_data_info(2))


@pytest.mark.parametrize("architecture", harness.options()["architecture"])
def test_each_architecture_loads_by_the_step_that_compares(tmp_path: Path, architecture: str) -> None:
    config = harness.composed(f"architecture={architecture}")
    cfg = build.detector_config(harness.typed(config), harness.splits(tmp_path), TrialPaths(tmp_path), 1)
    for split in SPLITS:
        steps = [one["type"] for one in cfg[f"{split}_dataloader"].dataset.pipeline]
        assert steps[0] == step.LoadImageAsStated.__name__
        assert not any("Image" in one for one in steps[1:])


def test_no_other_image_stands_in_for_one_without_a_result(tmp_path: Path) -> None:
    """MMDetection's data set would load up to 1,000 others where its pipeline gives None."""
    asked = []
    found = dataset("train", tmp_path, *one_bad_image(tmp_path, shrunk))
    found.pipeline.transforms = [lambda results: asked.append(results["img_id"])]
    with pytest.raises(Exception, match="Cannot find valid image"):
        found[0]
    assert asked == [1]


@pytest.mark.long
@pytest.mark.parametrize(
    ("split", "bad", "loader_workers"), [("train", "cut off", 0), ("train", "shrunk", 1), ("val", "shrunk", 1)]
)
def test_trial_fails_with_the_sentence(
    preloaded: Preloaded, output_folder: Callable[[], Path], tmp_path: Path, split: str, bad: str, loader_workers: int
) -> None:
    """Also where another process loads the image, which sends its exception as the text of a traceback."""
    write, sentence = BAD[bad]
    arguments = one_bad_image(tmp_path, write)
    only_with_boxes(tmp_path / "train.json", {PLACE + 1 if split == "train" else 1})
    outputs = output_folder()
    done = preloaded.run(
        *arguments, *harness.TINY[3:], f"resources.loader_workers={loader_workers}", f"output_dir={outputs}"
    )
    assert done.code == 1, done.stdout + done.stderr
    (run,) = harness.runs(outputs)
    assert run.info.status == names.FAILED
    assert run.data.tags[names.REASON].startswith(str(tmp_path / "images" / sentence))
    assert str(tmp_path / "images" / "bad.png") in done.stdout
