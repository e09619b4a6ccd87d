"""Aggregations that the paper names or that stand beside its own: maximum, mean, learnt weights."""

import torch
from mmdet.registry import MODELS
from mmengine.model import xavier_init
from torch import Tensor, nn

from groie.extractor import AllLevels


@MODELS.register_module()
class MaxLevels(AllLevels):
    """Keeps the largest value of the levels, element by element (PANet's adaptive feature pooling, arXiv 1803.01534).

    PANet puts a layer for each level before it: a module before the aggregation with `pre_shared=False`.
    """

    def aggregate(self, levels: list[Tensor]) -> Tensor:
        return torch.stack(levels).amax(dim=0)


@MODELS.register_module()
class MeanLevels(AllLevels):
    """Averages the levels: the sum at a scale that does not depend on the number of levels."""

    def aggregate(self, levels: list[Tensor]) -> Tensor:
        return torch.stack(levels).mean(dim=0)


@MODELS.register_module()
class GatedLevels(AllLevels):
    """Adds the levels, each times a learnt number that begins at 1: before training it is the sum."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self.gates = nn.Parameter(torch.ones(len(self.featmap_strides)))

    def aggregate(self, levels: list[Tensor]) -> Tensor:
        return torch.einsum("l,lnchw->nchw", self.gates, torch.stack(levels))


@MODELS.register_module()
class SoftLevels(AllLevels):
    """Adds the levels, each times a map of weights that is computed from all of them.

    AugFPN's Soft RoI Selection (arXiv 1912.05384; `SoftRoIExtractor` of its code): a 1x1 convolution to C channels,
    ReLU, a 3x3 convolution to one map for each level, and a sigmoid.
    """

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        levels, channels = len(self.featmap_strides), self.out_channels
        self.select = nn.Sequential(
            nn.Conv2d(levels * channels, channels, 1), nn.ReLU(), nn.Conv2d(channels, levels, 3, padding=1)
        )
        for layer in (self.select[0], self.select[2]):
            xavier_init(layer, distribution="uniform")

    def aggregate(self, levels: list[Tensor]) -> Tensor:
        weights = self.select(torch.cat(levels, dim=1)).sigmoid()  # (N, levels, h, w)
        return (torch.stack(levels, dim=1) * weights.unsqueeze(2)).sum(dim=1)
