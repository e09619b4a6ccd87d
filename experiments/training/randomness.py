"""Every random draw of a training follows from the seed, the epoch and who draws: the rank, or the image.

So a trial that was stopped after any epoch goes on with the draws it would have had, without a saved state of any
generator, and neither how many processes load images nor what was evaluated in between changes what is trained.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

import groie  # noqa: F401 (it stands in for the operators that mmcv lacks)

# isort: split
from mmdet.datasets import CocoDataset
from mmdet.registry import DATASETS


def start_epoch(seed: int, epoch: int, rank: int) -> None:
    """Sets Python's, NumPy's and torch's generators, those of all GPUs too, for one epoch of one rank."""
    torch.cuda.manual_seed_all(_seed_cpu(seed, epoch, rank))


@DATASETS.register_module()
class ReproducibleCocoDataset(CocoDataset):
    """MMDetection's COCO data, each image augmented by draws of its own: a function of seed, epoch and image.

    Args:
        augmentation_seed: the trial's seed.
    """

    def __init__(self, *args: Any, augmentation_seed: int, **kwargs: Any) -> None:
        self.augmentation_seed = augmentation_seed
        # In memory that loading processes share: they outlive an epoch, and must know which one it is.
        self.epoch = torch.zeros((), dtype=torch.int64).share_memory_()
        super().__init__(*args, max_refetch=0, **kwargs)  # else another image would stand in for one that gives None

    def __getitem__(self, index: int) -> dict:
        with _own_draws(self.augmentation_seed, int(self.epoch), index):
            return super().__getitem__(index)


@contextmanager
def _own_draws(*source: int) -> Iterator[None]:
    """Has all draws inside follow from `source` alone, and those outside go on as if there had been none."""
    before = random.getstate(), np.random.get_state(), torch.get_rng_state()
    _seed_cpu(*source)
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
        torch.set_rng_state(before[2])


def _seed_cpu(*source: int) -> int:
    """Seeds the CPU's three generators from whole numbers; returns what torch's got."""
    words = np.random.SeedSequence(source).generate_state(4)
    random.seed(int(words[0]))
    np.random.seed(int(words[1]))
    number = int(words[2]) << 32 | int(words[3])
    torch.default_generator.manual_seed(number)
    return number
