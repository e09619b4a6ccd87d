"""What stands in for mmcv's compiled operators: NMS against a slow loop, and operators that are missing."""

import importlib.metadata
import sys

import pytest
import torch
from torch import Tensor

from groie import nms, one_launch, operators


def slow_nms(boxes: Tensor, scores: Tensor, threshold: float, offset: int) -> list[int]:
    """Each box in the order of its score, dropped where it overlaps one that was kept before."""
    kept: list[int] = []
    for one in scores.sort(descending=True).indices.tolist():
        if all(iou(boxes[one].tolist(), boxes[other].tolist(), offset) <= threshold for other in kept):
            kept.append(one)
    return kept


def iou(a: list[float], b: list[float], offset: int) -> float:
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]) + offset)
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]) + offset)
    areas = [(x2 - x1 + offset) * (y2 - y1 + offset) for x1, y1, x2, y2 in (a, b)]
    return width * height / (sum(areas) - width * height)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.parametrize("count", [0, 1, 40, 300, 600])  # one block of boxes, two, three
def test_nms_keeps_what_a_slow_loop_keeps(count: int, offset: int, tied: bool) -> None:
    corner, size = torch.rand(2, count, 2, dtype=torch.float64) * torch.tensor([200.0, 80.0]).view(2, 1, 1)
    scores = torch.rand(count, dtype=torch.float64)
    if tied:
        scores = (scores * 20).round() / 20
    boxes = torch.cat([corner, corner + size], dim=1)
    kept = nms.nms(boxes, scores, 0.5, offset)
    assert kept.tolist() == slow_nms(boxes, scores, 0.5, offset)
    assert count < 40 or 0 < len(kept) < count  # some are dropped


def test_missing_operator_is_named_with_the_remedy() -> None:
    with pytest.raises(operators.MissingOperatorError, match=r"the operator softnms needs a compiled mmcv; choose"):
        operators.softnms(None)
    with pytest.raises(operators.MissingOperatorError, match="use pool_mode='avg'"):
        operators.roi_align_forward(
            *[torch.empty(0)] * 5,
            aligned_height=1,
            aligned_width=1,
            spatial_scale=1.0,
            sampling_ratio=2,
            pool_mode=0,
            aligned=True,
        )


@pytest.mark.parametrize(
    ("gpu", "triton", "told"),
    [
        (False, True, "groie"),
        (True, False, "torchvision 1.2"),
        (True, True, "torchvision 1.2; RoIs pooled by Triton 1.2"),
    ],
)
def test_record_names_whose_operators_run(gpu: bool, triton: bool, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, operators.PLACE, operators)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    monkeypatch.setattr(one_launch, "available", lambda: triton)
    monkeypatch.setattr(importlib.metadata, "version", lambda _: "1.2")
    assert operators.backend() == told
