"""mmcv's RoIAlign, on which everything rests, does what its paper says."""

import pytest
import torch
from mmcv.ops import RoIAlign

from tests.groie import reference
from tests.groie.inputs import OBLONG, STRIDES, assert_equal, pyramid, random_regions, regions


@pytest.mark.parametrize(("sampling_ratio", "aligned"), [(2, True), (0, True), (2, False), (3, True)])
@pytest.mark.parametrize("case", ["none", "many", "random"])
def test_is_the_mean_of_bilinear_samples_per_bin(case: str, sampling_ratio: int, aligned: bool) -> None:
    rois = random_regions(30) if case == "random" else regions(case)
    for feat, stride in zip(pyramid(), STRIDES, strict=True):
        align = RoIAlign(OBLONG, spatial_scale=1 / stride, sampling_ratio=sampling_ratio, aligned=aligned)
        expected = reference.roi_align(feat, rois, OBLONG, stride, sampling_ratio, aligned)
        pooled = align(feat, rois)
        assert_equal(pooled, expected)
        if len(rois):
            weight = torch.randn_like(expected)
            assert_equal(*(torch.autograd.grad((out * weight).sum(), feat)[0] for out in (pooled, expected)))


def test_reference_samples_a_linear_image_exactly() -> None:
    """The reference can be wrong too: where each pixel holds its x, a bin's mean is the x of its centre."""
    centres = (torch.arange(40, dtype=torch.float64) + 0.5) * 4
    feat = centres.expand(1, 1, 24, 40)
    pooled = reference.roi_align(feat, torch.tensor([[0.0, 20.0, 10.0, 60.0, 50.0]]), (5, 4), stride=4)
    assert_equal(pooled[0, 0], torch.tensor([25.0, 35.0, 45.0, 55.0], dtype=torch.float64).expand(5, 4))
