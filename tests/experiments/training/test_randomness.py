"""Draws follow from seed, epoch and place: an image's are its own, and loading it leaves every generator alone."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate
from mmengine.registry import DATASETS, DefaultScope
from torch.utils.data import DataLoader

from experiments.data import datasets
from experiments.paths import TrialPaths
from experiments.training import build, images, randomness  # noqa: F401  (registers the loading step)
from tests.support import harness

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("outputs")


def training_data(folder: Path, seed: int = 0) -> Any:
    """Returns the training data of a trial, each image flipped or not, and then changed in brightness by a draw."""
    config = harness.composed(*harness.TINY, f"seed={seed}", f"output_dir={folder}")
    cfg = build.detector_config(harness.typed(config), datasets.locate(harness.typed(config)), TrialPaths(folder), 1)
    settings = cfg.train_dataloader.dataset.to_dict()
    settings["pipeline"].insert(-1, dict(type="PhotoMetricDistortion"))
    with DefaultScope.overwrite_default_scope("mmdet"):
        return DATASETS.build(settings)


def loaded(data: Any, epoch: int, workers: int = 0, **how: Any) -> dict[int, torch.Tensor]:
    """Returns the images of an epoch by their ids, in the order in which they come."""
    data.epoch.fill_(epoch)
    loader = DataLoader(data, batch_size=2, num_workers=workers, collate_fn=pseudo_collate, **how)
    return {
        sample.img_id: inputs
        for batch in loader
        for inputs, sample in zip(batch["inputs"], batch["data_samples"], strict=True)
    }


def same(one: dict[int, torch.Tensor], other: dict[int, torch.Tensor]) -> list[bool]:
    assert one.keys() == other.keys()
    return [torch.equal(image, other[number]) for number, image in one.items()]


@pytest.fixture(scope="module")
def first(folder: Path) -> dict[int, torch.Tensor]:
    return loaded(training_data(folder), epoch=3)


@pytest.mark.parametrize("workers", [1, 2])
def test_loading_processes_make_no_difference(folder: Path, first: dict[int, torch.Tensor], workers: int) -> None:
    assert all(same(loaded(training_data(folder), 3, workers), first))


def test_order_makes_no_difference(folder: Path, first: dict[int, torch.Tensor]) -> None:
    torch.manual_seed(1)
    shuffled = loaded(training_data(folder), 3, shuffle=True)
    assert list(shuffled) != list(first)
    assert all(same(shuffled, first))


@pytest.mark.parametrize(("seed", "epoch"), [(1, 3), (0, 4), (3, 0)])
def test_another_seed_or_epoch_draws_otherwise(
    folder: Path, first: dict[int, torch.Tensor], seed: int, epoch: int
) -> None:
    """(3, 0) too: seed and epoch do not stand in for each other."""
    assert same(loaded(training_data(folder, seed), epoch), first).count(True) <= 2  # a draw may come out equal


def test_images_draw_otherwise_than_each_other(folder: Path) -> None:
    """One and the same image in all places: else all would be flipped, or none."""
    data = training_data(folder)
    real = data.prepare_data
    data.prepare_data = lambda index: real(0)
    drawn = [data[index]["inputs"] for index in range(16)]
    assert len({image.numpy().tobytes() for image in drawn}) >= 14


def test_persistent_loading_processes_learn_the_epoch(folder: Path, first: dict[int, torch.Tensor]) -> None:
    """They live through all epochs, and get the data once."""
    data = training_data(folder)
    loader = DataLoader(data, batch_size=2, num_workers=1, collate_fn=pseudo_collate, persistent_workers=True)
    for epoch in (2, 3):
        data.epoch.fill_(epoch)
        inputs = [image for batch in loader for image in batch["inputs"]]
        equal = [torch.equal(one, other) for one, other in zip(inputs, first.values(), strict=True)]
        assert all(equal) == (epoch == 3)


def draws() -> tuple[float, float, float]:
    return random.random(), float(np.random.random()), float(torch.rand(()))


def test_loading_an_image_leaves_the_generators_alone(folder: Path) -> None:
    data = training_data(folder)
    randomness.start_epoch(0, 0, 0)
    undisturbed = [draws() for _ in range(2)]
    randomness.start_epoch(0, 0, 0)
    disturbed = [draws()]
    for index in range(3):
        data[index]
    assert [*disturbed, draws()] == undisturbed


def test_generators_are_put_back_where_an_image_cannot_be_loaded(folder: Path) -> None:
    data = training_data(folder)
    data.prepare_data = lambda index: (draws(), 1 / 0)
    randomness.start_epoch(0, 0, 0)
    undisturbed = draws()
    randomness.start_epoch(0, 0, 0)
    with pytest.raises(ZeroDivisionError):
        data[0]
    assert draws() == undisturbed


def test_ranks_epochs_and_seeds_draw_otherwise() -> None:
    """In each of the three generators; and the same place draws the same, whatever was drawn before."""
    places = [(seed, epoch, rank) for seed in range(3) for epoch in range(4) for rank in range(4)]
    found = []
    for place in places:
        randomness.start_epoch(*place)
        found.append(draws())
    assert all(len(set(column)) == len(places) for column in zip(*found, strict=True))
    for place, drawn in reversed(list(zip(places, found, strict=True))):
        randomness.start_epoch(*place)
        assert draws() == drawn


def test_largest_seed_is_taken() -> None:
    randomness.start_epoch(2**32 - 1, 10**6, 4095)
    first = draws()
    randomness.start_epoch(2**32 - 1, 10**6, 4095)
    assert draws() == first
