"""What the extractor promises: gradients reach everything, also without RoIs; a wrong call ends in one sentence."""

import itertools
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from groie import AllLevels, ConcatLevels, OneLevel, RandomLevel, SingleLevel, SumLevels
from tests.support.inputs import (
    AGGREGATIONS,
    ALL_LEVELS,
    CHANNELS,
    MENU,
    ONE_LEVEL,
    assert_equal,
    build,
    pair,
    plain,
    pyramid,
    random_regions,
    regions,
)

# Each module once before and once after each aggregation: the two places do not know of each other.
PAIRS = [("none", "none"), ("conv3", "attention"), ("nonlocal", "conv3"), ("attention", "nonlocal")]
TRIPLES: list[tuple[type, str, str]] = [
    *((aggregation, *modules) for aggregation in (SumLevels, ConcatLevels, SingleLevel) for modules in PAIRS),
    (RandomLevel, "conv3", "attention"),
]
VARIANTS = [
    pytest.param(aggregation, pair(pre, post), id=f"{aggregation.__name__}-{pre}-{post}")
    for aggregation, pre, post in TRIPLES
] + [
    pytest.param(aggregation, {"pre": MENU["attention"], "pre_shared": False}, id=f"{aggregation.__name__}-per-level")
    for aggregation in ALL_LEVELS
]


TOLERANCE = {torch.bfloat16: 0.03, torch.half: 0.004}  # share of the features; numbers are 0.008 and 0.001 apart


@pytest.mark.parametrize(("aggregation", "options"), VARIANTS)
class TestEveryVariant:
    def test_gradient_reaches_every_parameter_and_level(self, aggregation: type, options: dict[str, Any]) -> None:
        """After a step, because attention and non-local start as identities that pass nothing inward."""
        rule = {"finest_scale": 5} if issubclass(aggregation, OneLevel) else {}  # so that RoIs fall on every level
        extractor, feats, rois = plain(aggregation, **options, **rule).double(), pyramid(), random_regions(40)
        optimizer = torch.optim.SGD([*extractor.parameters(), nn.Parameter(torch.zeros(1))], lr=0.1)
        _loss(extractor(feats, rois)).backward()
        optimizer.step()
        extractor.zero_grad()
        for feat in feats:
            feat.grad = None
        _loss(extractor(feats, rois)).backward()
        sizes = _gradient_sizes(extractor, feats)
        # A bias on non-local's keys adds the same to all energies of a query; softmax takes it away. It never learns.
        inert = {name for name in sizes if name.endswith("phi.conv.bias")}
        assert not {name for name, size in sizes.items() if size < 1e-12} - inert, sizes

    def test_no_roi_gives_no_features_and_zero_gradients(self, aggregation: type, options: dict[str, Any]) -> None:
        extractor, feats = plain(aggregation, **options), pyramid(dtype=torch.float32)
        out = extractor(feats, regions("none", torch.float32))
        assert out.shape == (0, CHANNELS, *extractor.roi_layers[0].output_size)
        assert out.dtype == torch.float32
        out.sum().backward()
        assert set(_gradient_sizes(extractor, feats).values()) == {0.0}

    def test_trains_under_autocast(self, aggregation: type, options: dict[str, Any]) -> None:
        """With levels in half precision, as a neck under autocast gives them, and in float32."""
        extractor, rois = build(aggregation, **options).float(), random_regions(20).float()
        for dtype, given in itertools.product(TOLERANCE, ("rounded", "float32")):
            feats = pyramid(dtype=dtype if given == "rounded" else torch.float32)
            with torch.no_grad():
                exact = extractor.eval()([feat.float() for feat in feats], rois)
            for batch in (rois, rois[:0]):
                extractor.eval()  # so that an evaluation's draws begin anew
                with torch.autocast("cpu", dtype=dtype):
                    out = extractor(feats, batch)
                _loss(out).backward()
                _gradient_sizes(extractor, feats)
                assert _off(out, exact[: len(batch)]) < TOLERANCE[dtype]

    def test_takes_half_precision_features_and_returns_their_type(
        self, aggregation: type, options: dict[str, Any]
    ) -> None:
        rois = random_regions(20)
        for dtype, tolerance in TOLERANCE.items():
            extractor, feats = build(aggregation, **options).eval(), pyramid(dtype=dtype)
            with torch.no_grad():
                exact = extractor([feat.double() for feat in feats], rois)
                extractor.to(dtype)
                for batch in (rois, rois[:0]):
                    out = extractor.eval()(feats, batch)
                    assert out.dtype == dtype
                    assert _off(out, exact[: len(batch)]) < tolerance


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_wrong_number_of_levels_is_refused(aggregation: type) -> None:
    extractor, feats = build(aggregation), [*pyramid(), *pyramid(1)]
    for levels, case in itertools.product((3, 5), ("none", "many")):
        with pytest.raises(ValueError, match=rf"{levels} feature levels .* extractor of 4 .*pass one level per stride"):
            extractor(feats[:levels], regions(case))


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_features_of_another_width_are_refused(aggregation: type) -> None:
    for case in ("none", "many"):
        with pytest.raises(ValueError, match="has 6 channels but the extractor has out_channels=8; make them equal"):
            build(aggregation)(pyramid(channels=6), regions(case))


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_extractor_of_no_level_is_refused(aggregation: type) -> None:
    with pytest.raises(ValueError, match="featmap_strides"):
        build(aggregation, levels=0)


@pytest.mark.parametrize("value", ["gelu", None, True])
def test_unknown_level_activation_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=f"level_activation={value!r} is unknown; choose one of relu, none"):
        build(SumLevels, level_activation=value)


@pytest.mark.parametrize("aggregation", ONE_LEVEL)
def test_a_module_per_level_is_refused_where_there_is_one_module(aggregation: type) -> None:
    with pytest.raises(
        ValueError, match=rf"{aggregation.__name__} has one .*set pre_shared=true, pre=none, or an aggr"
    ):
        build(aggregation, pre=MENU["conv3"], pre_shared=False)
    build(aggregation, post=MENU["conv3"], pre_shared=False)


@pytest.mark.parametrize("aggregation", [ConcatLevels, SingleLevel])
@pytest.mark.parametrize("place", ["pre", "post"])
class TestUsersModule:
    def test_is_built_by_its_full_path_at_the_extractors_width(
        self, aggregation: type, place: str, users_package: str
    ) -> None:
        """RoIAlign, ReLU, sum and concat keep a factor of two, so before or after them it must show in the output."""
        options: dict[str, Any] = {place: {"type": f"{users_package}.Double", "name_of_its_own": "x"}}
        extractor, feats, rois = build(aggregation, **options), pyramid(), regions("many")
        module = getattr(extractor, f"{place}_module")
        assert (type(module).__name__, module.channels) == ("Double", CHANNELS)
        reference = build(aggregation)
        reference.load_state_dict(extractor.state_dict())
        outs = []
        for one in (extractor, reference):
            if hasattr(one, "reduce"):
                nn.init.zeros_(one.reduce.conv.bias)
            outs.append(one(feats, rois))
        assert_equal(outs[0], 2 * outs[1])


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_layout_in_memory_does_not_matter(aggregation: type) -> None:
    """mmcv's RoIAlign reads both as if contiguous: channels-last levels or a slice of RoIs give wrong values."""
    levels = 1 if issubclass(aggregation, RandomLevel) else 4
    extractor, feats, rois = build(aggregation, levels), pyramid(levels), regions("many")
    strided_rois = torch.cat([rois, rois], dim=1)[:, :5]
    strided_feats = [feat.to(memory_format=torch.channels_last) for feat in feats]
    expected = extractor(feats, rois)
    assert_equal(extractor(strided_feats, rois), expected)
    assert_equal(extractor(feats, strided_rois), expected)


ON_ONE_LEVEL = [[0.0, 13.0, 7.0, 21.0, 19.0], [2.0, 90.0, 20.0, 99.0, 27.0], [0.0, 5.0, 60.0, 30.0, 80.0]]


@pytest.mark.parametrize("rois", [ON_ONE_LEVEL, []], ids=["on one level", "none"])
@pytest.mark.parametrize(("pre", "post"), [("conv3", "none"), ("none", "conv3"), ("nonlocal", "attention")])
@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_weights_in_channels_last_train_a_step(aggregation: type, pre: str, post: str, rois: list) -> None:
    """MMDetection's extractor views its parameters as flat where a level gets no RoI; a head views the features so."""
    feats = pyramid(dtype=torch.float32)
    given = torch.tensor(rois).reshape(-1, 5)
    found = []
    for layout in (torch.contiguous_format, torch.channels_last):
        torch.manual_seed(1)
        extractor = build(aggregation, **pair(pre, post)).float().to(memory_format=layout).eval()
        out = extractor([feat.to(memory_format=layout) for feat in feats], given)
        out.view(len(given), math.prod(out.shape[1:])).square().sum().backward()
        found.append([out, _gradients_of_all(extractor, feats)])
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-4)
    if aggregation is SingleLevel and rois:
        assert not any(found[1][1][f"feats[{level}]"].any() for level in (1, 2, 3))


def test_no_rois_leave_frozen_parameters_alone() -> None:
    extractor, feats = plain(SumLevels, **pair("conv3", "attention")), pyramid(dtype=torch.float32)
    extractor.pre_module.requires_grad_(False)
    extractor([feat.detach() for feat in feats], regions("none", torch.float32)).sum().backward()
    assert extractor.pre_module.conv.weight.grad is None
    assert extractor.post_module.gamma.grad == 0


def test_inputs_are_not_changed() -> None:
    for aggregation in AGGREGATIONS:
        extractor, feats, rois = build(aggregation, **pair("conv3", "conv3")), pyramid(), regions("many")
        before = [feat.detach().clone() for feat in feats], rois.clone()
        extractor(feats, rois, roi_scale_factor=1.3)
        assert all(torch.equal(feat, old) for feat, old in zip(feats, before[0], strict=True))
        assert torch.equal(rois, before[1])


def test_bases_are_what_the_documentation_says() -> None:
    assert all(issubclass(aggregation, AllLevels) for aggregation in ALL_LEVELS)
    assert all(issubclass(aggregation, OneLevel) for aggregation in ONE_LEVEL)
    with pytest.raises(TypeError, match="abstract"):
        plain(AllLevels)
    assert plain(SingleLevel).finest_scale == 56


@pytest.fixture
def users_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    (tmp_path / "someones_own_modules.py").write_text(
        "from torch import nn\n"
        "class Double(nn.Module):\n"
        "    def __init__(self, channels, name_of_its_own):\n"
        "        super().__init__()\n"
        "        self.channels = channels\n"
        "    def forward(self, x):\n"
        "        return 2 * x\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield "someones_own_modules"
    sys.modules.pop("someones_own_modules", None)


def _loss(out: Tensor) -> Tensor:
    return (out if out.dtype == torch.float64 else out.float()).square().mean()


def _off(out: Tensor, exact: Tensor) -> float:
    """Returns the error's share of the features."""
    return ((out.double() - exact).norm() / exact.norm()).nan_to_num().item()


def _gradients_of_all(extractor: nn.Module, feats: list[Tensor]) -> dict[str, Tensor]:
    """Returns and takes away the gradient of every level and parameter; fails where one is missing."""
    leaves = {f"feats[{level}]": feat for level, feat in enumerate(feats)} | dict(extractor.named_parameters())
    missing = [name for name, leaf in leaves.items() if leaf.grad is None]
    assert not missing, f"no gradient for {missing}"
    found = {name: leaf.grad.clone() for name, leaf in leaves.items() if leaf.grad is not None}
    for leaf in leaves.values():
        leaf.grad = None
    return found


def _gradient_sizes(extractor: nn.Module, feats: list[Tensor]) -> dict[str, float]:
    """Returns the largest element of every gradient; fails where one is missing or not finite."""
    sizes = {name: grad.abs().max().item() for name, grad in _gradients_of_all(extractor, feats).items()}
    assert all(size < float("inf") for size in sizes.values()), sizes
    return sizes
