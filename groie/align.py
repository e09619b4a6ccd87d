"""Checks the inputs of RoIAlign, and brings them into the form that mmcv's operator needs but does not check."""

from collections.abc import Sequence

import torch
from mmdet.models.roi_heads.roi_extractors.base_roi_extractor import BaseRoIExtractor
from torch import Tensor


def check(extractor: BaseRoIExtractor, feats: Sequence[Tensor]) -> None:
    """Raises ValueError if the numbers of levels and strides differ, or a level does not have the extractor's width."""
    strides, width = extractor.featmap_strides, extractor.out_channels
    if len(feats) != len(strides):
        raise ValueError(
            f"{len(feats)} feature levels were given to an extractor of {len(strides)} (featmap_strides={strides}); "
            "pass one level per stride"
        )
    for feat in feats:
        if feat.shape[1] != width:
            raise ValueError(
                f"a feature level has {feat.shape[1]} channels but the extractor has out_channels={width}; "
                "make them equal"
            )


def operands(feats: Sequence[Tensor], rois: Tensor) -> tuple[list[Tensor], Tensor]:
    """Returns levels and RoIs contiguous, in one type, and that type at least float32.

    mmcv reads other layouts as if they were contiguous, refuses RoIs of another type than the levels' and knows no
    bfloat16; and in half precision RoI coordinates would be 0.5 pixels apart from 512 on and 1 pixel from 1,024 on.
    """
    dtype = torch.promote_types(feats[0].dtype, torch.float32)
    return [feat.to(dtype).contiguous() for feat in feats], rois.to(dtype).contiguous()


def no_rois(extractor: BaseRoIExtractor, feats: Sequence[Tensor]) -> Tensor:
    """Returns the features of no RoI, (0, C, h, w), still tied to every input and parameter.

    The tie gives each a zero gradient, so that distributed training does not wait for one that never comes.
    """
    anchor = sum(x.sum() for x in (*feats, *extractor.parameters())) * 0
    size = extractor.roi_layers[0].output_size
    return feats[0].new_zeros((0, extractor.out_channels, *size)) + torch.as_tensor(anchor, dtype=feats[0].dtype)
