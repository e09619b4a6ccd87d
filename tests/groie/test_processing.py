"""The menu of modules: what each computes, how it starts, how many parameters it has, what it refuses.

Attention has a file of its own.
"""

import re

import pytest
import torch
from torch import nn

from groie import RoIConv, RoINonLocal, SumLevels
from groie.processing import build_processing
from tests.support import reference
from tests.support.inputs import CHANNELS, MENU, assert_equal, gradients, plain, randomize


def roi_features(size: tuple[int, int], channels: int = CHANNELS) -> torch.Tensor:
    return torch.randn(3, channels, *size, dtype=torch.float64, requires_grad=True)


def check(module: nn.Module, x: torch.Tensor, expected: torch.Tensor) -> None:
    """Output and every gradient of the module agree with the reference's."""
    out = module(x)
    assert_equal(out, expected)
    assert_equal(gradients(out, [x], module), gradients(expected, [x], module))


@pytest.mark.parametrize(("kernel_size", "size"), [(1, (7, 7)), (3, (5, 4)), (5, (7, 7)), (5, (1, 3))])
def test_conv_is_relu_of_a_padded_convolution(kernel_size: int, size: tuple[int, int]) -> None:
    module, x = randomize(RoIConv(CHANNELS, kernel_size)), roi_features(size)
    assert module(x).shape == x.shape
    check(module, x, reference.conv(x, reference.weights_of(module)))


@pytest.mark.parametrize(("reduction", "size"), [(1, (5, 4)), (2, (7, 7)), (CHANNELS, (1, 3))])
def test_nonlocal_equals_its_paper(reduction: int, size: tuple[int, int]) -> None:
    module, x = randomize(RoINonLocal(CHANNELS, reduction)), roi_features(size)
    check(module, x, reference.nonlocal_block(x, reference.weights_of(module)))


@pytest.mark.parametrize("kind", ["attention", "nonlocal"])
def test_starts_as_the_identity_also_after_the_detector_initialises_its_weights(kind: str) -> None:
    extractor = plain(SumLevels, pre=MENU[kind], post=MENU[kind])
    x = torch.randn(2, CHANNELS, 5, 5)
    for module in (extractor.pre_module, extractor.post_module):
        assert torch.equal(module(x), x)
    extractor.init_weights()
    for module in (extractor.pre_module, extractor.post_module):
        assert torch.equal(module(x), x)


@pytest.mark.parametrize(
    ("module", "count"),
    [
        ({"type": "RoIConv", "kernel_size": 1}, 65_792),
        ({"type": "RoIConv", "kernel_size": 3}, 590_080),
        ({"type": "RoIConv", "kernel_size": 5}, 1_638_656),
        ({"type": "RoIAttention"}, 258_305),
        ({"type": "RoIAttention", "num_heads": 8}, 262_401),
        ({"type": "RoINonLocal"}, 131_712),
        (None, 0),
    ],
)
def test_has_as_many_parameters_as_the_authors_module(module: dict | None, count: int) -> None:
    assert _count(build_processing(module, 256)) == count


@pytest.mark.parametrize("kernel_size", [0, 2, -1, "3", 3.0, None])
def test_kernel_size_that_is_not_odd_is_refused(kernel_size: object) -> None:
    with pytest.raises(ValueError, match=rf"kernel_size={kernel_size!r} .*choose 1, 3, 5, 7"):
        RoIConv(CHANNELS, kernel_size)  # type: ignore[arg-type]


@pytest.mark.parametrize("reduction", [0, -2, 1.5, CHANNELS + 1])
def test_reduction_outside_the_width_is_refused(reduction: float) -> None:
    """mmcv would raise the inner width to 1 silently."""
    with pytest.raises(ValueError, match=rf"reduction={reduction} .*8 channels; choose 1 to 8"):
        RoINonLocal(CHANNELS, reduction)  # type: ignore[arg-type]


def test_trying_a_module_when_it_is_built_leaves_it_as_built() -> None:
    """It is tried on a copy: a running mean would have counted the trial."""
    module = build_processing({"type": f"{__name__}.Normalised"}, CHANNELS)
    assert module.state_dict()["norm.num_batches_tracked"] == 0
    assert {parameter.device.type for parameter in module.parameters()} == {"cpu"}


@pytest.mark.parametrize(("returned", "told"), [("channels", "(1, 16, 7, 7)"), ("cells", "(1, 8, 5, 5)")])
def test_module_that_changes_the_width_or_the_cells_is_refused_when_built(returned: str, told: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"Changing returns {told} for (1, 8, 7, 7); it must keep channels")):
        build_processing({"type": f"{__name__}.Changing", "what": returned}, CHANNELS)


def test_config_is_not_changed_by_building_it() -> None:
    config = {"type": "RoIConv", "kernel_size": 3}
    build_processing(config, CHANNELS)
    assert config == {"type": "RoIConv", "kernel_size": 3}


class Normalised(nn.Module):
    """A user's module with state."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(x)


class Changing(nn.Conv2d):
    """A user's module that does not keep what it must."""

    def __init__(self, channels: int, what: str) -> None:
        if what == "channels":
            super().__init__(channels, 2 * channels, 1)
        else:
            super().__init__(channels, channels, 3)


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
