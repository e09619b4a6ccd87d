"""The layer between FPN and RoI heads: pool -> pre-process -> aggregate -> post-process (paper, Fig. 3).

An aggregation is a class: one that fuses all levels extends `AllLevels`, one that picks a level extends `OneLevel`.
"""

from abc import abstractmethod
from collections.abc import Sequence
from itertools import repeat
from typing import Any

import torch
from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor
from mmdet.models.roi_heads.roi_extractors.base_roi_extractor import BaseRoIExtractor
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint as recomputed

from groie import pooling
from groie.align import check, no_rois, operands
from groie.processing import RoIConv, build_processing, may_share_a_call
from groie.rectified import rectified_sum
from groie.roi_align import RoIAlignV1, buildable

LEVEL_ACTIVATIONS = ("relu", "none")


class AllLevels(BaseRoIExtractor):
    """Pools every RoI from every FPN level, pre-processes each, aggregates them and post-processes the result.

    Args:
        roi_layer: config of the pooling, e.g. `dict(type="RoIAlign", output_size=7, sampling_ratio=2)`: a class of
            mmcv.ops, or "RoIAlignV1" for the authors' (groie/roi_align.py).
        out_channels: channels C of every FPN level and of the result.
        featmap_strides: pixels of the image per cell of each level, finest first; as many as levels are pooled.
        pre: config of the module that runs on each level's RoI features, or None. It keeps C channels.
        post: config of the module that runs on the aggregated features, or None. It keeps C channels.
        level_activation: "relu" applies ReLU to each level just before aggregation, as the authors' code does even
            where there is no pre-processing (their groie.py; absent from the paper's text); "none" does not.
        pre_shared: True for one pre-processing module for all levels (authors' code), False for one per level
            (the paper's words, section III-B).
        checkpoint: True to keep no activation for the backward pass, which computes the forward pass again: less memory
            for more time, the same results. Not for modules that count or average over calls, as BatchNorm does.

    Raises:
        ValueError: a module's width differs from C, or an option is unknown.
    """

    adds = False  # whether `aggregate` is the sum of the levels, which may then be computed in another way

    def __init__(
        self,
        roi_layer: dict,
        out_channels: int,
        featmap_strides: Sequence[int],
        pre: dict | None = None,
        post: dict | None = None,
        level_activation: str = "relu",
        pre_shared: bool = True,
        checkpoint: bool = False,
    ) -> None:
        super().__init__(roi_layer, out_channels, some_levels(featmap_strides))
        if level_activation not in LEVEL_ACTIVATIONS:
            raise ValueError(
                f"level_activation={level_activation!r} is unknown; choose one of {', '.join(LEVEL_ACTIVATIONS)}"
            )
        self.level_activation = nn.ReLU() if level_activation == "relu" else nn.Identity()
        self.pre_module: nn.Module
        if pre_shared:
            self.pre_module = build_processing(pre, out_channels)
        else:
            self.pre_module = nn.ModuleList(build_processing(pre, out_channels) for _ in self.featmap_strides)
        self.post_module = build_processing(post, out_channels)
        self.checkpoint = checkpoint

    def build_roi_layers(self, layer_cfg: dict, featmap_strides: list[int]) -> nn.ModuleList:
        """Returns the pooling of each level."""
        return super().build_roi_layers(buildable(layer_cfg), featmap_strides)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "aggregate" in vars(cls):
            cls.adds = vars(cls).get("adds", False)  # what a base class said of its `aggregate` is not said of this one

    def forward(self, feats: Sequence[Tensor], rois: Tensor, roi_scale_factor: float | None = None) -> Tensor:
        """Returns RoI features (N, C, h, w) of `rois` (N, 5: image index in the batch, x1, y1, x2, y2 in pixels)."""
        check(self, feats)
        if len(rois) == 0:
            return no_rois(self, feats)
        if self.checkpoint and torch.is_grad_enabled():
            return recomputed(self._features, rois, roi_scale_factor, *feats, use_reentrant=False)
        return self._features(rois, roi_scale_factor, *feats)

    def _features(self, rois: Tensor, scale_factor: float | None, *feats: Tensor) -> Tensor:
        rois = rois.to(torch.promote_types(feats[0].dtype, torch.float32))  # half precision knows only whole pixels
        if scale_factor is not None:
            rois = self.roi_rescale(rois, scale_factor)
        one_pass = pooling.fits(self.roi_layers, feats)
        fused = self._in_one_pass(feats, rois) if one_pass else self._level_by_level(feats, rois)
        if not may_share_a_call(self.post_module):  # somebody's own may view it as (N, C * h * w), as heads may
            fused = fused.contiguous()
        return self.post_module(fused).contiguous()

    def _level_by_level(self, feats: Sequence[Tensor], rois: Tensor) -> Tensor:
        """Returns the aggregated features, (N, C, h, w), as the definition has it: on any device, for any pooling."""
        levels, rois = operands(feats, rois)
        per_level = self.pre_module if isinstance(self.pre_module, nn.ModuleList) else repeat(self.pre_module)
        return self.aggregate(
            [
                self.level_activation(pre(pool(level, rois).to(feats[0].dtype)))
                for pool, pre, level in zip(self.roi_layers, per_level, levels, strict=False)
            ]
        )

    def _in_one_pass(self, feats: Sequence[Tensor], rois: Tensor) -> Tensor:
        """Returns what `_level_by_level` does, in as few operations as modules and aggregation permit."""
        pre, layers, dtype = self.pre_module, list(self.roi_layers), feats[0].dtype
        relu = isinstance(self.level_activation, nn.ReLU)
        if self.adds and not relu and isinstance(pre, nn.Identity):
            return pooling.summed(layers, feats, rois).to(dtype)
        if not may_share_a_call(pre):
            per_level = pre if isinstance(pre, nn.ModuleList) else repeat(pre)
            return self.aggregate(
                [
                    self.level_activation(module(pooling.pooled([layer], [feat], rois)[0].to(dtype).contiguous()))
                    for layer, module, feat in zip(layers, per_level, feats, strict=False)
                ]
            )
        stack = pooling.pooled(layers, feats, rois).to(dtype)  # (levels, N, C, h, w)
        together = stack.flatten(0, 1)
        if self.adds and type(pre) is RoIConv:  # its own ReLU makes the level's superfluous
            return rectified_sum(pre(together, activate=False).unflatten(0, stack.shape[:2]))
        processed = pre(together).unflatten(0, stack.shape[:2])
        if self.adds:
            return rectified_sum(processed) if relu else processed.sum(dim=0)
        return self.aggregate(list(self.level_activation(processed)))

    @abstractmethod
    def aggregate(self, levels: list[Tensor]) -> Tensor:
        """Returns one (N, C, h, w) from each level's (N, C, h, w), finest first."""


class OneLevel(SingleRoIExtractor):
    """Pools every RoI from one FPN level, with the same pre- and post-processing around it.

    The level of a RoI is the subclass's choice: `map_roi_levels(rois, num_levels)` returns its index, shape (N,).
    Arguments are those of `AllLevels` where the names agree; finest_scale is in pixels: a RoI with
    sqrt(w * h) < 2 * finest_scale is pooled from level 0, below 4 * finest_scale from level 1, and so on.
    """

    def __init__(
        self,
        roi_layer: dict,
        out_channels: int,
        featmap_strides: Sequence[int],
        pre: dict | None = None,
        post: dict | None = None,
        pre_shared: bool = True,
        finest_scale: float = 56,
        checkpoint: bool = False,
    ) -> None:
        if pre is not None and not pre_shared:
            raise ValueError(
                f"{type(self).__name__} has one pre-processing module, so pre_shared=false does not apply to it; "
                "set pre_shared=true, pre=none, or an aggregation of all levels"
            )
        super().__init__(roi_layer, out_channels, some_levels(featmap_strides), finest_scale)
        self.pre_module = build_processing(pre, out_channels)
        self.post_module = build_processing(post, out_channels)
        self.checkpoint = checkpoint

    def forward(self, feats: Sequence[Tensor], rois: Tensor, roi_scale_factor: float | None = None) -> Tensor:
        """Returns RoI features (N, C, h, w); see `AllLevels.forward`."""
        check(self, feats)
        if len(rois) == 0:
            return no_rois(self, feats)
        pooled = self._pooled(feats, rois, roi_scale_factor).to(feats[0].dtype)
        if self.checkpoint and torch.is_grad_enabled():  # all but the pooling, whose levels may be drawn
            return recomputed(self._processed, pooled, use_reentrant=False)
        return self._processed(pooled)

    def build_roi_layers(self, layer_cfg: dict, featmap_strides: list[int]) -> nn.ModuleList:
        """Returns the pooling of each level."""
        return super().build_roi_layers(buildable(layer_cfg), featmap_strides)

    def map_roi_levels(self, rois: Tensor, num_levels: int) -> Tensor:
        """Returns the level of each RoI, (N,), by its size: FPN's rule as MMDetection has it."""
        if isinstance(self.roi_layers[0], RoIAlignV1):  # v1's level rule added a pixel to widths and heights too
            rois = rois + rois.new_tensor([0, 0, 0, 1, 1])
        return super().map_roi_levels(rois, num_levels)

    def _pooled(self, feats: Sequence[Tensor], rois: Tensor, scale_factor: float | None) -> Tensor:
        """Returns what MMDetection's `forward` does, (N, C, h, w), for parameters of any layout in memory."""
        rois = rois.to(torch.promote_types(feats[0].dtype, torch.float32))
        chosen = self.map_roi_levels(rois, len(feats))
        if scale_factor is not None:
            rois = self.roi_rescale(rois, scale_factor)
        if pooling.uses_kernel(rois) and pooling.fits(self.roi_layers, feats):
            return pooling.of_chosen(list(self.roi_layers), feats, rois, chosen)
        levels, rois = operands(feats, rois)
        pooled = levels[0].new_zeros(len(rois), self.out_channels, *self.roi_layers[0].output_size)
        for number, (layer, level) in enumerate(zip(self.roi_layers, levels, strict=True)):
            (here,) = (chosen == number).nonzero(as_tuple=True)
            if len(here):
                pooled[here] = pooling.by_layer(layer, level, rois[here])
            else:  # a zero gradient, so that distributed training does not wait for one that never comes
                pooled += level[:0].sum()
        return pooled

    def _processed(self, pooled: Tensor) -> Tensor:
        # contiguous, as heads and somebody's own modules may view them
        return self.post_module(self.pre_module(pooled).contiguous()).contiguous()


def some_levels(featmap_strides: Sequence[int]) -> list[int]:
    """Returns the strides as the list that MMDetection wants; ValueError where there is none."""
    if not featmap_strides:
        raise ValueError("featmap_strides is empty; give one stride per FPN level, finest first")
    return list(featmap_strides)
