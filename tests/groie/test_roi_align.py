"""RoIAlign's three rules, on which everything rests, against a slow loop: mmcv's two, and v1's as our layer."""

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from mmcv import ops
from mmcv.ops import RoIAlign

from groie import RoIAlignV1, pooling
from tests.support import reference
from tests.support.inputs import OBLONG, REVERSED, RULES, STRIDES, assert_equal, pyramid, random_regions, regions


def layer(rule: str, stride: int, **options: Any) -> RoIAlign:
    """Returns the pooling layer of a rule at a level."""
    settings = {**RULES[rule], **options}
    kind = {"RoIAlign": RoIAlign, "RoIAlignV1": RoIAlignV1}[settings.pop("type")]
    return kind(OBLONG, spatial_scale=1 / stride, **settings)


def check(align: RoIAlign, feat: torch.Tensor, rois: torch.Tensor, stride: int, rule: str) -> None:
    """Values and gradients of a layer, and of the one pass where it may be taken, are the slow loop's."""
    expected = reference.roi_align(feat, rois, OBLONG, stride, align.sampling_ratio, rule)
    weight = torch.randn_like(expected)
    outs = [align(feat, rois)]
    if len(rois) and pooling.fits([align], [feat]):
        outs.append(pooling.pooled([align], [feat], rois)[0])
    for out in outs:
        assert_equal(out, expected)
        if len(rois):
            assert_equal(
                *(torch.autograd.grad((one * weight).sum(), feat, retain_graph=True)[0] for one in (out, expected))
            )


@pytest.mark.parametrize("sampling_ratio", [0, 1, 2, 3])
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("case", ["none", "many", "borders", "random"])
def test_is_the_mean_of_bilinear_samples_per_bin(case: str, rule: str, sampling_ratio: int) -> None:
    rois = random_regions(30) if case == "random" else regions(case)
    for feat, stride in zip(pyramid(channels=2), STRIDES, strict=True):
        check(layer(rule, stride, sampling_ratio=sampling_ratio), feat, rois, stride, rule)


@pytest.mark.parametrize("sampling_ratio", [0, 2])
@pytest.mark.parametrize("rule", ["v1", "legacy"])
def test_corners_the_wrong_way_round_are_nothing_or_a_cell(rule: str, sampling_ratio: int) -> None:
    rois = torch.tensor(REVERSED, dtype=torch.float64)
    for feat, stride in zip(pyramid(channels=2), STRIDES, strict=True):
        check(layer(rule, stride, sampling_ratio=sampling_ratio), feat, rois, stride, rule)


class TestV1:
    def test_is_mmcvs_legacy_rule_a_pixel_further_where_a_roi_has_a_cell(self) -> None:
        rois = random_regions(200)
        further = rois + torch.tensor([0, 0, 0, 1, 1])
        for feat, stride in zip(pyramid(), STRIDES, strict=True):
            large = ((further[:, 3:] - further[:, 1:3]) >= stride).all(dim=1)
            v1, legacy = (
                layer(rule, stride, sampling_ratio=2)(feat, given)
                for rule, given in (("v1", rois), ("legacy", further))
            )
            assert_equal(v1[large], legacy[large])
            small = (v1 - legacy)[~large].abs().amax(dim=(1, 2, 3))
            assert large.sum() > 50
            assert len(small) > 1
            assert small.median() > 0.3

    @pytest.mark.parametrize("empty", [[0.0, 30, 20, 29, 19], [0.0, 30, 20, 13, 7], [0.0, -60, -60, -90, -90]])
    def test_empty_roi_has_a_sample_where_v1_divided_nothing_by_nothing(self, empty: list[float]) -> None:
        """All its samples are at its corner: a bin is what the level holds there."""
        rois = torch.tensor([empty], dtype=torch.float64)
        for feat, stride in zip(pyramid(), STRIDES, strict=True):
            x, y = (torch.tensor([at / stride], dtype=torch.float64) for at in empty[1:3])
            rows, columns = (reference.hat(at, cells) for at, cells in ((y, feat.shape[2]), (x, feat.shape[3])))
            there = torch.einsum("hy,wx,cyx->c", rows, columns, feat[0])
            for ratio in (0, 2):
                out = layer("v1", stride, sampling_ratio=ratio)(feat, rois)
                assert_equal(out[0], there[:, None, None].expand_as(out[0]))

    @pytest.mark.parametrize("sampling_ratio", [0, 2])
    def test_torchvisions_operator_computes_it_too(self, sampling_ratio: int, monkeypatch: pytest.MonkeyPatch) -> None:
        """A stand-in of its signature and meaning, since torchvision need not be installed: mmcv's aligned operator."""
        calls = []

        def stand_in(input: Any, boxes: Any, output_size: Any, spatial_scale: Any, ratio: int, aligned: bool) -> Any:
            calls.append(aligned)
            return ops.roi_align(input, boxes, output_size, spatial_scale, ratio, "avg", aligned)

        monkeypatch.setitem(sys.modules, "torchvision", ModuleType("torchvision"))
        monkeypatch.setitem(sys.modules, "torchvision.ops", SimpleNamespace(roi_align=stand_in))
        for feat, stride in zip(pyramid(channels=2), STRIDES, strict=True):
            align = layer("v1", stride, sampling_ratio=sampling_ratio, use_torchvision=True)
            check(align, feat, regions("borders"), stride, "v1")
        assert calls == [True] * len(STRIDES)

    def test_in_float32_it_is_as_exact_as_the_numbers(self) -> None:
        feats, rois = pyramid(), regions("borders")
        for feat, stride in zip(feats, STRIDES, strict=True):
            align = layer("v1", stride, sampling_ratio=2)
            exact, out = align(feat, rois), align(feat.float(), rois.float())
            torch.testing.assert_close(out.double(), exact, rtol=1e-4, atol=1e-4)

    @pytest.mark.parametrize("sampling_ratio", [0, 2])
    def test_gradient_is_that_of_differences(self, sampling_ratio: int) -> None:
        feat = torch.randn(2, 1, 4, 5, dtype=torch.float64, requires_grad=True)
        rois = torch.tensor([[0, 3, 2, 11, 30], [1, -9, 5, 2, 5], [1, 8, 8, 8.5, 9]], dtype=torch.float64)
        align = layer("v1", 4, sampling_ratio=sampling_ratio)
        assert torch.autograd.gradcheck(lambda x: align(x, rois), feat)
        if sampling_ratio:
            assert torch.autograd.gradcheck(lambda x: pooling.pooled([align], [x], rois), feat)

    def test_rois_are_left_as_they_were(self) -> None:
        rois = regions("borders")
        before = rois.clone()
        layer("v1", 4, sampling_ratio=2)(pyramid()[0], rois)
        assert torch.equal(rois, before)

    @pytest.mark.parametrize("option", [{"aligned": False}, {"pool_mode": "max"}])
    def test_what_v1_did_not_have_is_refused(self, option: dict[str, Any]) -> None:
        with pytest.raises(TypeError, match=next(iter(option))):
            RoIAlignV1(7, **option)


def test_reference_samples_a_linear_image_exactly() -> None:
    """The reference can be wrong too: where each pixel holds its x, a bin's mean is the x of its centre.

    The pixel's x is its centre's where RoIs are aligned, and its left border's for the others.
    """
    rois = torch.tensor([[0.0, 20.0, 10.0, 60.0, 50.0]])
    for rule, first, centres in (
        ("aligned", 2.0, [25.0, 35.0, 45.0, 55.0]),
        ("legacy", 0.0, [25.0, 35.0, 45.0, 55.0]),
        ("v1", 0.0, [25.125, 35.375, 45.625, 55.875]),  # of a RoI that ends at 61
    ):
        feat = (torch.arange(40, dtype=torch.float64) * 4 + first).expand(1, 1, 24, 40)
        pooled = reference.roi_align(feat, rois, (5, 4), stride=4, rule=rule)
        assert_equal(pooled[0, 0], torch.tensor(centres, dtype=torch.float64).expand(5, 4))
