"""The lighter modules against loops over channels and cells, and their cost by the formula."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from groie import RoIBottleneck, RoIChannelAttention, RoIConv, RoISeparable, RoIStacked
from groie.cost import MultiplyAdds
from groie.processing import build_processing, may_share_a_call
from tests.support.inputs import CHANNELS, assert_equal, randomize

KINDS = (RoISeparable, RoIBottleneck, RoIStacked, RoIChannelAttention)


def convolved(x: Tensor, weight: Tensor, bias: Tensor | None, groups: int = 1) -> Tensor:
    """Returns a convolution, zeros around, one output channel and one cell of the kernel after the other."""
    size, (height, width) = weight.shape[-1], x.shape[2:]
    padded = nn.functional.pad(x, [size // 2] * 4)
    inputs, outputs = x.shape[1] // groups, weight.shape[0] // groups
    maps = []
    for channel in range(weight.shape[0]):
        start = channel // outputs * inputs
        total = torch.zeros_like(x[:, 0])
        for source in range(inputs):
            for dy in range(size):
                for dx in range(size):
                    window = padded[:, start + source, dy : dy + height, dx : dx + width]
                    total = total + weight[channel, source, dy, dx] * window
        maps.append(total if bias is None else total + bias[channel])
    return torch.stack(maps, dim=1)


def relu(x: Tensor) -> Tensor:
    return x * (x > 0)


def by_hand(module: Any, x: Tensor) -> Tensor:
    if isinstance(module, RoISeparable):
        alone, across = module[0], module[1]
        return relu(convolved(convolved(x, alone.weight, None, x.shape[1]), across.weight, across.bias))
    if isinstance(module, RoIBottleneck):
        for layer in list(module)[::2]:
            x = relu(convolved(x, layer.weight, layer.bias))
        return x
    if isinstance(module, RoIStacked):
        for layer in module:
            x = relu(convolved(x, layer.conv.weight, layer.conv.bias))
        return x
    means = [sum(roi[c].flatten()) / roi[c].numel() for roi in x for c in range(x.shape[1])]
    kernel, half, count = module.mix.weight[0, 0], module.mix.weight.numel() // 2, x.shape[1]
    out = []
    for n, roi in enumerate(x):
        for c in range(count):
            near = [(c + k - half, kernel[k]) for k in range(len(kernel)) if 0 <= c + k - half < count]
            out.append(roi[c] / (1 + torch.exp(-sum(weight * means[n * count + place] for place, weight in near))))
    return torch.stack(out).unflatten(0, x.shape[:2])


@pytest.mark.parametrize("kind", KINDS)
def test_module_is_its_definition(kind: type[nn.Module]) -> None:
    torch.manual_seed(0)
    module = randomize(kind(CHANNELS).double())
    x = torch.randn(3, CHANNELS, 5, 4, dtype=torch.float64, requires_grad=True)
    out, expected = module(x), by_hand(module, x)
    assert_equal(out, expected)
    wanted = [x, *module.parameters()]
    weights = torch.randn_like(out)
    for ours, theirs in zip(
        torch.autograd.grad((out * weights).sum(), wanted),
        torch.autograd.grad((expected * weights).sum(), wanted),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("kind", KINDS)
def test_rois_of_all_levels_may_share_a_call(kind: type[nn.Module]) -> None:
    module, x = randomize(kind(CHANNELS).double()), torch.randn(4, CHANNELS, 5, 5, dtype=torch.float64)
    assert may_share_a_call(module)
    assert_equal(module(x), torch.cat([module(one[None]) for one in x]))


def test_costs_are_those_of_the_formulas() -> None:
    c, cells, inner = 64, 49, 16
    wanted = {
        "RoISeparable": (25 * c + c * c, 25 * c + c * c + c),
        "RoIBottleneck": (2 * c * inner + 25 * inner**2, 2 * c * inner + 25 * inner**2 + 2 * inner + c),
        "RoIStacked": (18 * c * c, 18 * c * c + 2 * c),
        "RoIConv": (25 * c * c, 25 * c * c + c),
    }
    for name, (macs, parameters) in wanted.items():
        config = {"type": name, "kernel_size": 5} if name == "RoIConv" else {"type": name}
        module = build_processing(config, c).to("meta")
        with torch.no_grad(), MultiplyAdds(module) as count:
            module(torch.empty(1, c, 7, 7, device="meta"))
        assert count.total == macs * cells
        assert sum(weight.numel() for weight in module.parameters()) == parameters


def test_two_convolutions_see_as_far_as_one_larger() -> None:
    def seen(module: nn.Module) -> set[tuple[int, int]]:
        x = torch.zeros(1, 1, 9, 9, dtype=torch.float64, requires_grad=True)
        for weight in module.parameters():
            nn.init.ones_(weight)
        module(x)[0, 0, 4, 4].backward()
        return {(int(row), int(column)) for row, column in x.grad[0, 0].nonzero()}

    assert seen(RoIStacked(1).double()) == seen(RoIConv(1, 5).double())


@pytest.mark.parametrize(("channels", "size"), [(8, 3), (32, 3), (64, 3), (256, 5), (512, 5)])
def test_neighbours_of_channel_attention_follow_the_papers_rule(channels: int, size: int) -> None:
    """The odd number nearest to log2(C) / 2 + 1 / 2, rounded as the authors' code does."""
    assert RoIChannelAttention(channels).mix.kernel_size == (size,)
    assert abs(math.log2(channels) / 2 + 0.5 - size) <= 1.5


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"type": "RoISeparable", "kernel_size": 4}, "kernel_size=4 is not an odd positive integer"),
        ({"type": "RoIBottleneck", "reduction": 9}, "reduction=9 does not fit 8 channels; choose 1 to 8"),
        ({"type": "RoIBottleneck", "kernel_size": 0}, "kernel_size=0 is not an odd positive integer"),
        ({"type": "RoIStacked", "count": 0}, "count=0 is not a positive integer"),
    ],
)
def test_impossible_arguments_are_refused(config: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        build_processing(config, CHANNELS)
