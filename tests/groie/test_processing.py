"""The menu of modules: what each computes, how it starts, how many parameters it has, what it refuses."""

import pytest
import torch
from torch import nn

from groie import ConcatLevels, RoIAttention, RoIConv, RoINonLocal, SumLevels
from groie.processing import build_processing
from tests.groie import reference
from tests.groie.inputs import CHANNELS, MENU, assert_equal, plain, randomize

SIZES = [(7, 7), (14, 14), (5, 4), (1, 1), (3, 8)]


def roi_features(size: tuple[int, int], channels: int = CHANNELS) -> torch.Tensor:
    return torch.randn(3, channels, *size, dtype=torch.float64, requires_grad=True)


def check(module: nn.Module, x: torch.Tensor, expected: torch.Tensor) -> None:
    """Output and every gradient of the module agree with the reference's."""
    weight = torch.randn_like(expected)
    leaves = {"x": x, **reference.weights_of(module)}

    def gradients(out: torch.Tensor) -> dict[str, torch.Tensor]:
        return dict(zip(leaves, torch.autograd.grad((out * weight).sum(), list(leaves.values())), strict=True))

    out = module(x)
    assert_equal(out, expected)
    assert_equal(gradients(out), gradients(expected))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kernel_size", [1, 3, 5, 7, 9])
def test_conv_is_relu_of_a_padded_convolution(kernel_size: int, size: tuple[int, int]) -> None:
    module, x = randomize(RoIConv(CHANNELS, kernel_size)), roi_features(size)
    assert module(x).shape == x.shape
    check(module, x, reference.conv(x, reference.weights_of(module)))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("reduction", [1, 2, 4, 100])
def test_nonlocal_equals_its_paper(reduction: int, size: tuple[int, int]) -> None:
    module, x = randomize(RoINonLocal(CHANNELS, reduction)), roi_features(size)
    check(module, x, reference.nonlocal_block(x, reference.weights_of(module)))


@pytest.mark.parametrize(
    ("heads", "kv_stride", "size"),
    [(1, 1, (7, 7)), (2, 2, (7, 7)), (3, 2, (14, 14)), (8, 3, (7, 7)), (2, 3, (4, 4)), (2, 2, (1, 1))],
)
def test_attention_equals_what_the_authors_trained(heads: int, kv_stride: int, size: tuple[int, int]) -> None:
    """With their vertical term: mmdet v1 to mmcv 2 take its query from the transposed cell (mmcv pull request 2742)."""
    module, x = randomize(RoIAttention(CHANNELS, heads, kv_stride)), roi_features(size)
    check(module, x, reference.attention(x, reference.weights_of(module), heads, kv_stride))


def test_attention_differs_from_its_paper_only_in_the_transposed_query() -> None:
    """On features that equal their transpose the two agree; on others they do not."""
    module, x = randomize(RoIAttention(CHANNELS, num_heads=2)), roi_features((7, 7))
    weights = reference.weights_of(module)
    symmetric = x + x.transpose(2, 3)
    assert_equal(module(symmetric), reference.attention(symmetric, weights, 2, 2, transposed=False))
    assert (module(x) - reference.attention(x, weights, 2, 2, transposed=False)).abs().max() > 1e-3


@pytest.mark.parametrize("size", [(5, 4), (3, 8)])
def test_attention_on_unequal_height_and_width_is_refused(size: tuple[int, int]) -> None:
    """Their vertical term has no meaning there; mmcv fails with two tensor sizes and no word on the cause."""
    with pytest.raises(ValueError, match="square"):
        RoIAttention(CHANNELS, num_heads=2)(torch.randn(2, CHANNELS, *size))


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


@pytest.mark.parametrize(
    ("aggregation", "options", "count"),
    [
        (SumLevels, {}, 0),
        (ConcatLevels, {}, 262_400),
        (SumLevels, {"pre": {"type": "RoIConv", "kernel_size": 5}, "post": {"type": "RoIAttention"}}, 1_896_961),
        (SumLevels, {"pre": {"type": "RoIConv", "kernel_size": 5}, "pre_shared": False}, 4 * 1_638_656),
    ],
)
def test_extractor_has_as_many_parameters_as_the_authors(aggregation: type, options: dict, count: int) -> None:
    assert _count(plain(aggregation, channels=256, **options)) == count


@pytest.mark.parametrize("kernel_size", [0, 2, 4, -1, "3", 3.0, None])
def test_kernel_size_that_is_not_odd_is_refused(kernel_size: object) -> None:
    with pytest.raises(ValueError, match=rf"kernel_size={kernel_size!r} .*choose 1, 3, 5, 7"):
        RoIConv(CHANNELS, kernel_size)  # type: ignore[arg-type]


@pytest.mark.parametrize("num_heads", [0, -1, 9, 2.5])
def test_number_of_heads_outside_the_width_is_refused(num_heads: float) -> None:
    with pytest.raises(ValueError, match=rf"num_heads={num_heads} .*8 channels.*choose 1 to 8"):
        RoIAttention(CHANNELS, num_heads)  # type: ignore[arg-type]


@pytest.mark.parametrize("kv_stride", [0, -1, 1.5])
def test_stride_of_the_keys_that_is_no_positive_integer_is_refused(kv_stride: float) -> None:
    """mmcv takes 0 and computes without positions: every offset is multiplied by it."""
    with pytest.raises(ValueError, match=f"kv_stride={kv_stride}"):
        RoIAttention(CHANNELS, num_heads=2, kv_stride=kv_stride)  # type: ignore[arg-type]


@pytest.mark.parametrize("channels", [6, 10])
def test_attention_at_a_width_without_position_embedding_is_refused_when_built(channels: int) -> None:
    """The embedding is C/4 sines and C/4 cosines per axis; mmcv fails at the first batch instead."""
    with pytest.raises(ValueError, match=f"{channels} channels"):
        RoIAttention(channels, num_heads=2)


@pytest.mark.parametrize("reduction", [0, -2, 1.5])
def test_reduction_that_is_no_positive_integer_is_refused(reduction: float) -> None:
    with pytest.raises(ValueError, match=f"reduction={reduction}"):
        RoINonLocal(CHANNELS, reduction)  # type: ignore[arg-type]


def test_no_module_is_the_identity() -> None:
    x = torch.randn(2, CHANNELS, 5, 4)
    assert build_processing(None, CHANNELS)(x) is x


def test_config_is_not_changed_by_building_it() -> None:
    config = {"type": "RoIConv", "kernel_size": 3}
    build_processing(config, CHANNELS)
    assert config == {"type": "RoIConv", "kernel_size": 3}


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
