"""Attention: what mmcv computes with transposed queries, what its paper says with own ones; and what it refuses."""

import pytest
import torch
from mmcv.cnn.bricks import GeneralizedAttention
from torch import Tensor

from groie import RoIAttention, attention
from tests.support import reference
from tests.support.inputs import CHANNELS, assert_equal, gradients, randomize

WIDE = 28  # channels: neither 6 nor 8 heads divide it, so some channels stay unused, as with the paper's 256 and 6


@pytest.fixture(autouse=True, params=[False, True], ids=["of_a_cpu", "of_a_gpu"])
def _path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test runs on the path of a CPU and on a GPU's, which needs no GPU."""
    monkeypatch.setattr(attention, "in_few_launches", lambda _: request.param)


def roi_features(size: tuple[int, int], channels: int = CHANNELS) -> Tensor:
    return torch.randn(2, channels, *size, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("kv_stride", [1, 2, 3])
@pytest.mark.parametrize("heads", [1, 6, 8])
def test_transposed_is_mmcvs_attention_and_loads_its_checkpoint(heads: int, kv_stride: int) -> None:
    theirs = GeneralizedAttention(WIDE, num_heads=heads, kv_stride=kv_stride, attention_type="0100")
    ours = RoIAttention(WIDE, heads, kv_stride, vertical_query="transposed").double()
    ours.load_state_dict(randomize(theirs).state_dict(), strict=True)
    for size in ((7, 7), (14, 14)):
        x = roi_features(size, WIDE)
        out, expected = ours(x), theirs(x)
        assert_equal(out, expected)
        assert_equal(gradients(out, [x], ours), gradients(expected, [x], theirs))


@pytest.mark.parametrize(
    ("vertical_query", "heads", "kv_stride", "size"),
    [
        ("transposed", 1, 1, (7, 7)),
        ("transposed", 3, 2, (5, 5)),
        ("own", 1, 1, (7, 7)),
        ("own", 2, 2, (7, 7)),
        ("own", 8, 3, (4, 4)),
        ("own", 3, 2, (5, 4)),
        ("own", 2, 2, (3, 8)),
        ("own", 2, 3, (1, 6)),
        ("own", 2, 2, (1, 1)),
    ],
)
def test_is_the_papers_sum_over_keys(vertical_query: str, heads: int, kv_stride: int, size: tuple[int, int]) -> None:
    """Query by query and key by key; with transposed queries but for the vertical term's query."""
    module, x = randomize(RoIAttention(CHANNELS, heads, kv_stride, vertical_query)), roi_features(size)
    weights = reference.weights_of(module)
    expected = reference.attention(x, weights, heads, kv_stride, transposed=vertical_query == "transposed")
    out = module(x)
    assert_equal(out, expected)
    assert_equal(gradients(out, [x], module), gradients(expected, [x], module))


def test_the_two_vertical_queries_agree_only_where_features_equal_their_transpose() -> None:
    own = randomize(RoIAttention(CHANNELS, num_heads=2, vertical_query="own"))
    transposed = RoIAttention(CHANNELS, num_heads=2, vertical_query="transposed").double()
    transposed.load_state_dict(own.state_dict())
    x = roi_features((7, 7))
    symmetric = x + x.transpose(2, 3)
    assert_equal(own(symmetric), transposed(symmetric))
    assert (own(x) - transposed(x)).abs().max() > 1e-3


def test_transposed_is_what_is_built_where_nothing_is_said() -> None:
    """It is what the authors trained and what MMDetection's checkpoints mean."""
    assert RoIAttention(CHANNELS, num_heads=2).vertical_query == "transposed"


@pytest.mark.parametrize("size", [(5, 4), (3, 8)])
def test_transposed_on_unequal_height_and_width_is_refused(size: tuple[int, int]) -> None:
    """The vertical term has no meaning there; mmcv fails with two tensor sizes and no word on the cause."""
    told = f"RoIs of {size[0]}x{size[1]} cells are not square; pool to a square or use vertical_query=own"
    with pytest.raises(ValueError, match=told):
        RoIAttention(CHANNELS, num_heads=2)(torch.randn(2, CHANNELS, *size))


@pytest.mark.parametrize("dtype", [torch.half, torch.bfloat16])
def test_half_precision_is_not_worse_than_mmcvs(dtype: torch.dtype) -> None:
    """Positions are embedded in float32 and rounded once; mmcv computes the angles in the features' type."""
    theirs = GeneralizedAttention(WIDE * 4, num_heads=6, attention_type="0100")
    ours = RoIAttention(WIDE * 4)
    ours.load_state_dict(randomize(theirs).state_dict(), strict=True)
    x = torch.randn(8, WIDE * 4, 14, 14).to(dtype)
    exact = ours.double()(x.double())
    errors = []
    for module in (ours.float(), theirs.float()):
        with torch.autocast("cpu", dtype=dtype), torch.no_grad():
            errors.append((module(x).double() - exact).norm() / (exact - x).norm())
    assert errors[0] < errors[1] < 0.1
    with torch.no_grad():
        assert ours.to(dtype)(x).dtype == dtype


@pytest.mark.parametrize("num_heads", [0, -1, 9, 2.5])
def test_number_of_heads_outside_the_width_is_refused(num_heads: float) -> None:
    with pytest.raises(ValueError, match=rf"num_heads={num_heads} .*8 channels.*choose 1 to 8"):
        RoIAttention(CHANNELS, num_heads)  # type: ignore[arg-type]


@pytest.mark.parametrize("kv_stride", [0, -1, 1.5])
def test_stride_of_the_keys_that_is_no_positive_integer_is_refused(kv_stride: float) -> None:
    """mmcv takes 0 and computes without positions: every offset is multiplied by it."""
    with pytest.raises(ValueError, match=rf"kv_stride={kv_stride} is not a positive integer; choose 1, 2, 3"):
        RoIAttention(CHANNELS, num_heads=2, kv_stride=kv_stride)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", ["Own", None, True])
def test_unknown_vertical_query_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=f"vertical_query={value!r} is unknown; choose one of transposed, own"):
        RoIAttention(CHANNELS, num_heads=2, vertical_query=value)  # type: ignore[arg-type]


@pytest.mark.parametrize("channels", [6, 10])
def test_attention_at_a_width_without_position_embedding_is_refused_when_built(channels: int) -> None:
    """The embedding is C/4 sines and C/4 cosines per axis; mmcv fails at the first batch instead."""
    with pytest.raises(ValueError, match=f"{channels} channels; choose a multiple of 4"):
        RoIAttention(channels, num_heads=2)
