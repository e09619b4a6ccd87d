"""Costs, counted from what runs, equal closed formulas and an obvious loop."""

import itertools
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from mmdet.models.roi_heads.roi_extractors import GenericRoIExtractor, SingleRoIExtractor
from torch import Tensor, nn

from groie import ConcatLevels, OneLevel, RandomLevel, SingleLevel, SumLevels, cost
from tests.support.inputs import AGGREGATIONS, HEIGHT, MENU, RULES, STRIDES, WIDTH, random_regions

ROOT = Path(__file__).parents[2]
CELLS, RATIO, COUNT = 6, 3, 11  # cells a side, samples a cell and side, RoIs: no two alike
OPTIONS = MENU | {
    "conv1": {"type": "RoIConv", "kernel_size": 1},
    "conv5": {"type": "RoIConv", "kernel_size": 5},
    "sparse": {"type": "RoIAttention", "num_heads": 8, "kv_stride": 4},
}
ROIS = random_regions(COUNT)


def build(
    aggregation: type,
    channels: int,
    sampling_ratio: int = RATIO,
    cells: int = CELLS,
    rule: str = "aligned",
    **options: Any,
) -> Any:
    align = {**RULES[rule], "output_size": cells, "sampling_ratio": sampling_ratio}
    return aggregation(roi_layer=align, out_channels=channels, featmap_strides=STRIDES, **options)


def module_cost(settings: dict[str, Any] | None, channels: int, side: int = CELLS) -> tuple[int, int, int]:
    """Returns a module's parameters, its multiply-adds for each RoI of side x side, and those for each call."""
    if settings is None:
        return 0, 0, 0
    cells = side**2
    if settings["type"] == "RoIConv":
        weights = channels * channels * settings["kernel_size"] ** 2
        return weights + channels, cells * weights, 0
    if settings["type"] == "RoINonLocal":
        inner = channels // settings["reduction"]
        weights = 4 * channels * inner  # query, key, value, output
        return weights + 3 * inner + channels, cells * weights + 2 * cells * cells * inner, 0
    keys = math.ceil(side / settings["kv_stride"])  # on each axis
    inner = settings["num_heads"] * (channels // settings["num_heads"])
    embedding = inner * channels // 2  # of an offset on one axis
    parameters = 3 * channels * inner + channels + 2 * embedding + 1  # the output has a bias, and there is a gain
    projections = (2 * cells + keys**2) * channels * inner  # query and output, value
    energies = 2 * cells * keys * inner  # of each query with the offsets on each axis
    return parameters, projections + energies + cells * keys**2 * inner, 2 * side * keys * embedding


def formula(aggregation: type, pre: Any, post: Any, shared: bool, channels: int) -> cost.ExtractorCost:
    levels = 1 if issubclass(aggregation, OneLevel) else len(STRIDES)
    before, after = module_cost(pre, channels), module_cost(post, channels)
    parameters = before[0] * (1 if shared else levels) + after[0]
    each = levels * (before[1] + CELLS**2 * RATIO**2 * 4 * channels) + after[1]
    if aggregation is ConcatLevels:
        parameters += 4 * channels * channels + channels
        each += CELLS**2 * 4 * channels * channels
    return cost.ExtractorCost(parameters, COUNT * each + levels * before[2] + after[2])


@pytest.mark.parametrize(("pre", "post"), list(itertools.product(OPTIONS, OPTIONS)))
@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_every_combination_is_its_formula(pre: str, post: str, aggregation: Any) -> None:
    for shared in (True,) if issubclass(aggregation, OneLevel) else (True, False):
        choice = dict(pre=OPTIONS[pre], post=OPTIONS[post])
        found = cost.of_extractor(build(aggregation, 16, pre_shared=shared, **choice), ROIS, HEIGHT, WIDTH)
        assert found == formula(aggregation, **choice, shared=shared, channels=16)


@pytest.mark.parametrize("group", ["pre", "post"])
def test_menu_is_the_command_lines(group: str) -> None:
    options = {file.stem for file in (ROOT / "conf" / group).glob("*.yaml")}
    lighter = {"separable", "bottleneck", "stacked", "eca"}  # of test_light.py
    assert options - lighter - {"conv"} == OPTIONS.keys() - {"sparse"}  # conv1, conv3 and conv5 are made of conv


def test_size_of_the_paper() -> None:
    """GRoIE on Faster R-CNN: 1,000 RoIs of 7 x 7 cells, 256 channels, 2 x 2 samples a cell."""
    conv, attention = OPTIONS["conv5"], {"type": "RoIAttention", "num_heads": 6, "kv_stride": 2}
    before, after = (module_cost(module, 256, side=7) for module in (conv, attention))
    found = cost.of_extractor(
        build(SumLevels, 256, 2, 7, pre=conv, post=attention), cost.squares(1000, 800, 1344), 800, 1344
    )
    assert found.parameters == before[0] + after[0] == 1_896_961
    assert found.macs == 1000 * (4 * (before[1] + 49 * 4 * 4 * 256) + after[1]) + after[2]


@pytest.mark.parametrize("ratio", [2, 0])
def test_mmdetections_extractors_cost_what_ours_do(ratio: int) -> None:
    rois = random_regions(50)

    def of(aggregation: type, **options: Any) -> cost.ExtractorCost:
        return cost.of_extractor(build(aggregation, 8, ratio, **options), rois, HEIGHT, WIDTH)

    assert of(SingleRoIExtractor) == of(SingleLevel)
    conv = dict(type="ConvModule", in_channels=8, out_channels=8, kernel_size=5, padding=2)
    attention = dict(type="GeneralizedAttention", in_channels=8, num_heads=2, attention_type="0100", kv_stride=2)
    ours = dict(pre=OPTIONS["conv5"], post={"type": "RoIAttention", "num_heads": 2})
    assert of(GenericRoIExtractor, pre_cfg=conv, post_cfg=attention) == of(SumLevels, **ours)


def interpolate(pixels: Tensor, y: float, x: float, weight: float, cell: list[float]) -> int:
    """Adds a bilinear sample of pixels (C, h, w) to a cell; returns the multiply-adds that it took."""
    steps = 0
    y, x = max(y, 0.0), max(x, 0.0)
    for row in (int(y), int(y) + 1):
        for column in (int(x), int(x) + 1):
            share = weight * (1 - abs(y - row)) * (1 - abs(x - column))
            for channel in range(len(cell)):
                cell[channel] += share * pixels[channel, row, column].item()
                steps += 1
    return steps


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("ratio", [0, 1, 3])
def test_interpolation_is_an_obvious_loop(ratio: int, rule: str) -> None:
    """The same loop gives RoIAlign's values, so it counts what RoIAlign does."""
    roi_layer = {**RULES[rule], "output_size": (2, 3), "sampling_ratio": ratio}
    layer = SumLevels(roi_layer, 8, [4]).roi_layers[0]
    feat = torch.randn(1, 2, 12, 12, dtype=torch.float64)
    rois = torch.tensor([[0, 4, 8, 31, 25], [0, 3, 5, 30, 41], [0, 20, 20, 21, 22], [0, 9, 20, 11, 20]]).double()
    steps, result = 0, torch.zeros(len(rois), 2, 2, 3, dtype=torch.float64)
    shift, further, least = {"v1": (0, 1, 0), "legacy": (0, 0, 1), "aligned": (0.5, 0, 0)}[rule]
    for n, (x1, y1, x2, y2) in enumerate(rois[:, 1:].tolist()):
        left, top = x1 / 4 - shift, y1 / 4 - shift
        width, height = max((x2 + further - x1) / 4, least), max((y2 + further - y1) / 4, least)
        down, across = (ratio, ratio) if ratio else (math.ceil(height / 2), math.ceil(width / 3))
        for row, column in itertools.product(range(2), range(3)):
            cell = [0.0, 0.0]
            for v, u in itertools.product(range(down), range(across)):
                y = top + (row + (v + 0.5) / down) * height / 2
                x = left + (column + (u + 0.5) / across) * width / 3
                steps += interpolate(feat[0], y, x, 1 / (down * across), cell)
            result[n, :, row, column] = torch.tensor(cell, dtype=torch.float64)
    torch.testing.assert_close(layer(feat, rois), result, rtol=1e-9, atol=1e-9)
    assert cost.interpolation(layer, rois, channels=2) == steps


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("ratio", [2, 0])
@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_counted_without_memory_is_counted_with(aggregation: Any, ratio: int, rule: str) -> None:
    """What really runs on real features costs the same, and gives what it gives without being counted."""
    modules = dict(pre=OPTIONS["conv3"], post=OPTIONS["nonlocal"])
    extractor = build(aggregation, 8, ratio, rule=rule, **modules).eval()
    feats = [torch.randn(1, 8, HEIGHT // stride, WIDTH // stride) for stride in STRIDES]
    rois = random_regions(20).float()
    rois[:, 0] = 0
    expected = cost.of_extractor(extractor, rois, HEIGHT, WIDTH).macs
    with cost.MultiplyAdds(extractor) as count:
        counted = extractor(feats, rois)
    assert count.total == expected
    if aggregation is not RandomLevel:  # whose next call draws other levels
        assert torch.equal(extractor(feats, rois), counted)


class Mixer(nn.Module):
    """A user's module: a matrix for each cell."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mix = nn.Parameter(torch.randn(CELLS, CELLS, channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        return torch.einsum("nchw,hwcd->ndhw", x, self.mix)


def test_unknown_module_is_counted() -> None:
    extractor = build(SumLevels, 8)
    before = cost.of_extractor(extractor, ROIS, HEIGHT, WIDTH)
    extractor.post_module = Mixer(8)
    after = cost.of_extractor(extractor, ROIS, HEIGHT, WIDTH)
    assert after.parameters - before.parameters == CELLS**2 * 64
    assert after.macs - before.macs == COUNT * CELLS**2 * 64


def test_extractor_is_left_as_it_was() -> None:
    extractor = build(RandomLevel, 8).train()
    before = {name: value.clone() for name, value in extractor.state_dict().items()}
    cost.of_extractor(extractor, ROIS, HEIGHT, WIDTH)
    assert extractor.training
    torch.testing.assert_close(extractor.state_dict(), before)
    assert all("forward" not in vars(layer) for layer in extractor.roi_layers)


def test_squares_are_spread_over_levels_and_images() -> None:
    rois = cost.squares(100, 800, 1333)
    sides = rois[:, 3:] - rois[:, 1:3]
    assert (rois[:, 1:3] >= 0).all()
    assert (rois[:, 3:] <= torch.tensor([1333, 800])).all()
    torch.testing.assert_close(sides[[0, -1]], torch.tensor([[25.0, 25.0], [800.0, 800.0]]), rtol=1e-4, atol=0.0)
    levels = build(SingleLevel, 8).map_roi_levels(rois, 4)
    assert levels.unique().tolist() == [0, 1, 2, 3]
