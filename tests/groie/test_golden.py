"""What stands in for mmcv's operators, against what the compiled ones gave (tests/support/golden.py)."""

import numpy as np
import pytest
import torch
from torch import Tensor

from groie import operators
from tests.support.golden import FILE, OFFSETS, RATIOS, THRESHOLDS
from tests.support.inputs import OBLONG, STRIDES

ARRAYS = {name: torch.from_numpy(array) for name, array in np.load(FILE).items()}
CLOSE = dict(rtol=1e-5, atol=1e-5)  # float32, in another order of adding


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("threshold", THRESHOLDS)
@pytest.mark.parametrize("offset", OFFSETS)
def test_nms_keeps_the_same_boxes_in_the_same_order(tied: bool, threshold: float, offset: int) -> None:
    kept = operators.nms(ARRAYS[f"nms/{tied}/boxes"], ARRAYS[f"nms/{tied}/scores"], threshold, offset)
    expected = ARRAYS[f"nms/{tied}/{threshold}/{offset}"]
    assert kept.tolist() == expected.tolist()
    assert 0 < len(kept) < len(ARRAYS[f"nms/{tied}/boxes"])


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("aligned", [False, True])
def test_roi_align_gives_the_same_features_and_gradients(ratio: int, aligned: bool) -> None:
    level, rois, weight = (ARRAYS[f"align/{name}"] for name in ("level", "rois", "weight"))
    settings = dict(aligned_height=OBLONG[0], aligned_width=OBLONG[1], spatial_scale=1 / STRIDES[0])
    settings |= dict(sampling_ratio=ratio, pool_mode=operators.AVERAGE, aligned=aligned)
    features, gradient, none = torch.full_like(weight, torch.nan), torch.full_like(level, torch.nan), Tensor()
    operators.roi_align_forward(level, rois, features, none, none, **settings)
    operators.roi_align_backward(weight, rois, none, none, gradient, **settings)
    torch.testing.assert_close(features, ARRAYS[f"align/{ratio}/{aligned}/features"], **CLOSE)
    torch.testing.assert_close(gradient, ARRAYS[f"align/{ratio}/{aligned}/gradient"], **CLOSE)
