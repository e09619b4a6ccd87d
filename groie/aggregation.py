"""How the levels become one feature: the rows of the paper's Tables I and II. To add one, extend a base class."""

import hashlib
from typing import Any

import torch
from mmcv.cnn import ConvModule
from mmdet.registry import MODELS
from mmengine.dist import get_rank
from torch import Tensor

from groie.extractor import AllLevels, OneLevel


@MODELS.register_module()
class SingleLevel(OneLevel):
    """The baseline: the level follows from the RoI's size (FPN's rule; MMDetection's `map_roi_levels`)."""


@MODELS.register_module()
class RandomLevel(OneLevel):
    """Draws each RoI's level uniformly in every call, in training and in test (authors' code; Table I).

    The draws depend on `seed`, the rank and the number of calls, not on torch's global generator. So a resumed training
    has the same draws as an uninterrupted one, and each evaluation of the same weights draws the same levels.
    """

    draws: Tensor  # training calls so far; kept in checkpoints

    def __init__(self, *args: Any, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.seed = seed
        self.test_draws = 0
        self.register_buffer("draws", torch.zeros((), dtype=torch.int64))

    def train(self, mode: bool = True) -> "RandomLevel":
        self.test_draws = 0
        return super().train(mode)

    def map_roi_levels(self, rois: Tensor, num_levels: int) -> Tensor:
        """Returns the level of each RoI, (N,), drawn on the CPU so that it is the same on any device."""
        if self.training:
            self.draws += 1
            stream = (0, int(self.draws))
        else:
            self.test_draws += 1
            stream = (1, self.test_draws)
        mixed = hashlib.sha256(repr((self.seed, get_rank(), stream)).encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(mixed[:7]))
        return torch.randint(0, num_levels, (len(rois),), generator=generator).to(rois.device)


@MODELS.register_module()
class SumLevels(AllLevels):
    """Adds the levels element by element (Tables I-V)."""

    adds = True

    def aggregate(self, levels: list[Tensor]) -> Tensor:
        total = levels[0]
        for level in levels[1:]:
            total = total + level
        return total


@MODELS.register_module()
class ConcatLevels(AllLevels):
    """Concatenates the levels' channels and reduces them to C by a 1x1 convolution with ReLU (Table II)."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.reduce = ConvModule(len(self.featmap_strides) * self.out_channels, self.out_channels, kernel_size=1)

    def aggregate(self, levels: list[Tensor]) -> Tensor:
        return self.reduce(torch.cat(levels, dim=1))
