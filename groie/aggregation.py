"""How the levels become one feature: the rows of the paper's Tables I and II. To add one, extend a base class."""

from typing import Any

import torch
from mmcv.cnn import ConvModule
from mmdet.registry import MODELS
from torch import Tensor

from groie.extractor import AllLevels, OneLevel


@MODELS.register_module()
class SingleLevel(OneLevel):
    """The baseline: the level follows from the RoI's size (FPN's rule; MMDetection's `map_roi_levels`)."""


@MODELS.register_module()
class RandomLevel(OneLevel):
    """Each RoI's level is drawn uniformly, anew at every call, in training and in test (authors' code; Table I).

    Drawn on the CPU from torch's global generator, so that the trial's seed fixes it on any device.
    """

    def map_roi_levels(self, rois: Tensor, num_levels: int) -> Tensor:
        return torch.randint(0, num_levels, (len(rois),)).to(rois.device)


@MODELS.register_module()
class SumLevels(AllLevels):
    """Adds the levels element by element (Tables I-V)."""

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
