"""Seeds every random draw of a training from the seed, the epoch, and the rank or the image.

So a trial that resumes after any epoch has the same draws as an uninterrupted one, without a saved state of any
generator. Neither the number of loading processes nor evaluations in between change the training.
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
    """Seeds Python's, NumPy's and torch's generators, including all GPUs', for one epoch of one rank."""
    torch.cuda.manual_seed_all(_seed_cpu(seed, epoch, rank))


@DATASETS.register_module()
class ReproducibleCocoDataset(CocoDataset):
    """MMDetection's COCO data; each image's augmentation depends only on seed, epoch and image.

    Args:
        augmentation_seed: the trial's seed.
    """

    def __init__(self, *args: Any, augmentation_seed: int, **kwargs: Any) -> None:
        self.augmentation_seed = augmentation_seed
        # In memory shared with the loading processes, which live for several epochs and need the current one.
        self.epoch = torch.zeros((), dtype=torch.int64).share_memory_()
        super().__init__(
            *args, max_refetch=0, **kwargs
        )  # else MMDetection would replace an image that gives None by another image

    def __getitem__(self, index: int) -> dict:
        with _own_draws(self.augmentation_seed, int(self.epoch), index):
            return super().__getitem__(index)


@contextmanager
def _own_draws(*source: int) -> Iterator[None]:
    """Makes all draws inside depend only on `source`, and restores the generators afterwards."""
    before = random.getstate(), np.random.get_state(), torch.get_rng_state()
    _seed_cpu(*source)
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
        torch.set_rng_state(before[2])


def _seed_cpu(*source: int) -> int:
    """Seeds the CPU's three generators from whole numbers; returns torch's seed."""
    words = np.random.SeedSequence(source).generate_state(4)
    random.seed(int(words[0]))
    np.random.seed(int(words[1]))
    number = int(words[2]) << 32 | int(words[3])
    torch.default_generator.manual_seed(number)
    return number
