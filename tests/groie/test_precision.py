"""Half precision: RoIs are pooled in float32, so that coordinates stay exact; features are rounded once, afterwards.

Inputs are as a detector has them: an image of 1333 x 800 pixels, where half precision knows only whole pixels.
"""

from typing import Any

import pytest
import torch
from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor
from torch import Tensor

from groie import RandomLevel, SingleLevel, SumLevels
from tests.support.inputs import AGGREGATIONS, CHANNELS, STRIDES, assert_equal, plain, roi_align

DTYPES = [torch.half, torch.bfloat16]
# x and y between two numbers of half precision; the sizes fall on different levels
ROIS = torch.tensor(
    [[0, 1201.3, 640.7, 1332.6, 799.4], [0, 1099.6, 513.2, 1130.1, 571.9], [0, 700.4, 520.3, 1320.7, 790.2]],
    dtype=torch.float32,
)


def levels(dtype: torch.dtype) -> list[Tensor]:
    """Returns FPN levels (1, CHANNELS, 800 / stride, 1333 / stride) of random features."""
    shapes = [(1, CHANNELS, 800 // stride, 1333 // stride) for stride in STRIDES]
    return [torch.randn(shape, dtype=torch.float64).to(dtype) for shape in shapes]


def pooled(extractor: Any, feats: list[Tensor], rois: Tensor, dtype: torch.dtype) -> Tensor:
    with torch.no_grad():
        return extractor.eval()([feat.to(dtype) for feat in feats], rois.to(torch.promote_types(dtype, torch.float32)))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("aggregation", [SingleLevel, RandomLevel])
def test_one_level_is_pooled_in_float32_and_rounded(aggregation: type, dtype: torch.dtype) -> None:
    feats, extractor = levels(dtype), plain(aggregation)
    out = pooled(extractor, feats, ROIS, dtype)
    assert out.dtype == dtype
    assert torch.equal(out, pooled(extractor, feats, ROIS, torch.float32).to(dtype))


@pytest.mark.parametrize("dtype", DTYPES)
def test_levels_are_pooled_and_added_in_float32_and_rounded_once(dtype: torch.dtype) -> None:
    feats, extractor = levels(dtype), plain(SumLevels, level_activation="none")
    out = pooled(extractor, feats, ROIS, dtype)
    assert out.dtype == dtype
    assert torch.equal(out, pooled(extractor, feats, ROIS, torch.float32).to(dtype))


def test_half_precision_is_nearer_to_the_truth_than_mmdetections() -> None:
    """Theirs moves a RoI by up to half a pixel, which shows already on the finest level."""
    feats = levels(torch.half)
    truth = pooled(plain(SingleLevel), feats, ROIS, torch.float64)
    theirs = SingleRoIExtractor(roi_align(), CHANNELS, STRIDES)
    errors = [(pooled(e, feats, ROIS, torch.half) - truth).abs().max() for e in (plain(SingleLevel), theirs)]
    assert errors[0] < 2e-3  # rounding of features below 4
    assert errors[1] > 0.05


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_rois_may_be_of_any_type(aggregation: type) -> None:
    """mmcv's operator takes only the features' own; whole pixels are exact in all."""
    whole = torch.tensor([[0, 16, 32, 96, 160], [0, 8, 8, 24, 40]])
    feats, extractor = levels(torch.float32), plain(aggregation)
    expected = pooled(extractor, feats, whole.float(), torch.float32)
    for dtype in (*DTYPES, torch.float32, torch.float64):
        with torch.no_grad():
            assert_equal(extractor.eval()(feats, whole.to(dtype)), expected)
