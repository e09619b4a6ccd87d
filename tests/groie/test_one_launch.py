"""The GPU's kernels, run by Triton's interpreter on a CPU: values and gradients are the CPU's, to 1e-5 in float32."""

import importlib.util
import os
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

if importlib.util.find_spec("triton") is None:
    pytest.skip("triton is not installed; torch's CUDA builds bring it", allow_module_level=True)
if not torch.cuda.is_available() and os.environ.get("TRITON_INTERPRET") != "1":
    pytest.skip("on a CPU Triton interprets kernels only with TRITON_INTERPRET=1 set before", allow_module_level=True)

from groie import ConcatLevels, SingleLevel, SumLevels, one_launch, pooling
from groie.taps import Grid
from tests.support.inputs import (
    OBLONG,
    REVERSED,
    RULES,
    STRIDES,
    build,
    gradients,
    pair,
    pyramid,
    random_regions,
    regions,
)

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
SCALES = [1 / stride for stride in STRIDES]
CLOSE = {torch.float64: 1e-9, torch.float32: 1e-5, torch.bfloat16: 1e-2, torch.float16: 2e-3}


@pytest.fixture(autouse=True)
def _few_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The interpreter runs one program after the other."""
    if DEVICE == "cpu":
        monkeypatch.setattr(one_launch, "FORWARD", one_launch.Launch(32, 256, 4))
        monkeypatch.setattr(one_launch, "BACKWARD", one_launch.Launch(32, 256, 4))


def check(feats: Sequence[Tensor], rois: Tensor, ratio: int, rule: str, add: bool) -> None:
    """Compares with the CPU's path, which other tests hold to mmcv's operator and to a slow loop."""
    grid = Grid(*OBLONG, ratio, rule)
    expected = pooling._Pool.apply(rois, grid, SCALES[: len(feats)], add, *feats)
    weight = torch.randn_like(expected).to(feats[0].dtype)
    moved = [feat.detach().to(DEVICE).requires_grad_() for feat in feats]
    found = one_launch.pool(rois.to(DEVICE), grid, SCALES[: len(feats)], add, *moved)
    assert found.dtype == feats[0].dtype
    tolerance = CLOSE[feats[0].dtype]
    torch.testing.assert_close(found.cpu().to(expected.dtype), expected, rtol=tolerance, atol=tolerance)
    wanted = torch.autograd.grad(expected, feats, weight.to(expected.dtype))
    for ours, theirs in zip(torch.autograd.grad(found, moved, weight.to(DEVICE)), wanted, strict=True):
        assert ours.dtype == theirs.dtype
        assert ours.stride() == theirs.stride()
        torch.testing.assert_close(ours.cpu(), theirs, rtol=tolerance, atol=4 * tolerance)


def some(count: int = 1) -> Tensor:
    """Returns a few RoIs: random ones, outside the image, without a size."""
    return torch.cat([random_regions(count), regions("outside")[:1], regions("degenerate")[:1]])


@pytest.mark.parametrize(
    ("rule", "ratio", "add"),
    [
        ("v1", 0, True),
        ("v1", 2, False),
        ("legacy", 0, False),
        ("legacy", 2, True),
        ("aligned", 0, True),
        ("aligned", 1, False),
        ("aligned", 2, True),
        ("aligned", 3, True),
    ],
)
def test_is_what_a_cpu_pools(rule: str, ratio: int, add: bool) -> None:
    check(pyramid(dtype=torch.float32), some().float(), ratio, rule, add)


@pytest.mark.parametrize("rule", RULES)
def test_samples_fall_on_the_same_side_of_every_border(rule: str) -> None:
    check(pyramid(), regions("borders")[::12], 2, rule, True)


@pytest.mark.parametrize("rule", ["v1", "legacy"])
def test_takes_corners_the_wrong_way_round(rule: str) -> None:
    check(pyramid(), torch.tensor(REVERSED, dtype=torch.float64), 2, rule, True)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_levels_of_half_precision_are_added_in_float32(dtype: torch.dtype) -> None:
    if dtype is torch.bfloat16 and DEVICE == "cpu":
        pytest.skip("Triton's interpreter has no bfloat16 of NumPy")
    check(pyramid(dtype=dtype), some().float(), 2, "aligned", True)


@pytest.mark.parametrize(("levels", "channels"), [(1, 3), (3, 20), (5, 8)])
def test_any_number_of_levels_and_channels(levels: int, channels: int) -> None:
    feats = [torch.randn(3, channels, 24 // (1 + i), 40 // (1 + i), requires_grad=True) for i in range(levels)]
    grid, rois = Grid(*OBLONG, 2, "aligned"), some(1).float()
    scales = [1 / (4 * (1 + i)) for i in range(levels)]
    expected = pooling._Pool.apply(rois, grid, scales, False, *feats)
    found = one_launch.pool(rois.to(DEVICE), grid, scales, False, *[feat.to(DEVICE) for feat in feats])
    torch.testing.assert_close(found.cpu(), expected, rtol=1e-5, atol=1e-5)


def test_channels_last_levels_are_read_and_given_gradients_in_their_layout() -> None:
    feats = [feat.detach().to(memory_format=torch.channels_last).requires_grad_() for feat in pyramid()]
    check(feats, some(), 2, "aligned", True)


def test_only_levels_that_ask_for_a_gradient_get_one() -> None:
    feats = [feat.detach().to(DEVICE).requires_grad_(number % 2 == 0) for number, feat in enumerate(pyramid())]
    one_launch.pool(some(1).to(DEVICE), Grid(*OBLONG, 2, "aligned"), SCALES, True, *feats).sum().backward()
    assert [feat.grad is None for feat in feats] == [False, True, False, True]


def test_a_region_of_an_image_that_is_not_in_the_batch_reads_no_memory() -> None:
    rois = random_regions(3)
    rois[0, 0], rois[1, 0] = 3, -1
    found = one_launch.pool(
        rois.to(DEVICE), Grid(*OBLONG, 2, "aligned"), SCALES, True, *[f.to(DEVICE) for f in pyramid()]
    )
    assert found[:2].eq(0).all()
    assert found[2].ne(0).any()


def test_the_chosen_level_alone_is_pooled() -> None:
    feats, rois = pyramid(), some(3)
    chosen = torch.arange(len(rois)) % len(feats)
    grid = Grid(*OBLONG, 2, "aligned")
    each = pooling._Pool.apply(rois, grid, SCALES, False, *feats).unflatten(0, (len(feats), -1))
    expected = each[chosen, torch.arange(len(rois))]
    moved = [feat.detach().to(DEVICE).requires_grad_() for feat in feats]
    found = one_launch.pool(rois.to(DEVICE), grid, SCALES, True, *moved, chosen=chosen.to(DEVICE))
    torch.testing.assert_close(found.cpu(), expected, rtol=1e-9, atol=1e-9)
    weight = torch.randn_like(expected)
    for ours, theirs in zip(
        torch.autograd.grad(found, moved, weight.to(DEVICE)), torch.autograd.grad(expected, feats, weight), strict=True
    ):
        torch.testing.assert_close(ours.cpu(), theirs, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("aggregation", [SumLevels, ConcatLevels, SingleLevel])
def test_an_extractor_takes_the_kernel_where_it_is_told_to(aggregation: type, monkeypatch: pytest.MonkeyPatch) -> None:
    extractor = build(aggregation, **pair("conv3", "none"))
    feats, rois = pyramid(), random_regions(3)
    expected = extractor(feats, rois)
    wanted = gradients(expected, feats, extractor)
    launches: list[bool] = []
    launch = one_launch._launch
    monkeypatch.setattr(
        one_launch, "_launch", lambda *given, **by: launches.append(by["backward"]) or launch(*given, **by)
    )
    monkeypatch.setattr(pooling, "uses_kernel", lambda _: True)
    extractor.to(DEVICE)
    moved = [feat.detach().to(DEVICE).requires_grad_() for feat in feats]
    found = extractor(moved, rois.to(DEVICE))
    torch.testing.assert_close(found.cpu(), expected, rtol=1e-9, atol=1e-9)
    leaves = [*moved, *extractor.parameters()]
    generator = torch.Generator().manual_seed(7)
    weight = torch.randn(found.shape, generator=generator, dtype=torch.float64).to(DEVICE)
    for ours, theirs in zip(torch.autograd.grad(found, leaves, weight), wanted.values(), strict=True):
        torch.testing.assert_close(ours.cpu(), theirs, rtol=1e-9, atol=1e-8)
    assert launches == [False, True]
