"""The start and length of a RoI on a level: RoIAlign's three rules, and the authors' rule as a layer.

| rule | on each axis, in cells of the level | whose |
|---|---|---|
| v1 | from x1 * scale to (x2 + 1) * scale, at least 0 long | MMDetection v1's, which the authors ran: `RoIAlignV1` |
| legacy | from x1 * scale to x2 * scale, at least one cell long | mmcv's with aligned=False |
| aligned | from x1 * scale - 0.5 to x2 * scale - 0.5 | mmcv's with aligned=True |
"""

from typing import Any

import torch
from mmcv.ops import RoIAlign
from mmdet.registry import MODELS
from torch import Tensor


@MODELS.register_module()
class RoIAlignV1(RoIAlign):
    """RoIAlign as MMDetection v1 had it, by mmcv's or torchvision's operator, on any device.

    A RoI ends one pixel of the image after x2 and y2, its width and height are at least 0, and nothing is shifted by
    half a cell. sampling_ratio=0 takes ceil(size / bins) samples a bin and axis, and at least one: v1 took none of an
    empty RoI and divided 0 by 0.

    Args:
        output_size: rows and columns of a pooled RoI, or one number for both.
        spatial_scale: cells of the level per pixel of the image.
        sampling_ratio: samples a bin and axis; 0 for as many as the bin has cells, rounded up.
        use_torchvision: whether torchvision's operator computes it, else mmcv's.
    """

    def __init__(
        self,
        output_size: int | tuple[int, int],
        spatial_scale: float = 1.0,
        sampling_ratio: int = 0,
        use_torchvision: bool = False,
    ) -> None:
        super().__init__(output_size, spatial_scale, sampling_ratio, aligned=True, use_torchvision=use_torchvision)

    def forward(self, feat: Tensor, rois: Tensor) -> Tensor:
        """Returns (N, C, h, w) of a level (images, C, H, W) and RoIs (N, 5: image, x1, y1, x2, y2 in pixels)."""
        # The aligned operator clamps no size, and takes back the half cell that is added here.
        half = 0.5 / self.spatial_scale
        start = rois[:, 1:3] + half
        # The least size that these numbers can tell from 0 has a sample where the ratio is adaptive; 0 would have none.
        least = 4 * torch.finfo(rois.dtype).eps * (start.abs() + 2 * half)
        end = torch.maximum(rois[:, 3:] + (1 + half), start + least)
        return super().forward(feat, torch.cat([rois[:, :1], start, end], dim=1))


def rule_of(layer: RoIAlign) -> str:
    """Returns a layer's rule: v1, legacy or aligned."""
    if isinstance(layer, RoIAlignV1):
        return "v1"
    return "aligned" if layer.aligned else "legacy"


def extent(rule: str, low: Tensor, high: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """Returns start and length on a level, in cells, of RoIs from `low` to `high` in pixels of the image, on an axis.

    The steps are those of v1 and mmcv, in their order, so that samples fall on the same side of every border.
    """
    if rule == "v1":
        start = low * scale
        return start, ((high + 1) * scale - start).clamp(min=0)
    if rule == "legacy":
        start = low * scale
        return start, (high * scale - start).clamp(min=1)
    start = low * scale - 0.5
    return start, high * scale - 0.5 - start


def buildable(roi_layer: dict[str, Any]) -> dict[str, Any]:
    """Returns a pooling layer's config with our class for its name: MMDetection knows only mmcv.ops by name."""
    return {**roi_layer, "type": RoIAlignV1} if roi_layer.get("type") == "RoIAlignV1" else roi_layer
