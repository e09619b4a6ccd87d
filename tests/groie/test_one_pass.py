"""All levels in one pass: when it is taken, and that it is the plain path, mmcv's operator level by level, to 1e-9."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import pytest
import torch
from mmcv.ops import RoIAlign
from torch import Tensor, nn

from groie import AllLevels, ConcatLevels, RoIConv, SumLevels, pooling
from groie.operators import MissingOperatorError
from tests.support.inputs import (
    ALL_LEVELS,
    CHANNELS,
    HEIGHT,
    MENU,
    OBLONG,
    ROIS,
    RULES,
    STRIDES,
    WIDTH,
    assert_equal,
    build,
    gradients,
    pair,
    pyramid,
    random_regions,
    regions,
    roi_align,
)

AWKWARD = [  # image, x1, y1, x2, y2
    [0.0, 0.0, 0.0, 0.0, 0.0],
    [1.0, WIDTH, HEIGHT, WIDTH, HEIGHT],  # a point on the last border
    [2.0, -0.5, -0.5, WIDTH + 0.5, HEIGHT + 0.5],
    [0.0, -1e6, -1e6, 1e6, 1e6],  # samples far out on both sides
    [1.0, -1e6, 5.0, -1e5, 9.0],
    [2.0, 20.0, -300.0, 22.0, 400.0],  # thin, and larger than the image
    [2.0, 16.0, 16.0, 48.0, 48.0],  # samples on cells' centres and borders
    [0.0, WIDTH - 1.0, 3.0, WIDTH + 40.0, 90.0],
]


def rois_of(case: str) -> Tensor:
    if case == "random":
        return random_regions(40)
    return torch.tensor(AWKWARD, dtype=torch.float64) if case == "awkward" else regions(case)


SAMPLINGS = [(2, "aligned"), (2, "legacy"), (1, "aligned"), (3, "legacy"), (2, "v1"), (3, "v1")]
SAMPLINGS += [(0, rule) for rule in RULES]
AVERAGES = [
    *(roi_align(rule=rule, sampling_ratio=ratio) for rule in RULES for ratio in (0, 2)),
    roi_align(sampling_ratio=1),
    roi_align() | {"output_size": 7},
]
OTHER = [roi_align() | {"pool_mode": "max"}]


def layers(rule: str = "aligned", sampling_ratio: int = 2, **options: Any) -> list[RoIAlign]:
    """Returns the pooling layers of a rule, one a level."""
    roi_layer = roi_align(rule=rule, sampling_ratio=sampling_ratio) | options
    return list(build(SumLevels, roi_layer=roi_layer).roi_layers)


@contextmanager
def plain_path(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setattr(pooling, "fits", lambda *_: False)
        yield


@pytest.fixture
def operator_calls(monkeypatch: pytest.MonkeyPatch) -> list[RoIAlign]:
    """The layers whose operator ran."""
    calls: list[RoIAlign] = []
    forward = RoIAlign.forward
    monkeypatch.setattr(RoIAlign, "forward", lambda self, *inputs: calls.append(self) or forward(self, *inputs))
    return calls


class TestChoice:
    @pytest.mark.parametrize("roi_layer", AVERAGES)
    @pytest.mark.parametrize("aggregation", ALL_LEVELS)
    def test_one_pass_where_samples_are_averaged(
        self, aggregation: type, roi_layer: dict, operator_calls: list
    ) -> None:
        extractor = aggregation(roi_layer, CHANNELS, STRIDES)
        for dtype in (torch.float64, torch.float32, torch.half, torch.bfloat16):
            extractor.to(dtype)(pyramid(dtype=dtype), regions())
        assert operator_calls == []

    @pytest.mark.parametrize("roi_layer", OTHER)
    @pytest.mark.parametrize("aggregation", ALL_LEVELS)
    def test_level_by_level_where_it_is_another_function(
        self, aggregation: type, roi_layer: dict, operator_calls: list
    ) -> None:
        extractor = aggregation(roi_layer, CHANNELS, STRIDES).double()
        with suppress(MissingOperatorError):  # of a plain mmcv, at the first level
            extractor(pyramid(), regions())
        assert operator_calls in ([extractor.roi_layers[0]], list(extractor.roi_layers))

    def test_level_by_level_where_there_is_no_cpu(self) -> None:
        """On a GPU as on the meta device, where nothing is computed."""
        meta = [feat.to("meta") for feat in pyramid()]
        assert pooling.fits(layers(), pyramid())
        assert not pooling.fits(layers(), meta)

    def test_level_by_level_where_the_operator_is_not_mmcvs(self) -> None:
        assert not pooling.fits(layers(use_torchvision=True), pyramid())
        assert not pooling.fits([nn.Identity(), *layers()], pyramid())

    def test_level_by_level_where_somebody_looks_at_a_layer(self, operator_calls: list) -> None:
        extractor, seen = build(SumLevels), []
        extractor.roi_layers[1].register_forward_hook(lambda *_: seen.append(1))
        extractor(pyramid(), regions())
        assert len(operator_calls) == 4
        assert seen == [1]


class TestPooled:
    @pytest.mark.parametrize(("sampling_ratio", "rule"), SAMPLINGS)
    @pytest.mark.parametrize("case", [*(case for case in ROIS if case != "none"), "random"])
    def test_is_the_layers_operator(self, case: str, sampling_ratio: int, rule: str) -> None:
        self.check(case, sampling_ratio, rule)

    @pytest.mark.parametrize(("sampling_ratio", "rule"), [one for one in SAMPLINGS if one[0]])
    def test_is_the_layers_operator_for_huge_regions(self, sampling_ratio: int, rule: str) -> None:
        """Not where the ratio is adaptive: a RoI of a million pixels would take more samples than memory holds."""
        self.check("awkward", sampling_ratio, rule)

    def check(self, case: str, sampling_ratio: int, rule: str) -> None:
        feats, rois = pyramid(), rois_of(case)
        align = layers(rule, sampling_ratio=sampling_ratio)
        each = torch.stack([layer(feat, rois) for layer, feat in zip(align, feats, strict=True)])
        weight = torch.randn_like(each)
        for ours, theirs, by in (
            (pooling.pooled(align, feats, rois), each, weight),
            (pooling.summed(align, feats, rois), each.sum(dim=0), weight[0]),
        ):
            assert_equal(ours, theirs)
            for one, other in zip(*(torch.autograd.grad(out, feats, by, True) for out in (ours, theirs)), strict=True):
                assert_equal(one, other)

    @pytest.mark.parametrize("dtype", [torch.float32, torch.half, torch.bfloat16])
    def test_is_the_layers_operator_in_float32_for_levels_of_any_type(self, dtype: torch.dtype) -> None:
        feats, rois, align = pyramid(dtype=dtype), random_regions(40).float(), layers()
        out = pooling.pooled(align, feats, rois)
        assert out.dtype == torch.float32
        exact = [feat.detach().float().requires_grad_() for feat in feats]
        expected = torch.stack([layer(feat, rois) for layer, feat in zip(align, exact, strict=True)])
        torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-5)
        weight = torch.randn_like(expected)
        for grad, other in zip(
            torch.autograd.grad(out, feats, weight), torch.autograd.grad(expected, exact, weight), strict=True
        ):
            assert grad.dtype == dtype
            tolerance = {torch.float32: 1e-5}.get(dtype, torch.finfo(dtype).eps)
            torch.testing.assert_close(grad.float(), other, rtol=tolerance, atol=tolerance)

    def test_layout_in_memory_does_not_matter(self) -> None:
        feats, rois, align = pyramid(), random_regions(40), layers()
        expected = pooling.pooled(align, feats, rois)
        weight = torch.randn_like(expected)
        grads = torch.autograd.grad(expected, feats, weight)
        for change in (lambda x: x.to(memory_format=torch.channels_last), lambda x: x.mT.contiguous().mT):
            others = [change(feat.detach()).requires_grad_() for feat in feats]
            out = pooling.pooled(align, others, rois)
            assert_equal(out, expected)
            for one, other in zip(torch.autograd.grad(out, others, weight.contiguous()), grads, strict=True):
                assert_equal(one, other)

    def test_levels_that_ask_for_no_gradient_get_none(self) -> None:
        feats = pyramid()
        for frozen in (0, 2):
            feats[frozen].requires_grad_(False)
        pooling.summed(layers(), feats, random_regions(5)).sum().backward()
        assert [feat.grad is None for feat in feats] == [True, False, True, False]

    def test_same_bits_with_any_number_of_threads(self) -> None:
        feats, rois = pyramid(dtype=torch.float32), random_regions(200).float()
        weight = torch.randn(4, 200, CHANNELS, *OBLONG)
        found = []
        try:
            for threads in (1, 2, 3, 2):
                torch.set_num_threads(threads)
                out = pooling.pooled(layers(), feats, rois)
                found.append([out, *torch.autograd.grad(out, feats, weight)])
        finally:
            torch.set_num_threads(1)
        for others in found[1:]:
            assert all(torch.equal(one, other) for one, other in zip(found[0], others, strict=True))

    @pytest.mark.parametrize("wrong", [[3.0, 1, 1, 5, 5], [-1.0, 1, 1, 5, 5], [0.0, 9, 1, 5, 5], [0.0, 1, 9, 5, 5]])
    def test_roi_of_no_image_or_no_area_is_refused(self, wrong: Sequence[float]) -> None:
        """mmcv reads other memory for the first two and refuses the others, `have non-negative size!`."""
        rois = torch.tensor([[0.0, 1, 1, 5, 5], wrong], dtype=torch.float64)
        with pytest.raises(ValueError, match=r"RoI 1 is \[.*give an image of the batch \(0 to 2\) and x1 <= x2"):
            build(SumLevels)(pyramid(), rois)

    @pytest.mark.parametrize("rule", RULES)
    def test_roi_of_no_numbers_is_refused(self, rule: str) -> None:
        rois = torch.tensor([[0.0, 1, 1, 5, 5], [0.0, 1, float("nan"), 5, 5]], dtype=torch.float64)
        with pytest.raises(ValueError, match=r"RoI 1 is \[.*nan.*give an image of the batch"):
            pooling.pooled(layers(rule), pyramid(), rois)


def same_on_both_paths(
    extractor: Any, monkeypatch: pytest.MonkeyPatch, levels: int = 4, case: str = "many", **scale: float
) -> None:
    feats, rois = pyramid(levels), rois_of(case)
    out = extractor(feats, rois, **scale)
    found = gradients(out, feats, extractor)
    with plain_path(monkeypatch):
        expected = extractor(feats, rois, **scale)
        assert_equal(found, gradients(expected, feats, extractor))
    assert out.is_contiguous()
    assert_equal(out, expected)


class Counting(nn.BatchNorm2d):
    """A user's module whose result depends on the RoIs that it is given together."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.calls: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        self.calls.append(len(x))
        return super().forward(x.view(len(x), -1).view_as(x))  # refuses a layout that it never met before


class Cautious(RoIConv):
    """Extends a module of ours and says nothing of statistics."""

    calls = 0

    def forward(self, x: Tensor, *activate: bool) -> Tensor:
        Cautious.calls += 1
        return super().forward(x, *activate) - x.mean()


class Weighted(SumLevels):
    """An aggregation of a user's that extends ours."""

    def aggregate(self, levels: list[Tensor]) -> Tensor:
        return levels[0] + 2 * levels[1] + 3 * levels[2] + 4 * levels[3]


class TestUsersClasses:
    def test_module_that_promises_nothing_is_given_one_level_a_call(self, monkeypatch: pytest.MonkeyPatch) -> None:
        counting = {"type": f"{__name__}.Counting"}
        extractor = build(SumLevels, pre=counting, post=counting)
        same_on_both_paths(extractor, monkeypatch, case="one")
        assert extractor.pre_module.calls == [1] * 8
        extractor = build(SumLevels, pre={"type": f"{__name__}.Cautious"})
        Cautious.calls = 0
        same_on_both_paths(extractor, monkeypatch)
        assert Cautious.calls == 8

    def test_aggregation_that_extends_ours_is_its_own(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert [cls.adds for cls in (AllLevels, ConcatLevels, SumLevels, Weighted)] == [False, False, True, False]
        for pre in ("none", "conv3"):
            extractor = build(Weighted, pre=MENU[pre], level_activation="none")
            same_on_both_paths(extractor, monkeypatch)
        assert not torch.allclose(extractor(pyramid(), regions()), build(SumLevels)(pyramid(), regions()))


COMPILED = [
    (SumLevels, "none", "none", {}),
    (SumLevels, "conv3", "attention", {}),
    (SumLevels, "conv3", "attention", {"checkpoint": True}),
    (SumLevels, "attention", "nonlocal", {}),
    (ConcatLevels, "nonlocal", "conv3", {"roi_layer": roi_align(rule="v1")}),
]


@pytest.mark.long
@pytest.mark.parametrize(("aggregation", "pre", "post", "options"), COMPILED)
def test_compiles_into_one_graph(aggregation: type, pre: str, post: str, options: dict[str, Any]) -> None:
    torch._dynamo.reset()
    extractor = build(aggregation, **pair(pre, post), **options)
    compiled = torch.compile(extractor, fullgraph=True, backend="aot_eager")
    feats = pyramid()
    for count in (12, 30):
        rois = random_regions(count)
        out, expected = compiled(feats, rois), extractor(feats, rois)
        assert_equal(out, expected)
        assert_equal(gradients(out, feats, extractor), gradients(expected, feats, extractor))


@pytest.mark.parametrize("case", ["none", "many"])
def test_recomputation_is_the_plain_path_too(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    extractor = build(ConcatLevels, **pair("nonlocal", "attention"), checkpoint=True)
    same_on_both_paths(extractor, monkeypatch, case=case)
