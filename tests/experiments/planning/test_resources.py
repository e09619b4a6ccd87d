"""What a trial runs on: the batch belongs to the variant and is shared; ranks change neither trial nor steps."""

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from experiments.errors import UserError
from experiments.paths import TrialPaths
from experiments.planning import resources
from experiments.planning.identity import Trial
from experiments.training import build
from tests.support import harness
from tests.support.mistakes import own_data, present, refusal, refused
from tests.support.running import Preloaded

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.parametrize(
    ("ranks", "images", "divisors"),
    [(8, 12, "1, 2, 3, 4, 6, 12"), (2, 1, "1"), (24, 12, "1, 2, 3, 4, 6, 12"), (3, 7, "1, 7")],
)
def test_ranks_that_cannot_share_the_batch_are_told_which_could(ranks: int, images: int, divisors: str) -> None:
    with pytest.raises(UserError, match=rf"^{ranks} ranks cannot share schedule\.batch_size={images} ") as error:
        resources.share_batch(ranks, images)
    assert f"so that the number of ranks is one of {divisors}, or set" in str(error.value)


def test_every_divisor_shares_the_batch() -> None:
    for ranks in (1, 2, 3, 4, 6, 12):
        resources.share_batch(ranks, 12)


def see(monkeypatch: pytest.MonkeyPatch, gpus: int) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: gpus)
    monkeypatch.setattr("torch.cuda.is_available", lambda: gpus > 0)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda: "Some GPU")


@pytest.mark.parametrize(
    ("there", "asked", "ranks", "device"),
    [
        (0, (), 1, "1 x cpu"),
        (0, ("resources.cpu_processes=4",), 4, "4 x cpu"),
        (0, ("resources.cpu_processes=2", "resources.nodes=3"), 2, "6 x cpu"),
        (4, (), 4, "4 x Some GPU"),
        (4, ("resources.cpu_processes=3",), 4, "4 x Some GPU"),
        (4, ("resources.gpus=2",), 2, "2 x Some GPU"),
        (4, ("resources.gpus=0",), 1, "1 x cpu"),
        (6, ("resources.nodes=2",), 6, "12 x Some GPU"),
    ],
)
def test_ranks_of_a_node_and_the_device_they_are_told_as(
    monkeypatch: pytest.MonkeyPatch, there: int, asked: tuple[str, ...], ranks: int, device: str
) -> None:
    see(monkeypatch, there)
    config = harness.composed("schedule.batch_size=12", *asked)
    assert (resources.ranks_per_node(harness.typed(config)), resources.device(harness.typed(config))) == (ranks, device)


def test_gpus_that_are_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    see(monkeypatch, 2)
    with pytest.raises(UserError, match=r"resources\.gpus=4 but 2 GPUs are visible here; choose 0 to 2, or auto"):
        resources.ranks_per_node(harness.settings("resources.gpus=4"))
    see(monkeypatch, 5)
    with pytest.raises(UserError, match=r"^5 ranks cannot share schedule\.batch_size=12 evenly"):
        resources.ranks_per_node(harness.settings("schedule.batch_size=12"))


def test_any_sharing_is_one_trial_at_one_learning_rate(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The paper's 6 GPUs with 2 images each, at learning rate 0.015; 12 with 1; 4 with 3."""
    trials, built = set(), []
    for there, asked in ((6, ("resources.nodes=1",)), (6, ("resources.nodes=2",)), (8, ("resources.gpus=4",))):
        see(monkeypatch, there)
        config = harness.composed("profile=coco", *asked)
        ranks = resources.ranks_per_node(harness.typed(config)) * config["resources"]["nodes"]
        cfg = build.detector_config(harness.typed(config), harness.splits(tmp_path), TrialPaths(tmp_path), ranks)
        trials.add(Trial(config, ()).trial_id)
        built.append((ranks, cfg.train_dataloader.batch_size, cfg.optim_wrapper.optimizer.lr))
    assert len(trials) == 1
    assert built == [(6, 2, pytest.approx(0.015)), (12, 1, pytest.approx(0.015)), (4, 3, pytest.approx(0.015))]


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("resources.gpus=512", "resources.gpus=512 but"),
        ("resources.cpu_processes=3", "3 ranks cannot share schedule.batch_size=2 evenly; set resources.nodes"),
        (
            "resources.nodes=2",
            "resources.nodes=2 needs one process on each node, but this command has other numbers (processes: 1, ",
        ),
        ("resources.nodes=0", "resources.nodes=0 is refused; give a whole number, 1 or more"),
        ("resources.gpus=-1", "resources.gpus=-1 is refused; give a whole number, 0 or more and at most 1024, or auto"),
    ],
)
def test_refused_before_anything_is_written(preloaded: Preloaded, tmp_path: Path, asked: str, told: str) -> None:
    """The first two have so many ranks that the batch is at fault where GPUs are not."""
    batch = ("schedule.batch_size=512",) if "512" in asked else ()
    gpus = () if "gpus" in asked else ("resources.gpus=0",)
    outputs = tmp_path / "new"
    assert told in refusal(preloaded, *harness.TINY, *batch, *gpus, asked, f"output_dir={outputs}")
    assert present(outputs) == set()


def test_disk_without_room(preloaded: Preloaded, tmp_path: Path) -> None:
    """The nearest folder that exists is asked; both figures are told."""
    config = harness.composed(f"output_dir={tmp_path / 'not' / 'yet'}", "resources.free_gib=999999")
    told = resources.lacking_space(harness.typed(config))
    assert told is not None
    assert told.startswith(f"{tmp_path} has ")
    assert told.endswith("GiB free, less than resources.free_gib=999999; make room, or lower resources.free_gib")
    assert resources.lacking_space(harness.settings(f"output_dir={tmp_path}", "resources.free_gib=0.001")) is None
    assert "free_gib=999999" in refused(preloaded, tmp_path / "new", *harness.TINY, "resources.free_gib=999999")


def symmetric_data(root: Path, images: int = 8) -> list[str]:
    """Makes data of one image many times, equal to its own mirror image; returns what to type for it."""
    draws = np.random.default_rng(0)
    picture = draws.integers(0, 255, (96, 96, 3), dtype=np.uint8)
    picture[20:76, 30:66] = (200, 60, 20)
    picture = np.concatenate([picture[:, :48], picture[:, 47::-1]], axis=1)
    kinds = harness.categories("block")
    (root / "images").mkdir()
    for number in range(1, images + 1):
        cv2.imwrite(str(root / "images" / f"{number}.png"), picture)
    for split, count in (("train", images), ("val", 1)):
        numbers = range(1, count + 1)
        box = {"bbox": [30, 20, 36, 56], "area": 36 * 56, "iscrowd": 0, "category_id": 1}
        harness.annotation_file(
            root / f"{split}.json",
            kinds,
            images=[{"id": n, "file_name": f"{n}.png", "width": 96, "height": 96} for n in numbers],
            annotations=[{"id": n, "image_id": n, **box} for n in numbers],
        )
    return own_data(root, "train.json", "val.json", "images")


@pytest.mark.long
def test_two_ranks_take_the_steps_of_one(
    preloaded: Preloaded, output_folder: Callable[[], Path], tmp_path: Path
) -> None:
    """Real trainings: as many steps, losses and weights as near as sums in another order allow.

    What ranks draw for themselves is which anchors and proposals are learned from; here samplers are larger than
    there are candidates, so that they take all. A rank divides its loss by its own number of these, so the mean over
    ranks is the batch's loss only where images have as many: here all images are one, equal to its mirror image.
    """
    arguments = (
        *(item for item in harness.TINY if not item.startswith("dataset")),
        *symmetric_data(tmp_path),
        "+profile.model.train_cfg.rpn.sampler={num:100000,pos_fraction:1}",
        "++profile.model.train_cfg.rcnn.sampler={num:100000,pos_fraction:1}",
        "schedule.optimizer={type:SGD,lr:0.01}",
        "resources.gpus=0",
    )
    started = {}
    for ranks in (1, 2):
        outputs = output_folder()
        command = preloaded.start(*arguments, f"resources.cpu_processes={ranks}", f"output_dir={outputs}")
        started[ranks] = (command, outputs)
    losses, weights, ids = {}, {}, set()
    for ranks, (command, outputs) in started.items():
        (folder,) = outputs.glob("trials/*") if command.wait().code == 0 else (None,)
        assert folder is not None, command.stdout + command.stderr
        (attempt,) = harness.attempts(folder)
        assert attempt["device"] == f"{ranks} x cpu"
        ids.add(folder.name)
        losses[ranks] = [point for point in harness.journal_metrics(folder) if point[0] == "train/loss"]
        saved = torch.load(folder / "work" / "epoch_2.pth", map_location="cpu", weights_only=False)["state_dict"]
        weights[ranks] = {name: value for name, value in saved.items() if "running" not in name}
        assert [
            record["step"] for record in map(json.loads, (folder / "journal.jsonl").open()) if "step" in record
        ] == [1, 2]
    assert len(ids) == 1
    assert [point[1] for point in losses[1]] == [point[1] for point in losses[2]] == list(range(1, 9))
    one, two = ([value for _, _, value, _ in losses[ranks]] for ranks in (1, 2))
    assert two == pytest.approx(one, rel=1e-3)
    assert one[0] > 1.02 * one[-1]  # it learns: another learning rate would tell
    for name, value in weights[1].items():
        torch.testing.assert_close(weights[2][name], value, rtol=1e-3, atol=1e-4)
