"""Maximum, mean and learnt weights of the levels, against loops over each element: outputs and gradients."""

import math

import pytest
import torch
from torch import Tensor

from groie import AllLevels, GatedLevels, MaxLevels, MeanLevels, SoftLevels, SumLevels
from tests.support import reference
from tests.support.inputs import MENU, STRIDES, assert_equal, build, gradients, pyramid, regions

KINDS: list[type[AllLevels]] = [MaxLevels, MeanLevels, GatedLevels, SoftLevels]


def fused(extractor: AllLevels, levels: list[Tensor]) -> Tensor:
    """Returns what the aggregation is defined as, one element after the other."""
    count, channels, height, width = levels[0].shape
    out = torch.zeros_like(levels[0])
    maps = levels
    if isinstance(extractor, SoftLevels):
        first, second = extractor.select[0], extractor.select[2]
        hidden = reference.conv(torch.cat(levels, dim=1), {"conv.weight": first.weight, "conv.bias": first.bias})
        maps = [_conv3(hidden * (hidden > 0), second.weight[n], second.bias[n]) for n in range(len(levels))]
    for roi in range(count):
        for row in range(height):
            for column in range(width):
                values = [level[roi, :, row, column] for level in levels]
                if isinstance(extractor, MaxLevels):
                    cell = torch.stack([max(of_channel) for of_channel in zip(*values, strict=True)])
                elif isinstance(extractor, MeanLevels):
                    cell = sum(values[1:], values[0]) / len(values)
                elif isinstance(extractor, GatedLevels):
                    cell = sum(gate * value for gate, value in zip(extractor.gates, values, strict=True))
                else:
                    weights = [1 / (1 + torch.exp(-one[roi, row, column])) for one in maps]
                    cell = sum(weight * value for weight, value in zip(weights, values, strict=True))
                out = out.index_put(
                    (torch.tensor(roi), torch.arange(channels), torch.tensor(row), torch.tensor(column)), cell
                )
    return out


def _conv3(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Returns a 3x3 convolution to one map, (N, h, w), zeros around."""
    padded = torch.nn.functional.pad(x, (1, 1, 1, 1))
    height, width = x.shape[2:]
    shifted = [
        (weight[:, row, column, None, None] * padded[:, :, row : row + height, column : column + width]).sum(dim=1)
        for row in range(3)
        for column in range(3)
    ]
    return sum(shifted[1:], shifted[0]) + bias


@pytest.mark.parametrize("pre", ["none", "conv3"])
@pytest.mark.parametrize(("activation", "shared"), [("relu", True), ("none", False)])
@pytest.mark.parametrize("kind", KINDS)
def test_aggregation_is_its_definition(kind: type[AllLevels], activation: str, shared: bool, pre: str) -> None:
    extractor = build(kind, pre=MENU[pre], level_activation=activation, pre_shared=shared)
    feats, rois = pyramid(), regions("skips_an_image")
    levels = []
    for level, (feat, stride) in enumerate(zip(feats, STRIDES, strict=True)):
        layer, modules = extractor.roi_layers[0], extractor.pre_module
        pooled = reference.roi_align(feat, rois, layer.output_size, stride, layer.sampling_ratio)
        x = reference.process(pre, modules if shared else modules[level], pooled)
        levels.append(x * (x > 0) if activation == "relu" else x)
    out, expected = extractor(feats, rois), fused(extractor, levels)
    assert_equal(out, expected)
    assert_equal(gradients(out, feats, extractor), gradients(expected, feats, extractor))


def test_gated_sum_begins_as_the_sum() -> None:
    from tests.support.inputs import plain

    feats, rois = pyramid(dtype=torch.float32), regions("many", torch.float32)
    torch.testing.assert_close(plain(GatedLevels)(feats, rois), plain(SumLevels)(feats, rois))


def test_soft_selection_begins_with_xavier_weights() -> None:
    """Uniform within sqrt(6 / (fan in + fan out)), biases zero, as AugFPN's code initializes them."""
    from tests.support.inputs import plain

    for layer in plain(SoftLevels).select[::2]:
        cells = layer.weight[0, 0].numel()
        bound = math.sqrt(6 / (cells * (layer.weight.shape[0] + layer.weight.shape[1])))
        assert 0.9 * bound < layer.weight.abs().max().item() <= bound
        assert not layer.bias.any()
