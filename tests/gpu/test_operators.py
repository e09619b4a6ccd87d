"""NMS and RoIAlign on a GPU do what ours do on a CPU: the decisions of NMS, features and gradients in float64."""

import pytest
import torch

from groie import nms, operators
from tests.support.inputs import AGGREGATIONS, MENU, RULES, build, pyramid, random_regions, regions, roi_align


def on_gpu(*tensors: torch.Tensor) -> list[torch.Tensor]:
    return [tensor.detach().cuda().requires_grad_(tensor.requires_grad) for tensor in tensors]


@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.parametrize("count", [0, 1, 300, 2000])
def test_nms_keeps_the_same_boxes(count: int, offset: int) -> None:
    corner, size = torch.rand(count, 2) * 200, torch.rand(count, 2) * 80
    boxes, scores = torch.cat([corner, corner + size], dim=1), torch.rand(count)
    kept = operators.nms(*on_gpu(boxes, scores), iou_threshold=0.5, offset=offset)
    assert kept.is_cuda
    assert torch.equal(kept.cpu(), nms.nms(boxes, scores, 0.5, offset))


@pytest.mark.parametrize("ratio", [0, 2])
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_extractor_is_the_one_on_a_cpu(aggregation: type, rule: str, ratio: int) -> None:
    extractor = build(aggregation, roi_layer=roi_align(rule=rule, sampling_ratio=ratio))
    feats, rois = pyramid(), torch.cat([random_regions(40), regions("borders")])
    expected = extractor(feats, rois)
    weight = torch.randn_like(expected)
    wanted = torch.autograd.grad((expected * weight).sum(), feats)
    if aggregation.__name__ == "RandomLevel":
        extractor.draws.zero_()  # the same draws again
    extractor.cuda()
    moved = on_gpu(*feats)
    found = extractor(moved, rois.cuda())
    assert torch.allclose(found.cpu(), expected, rtol=0, atol=1e-9)
    for ours, theirs in zip(torch.autograd.grad((found * weight.cuda()).sum(), moved), wanted, strict=True):
        assert torch.allclose(ours.cpu(), theirs, rtol=0, atol=1e-8)


@pytest.mark.parametrize("module", [name for name in MENU if name != "none"])
def test_modules_are_those_on_a_cpu(module: str) -> None:
    extractor = build(AGGREGATIONS[0], pre=MENU[module], post=MENU[module])
    feats, rois = pyramid(), random_regions(20)
    expected = extractor(feats, rois)
    weight = torch.randn_like(expected)
    wanted = torch.autograd.grad(expected, [*feats, *extractor.parameters()], weight)
    moved = on_gpu(*feats)
    found = extractor.cuda()(moved, rois.cuda())
    assert torch.allclose(found.cpu(), expected, rtol=0, atol=1e-9)
    grads = torch.autograd.grad(found, [*moved, *extractor.parameters()], weight.cuda())
    for ours, theirs in zip(grads, wanted, strict=True):
        torch.testing.assert_close(ours.cpu(), theirs, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_pools_in_float32(dtype: torch.dtype) -> None:
    extractor = build(AGGREGATIONS[0]).cuda()
    feats, rois = on_gpu(*pyramid(dtype=dtype)), random_regions(20).cuda()
    found = extractor(feats, rois)
    exact = extractor([feat.double() for feat in feats], rois)
    assert found.dtype == dtype
    (grad,) = torch.autograd.grad(found.sum(), feats[:1])
    assert grad.dtype == dtype
    assert torch.allclose(found.double(), exact, rtol=2 * torch.finfo(dtype).eps, atol=2 * torch.finfo(dtype).eps)
