"""The four aggregations against a slow, obvious reference: outputs and the gradients by every level and parameter."""

import itertools
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from groie import AllLevels, ConcatLevels, OneLevel, RandomLevel, SingleLevel, SumLevels, pooling, rectified
from groie.rectified import rectified_sum
from tests.support import reference
from tests.support.inputs import (
    AGGREGATIONS,
    ALL_LEVELS,
    CHANNELS,
    MENU,
    ROIS,
    RULES,
    STRIDES,
    assert_equal,
    build,
    gradients,
    pair,
    pyramid,
    random_regions,
    regions,
    roi_align,
)


def all_levels(
    extractor: AllLevels, feats: list[Tensor], rois: Tensor, pre: str, post: str, relu: bool, rule: str = "aligned"
) -> Tensor:
    """Returns what the authors' code does, level by level (facts: pre, then ReLU, then aggregation, then post)."""
    size, ratio = extractor.roi_layers[0].output_size, extractor.roi_layers[0].sampling_ratio
    levels = []
    for level, (feat, stride) in enumerate(zip(feats, STRIDES, strict=False)):
        pooled = reference.roi_align(feat, rois, size, stride, ratio, rule)
        modules = extractor.pre_module
        x = reference.process(pre, modules[level] if isinstance(modules, torch.nn.ModuleList) else modules, pooled)
        levels.append(x * (x > 0) if relu else x)
    if isinstance(extractor, ConcatLevels):
        fused = reference.conv(torch.cat(levels, dim=1), reference.weights_of(extractor.reduce))
    else:
        fused = torch.stack(levels).sum(dim=0)
    return reference.process(post, extractor.post_module, fused)


def check(extractor: AllLevels, rois: Tensor, pre: str = "none", post: str = "none", relu: bool = True) -> None:
    feats = pyramid(len(extractor.featmap_strides))
    out, expected = extractor(feats, rois), all_levels(extractor, feats, rois, pre, post, relu)
    assert out.is_contiguous()
    assert_equal(out, expected)
    assert_equal(gradients(out, feats, extractor), gradients(expected, feats, extractor))


@pytest.mark.parametrize(
    ("aggregation", "pre", "post"),
    [*itertools.product([SumLevels], MENU, MENU), *((ConcatLevels, module, module) for module in MENU)],
)
def test_every_pre_and_post_equals_the_reference(aggregation: type[AllLevels], pre: str, post: str) -> None:
    check(build(aggregation, **pair(pre, post)), regions("many"), pre, post)


@pytest.mark.parametrize("pre", MENU)
@pytest.mark.parametrize(("activation", "shared"), [("relu", False), ("none", True), ("none", False)])
@pytest.mark.parametrize("aggregation", ALL_LEVELS)
def test_every_recipe_option_equals_the_reference(
    aggregation: type[AllLevels], shared: bool, activation: str, pre: str
) -> None:
    extractor = build(aggregation, pre=MENU[pre], level_activation=activation, pre_shared=shared)
    check(extractor, regions("skips_an_image"), pre, relu=activation == "relu")


@pytest.mark.parametrize("case", [*(case for case in ROIS if case != "none"), "random"])
def test_every_kind_of_roi_equals_the_reference(case: str) -> None:
    rois = random_regions(40) if case == "random" else regions(case)
    check(build(SumLevels, **pair("conv3", "nonlocal")), rois, "conv3", "nonlocal")


@pytest.mark.parametrize("levels", [1, 3])
@pytest.mark.parametrize("aggregation", ALL_LEVELS)
def test_any_number_of_levels_goes_through_pre_and_post(aggregation: type[AllLevels], levels: int) -> None:
    """MMDetection's class leaves out both where there is one level."""
    extractor = build(aggregation, levels, **pair("conv3", "attention"))
    check(extractor, regions("many"), "conv3", "attention")


@pytest.mark.parametrize("aggregation", [SingleLevel, RandomLevel])
@pytest.mark.parametrize("post", ["none", "attention"])
def test_one_level_goes_through_pre_and_post(aggregation: type, post: str) -> None:
    extractor, feats, rois = build(aggregation, 1, **pair("conv3", post)), pyramid(1), regions("many")
    pooled = reference.roi_align(feats[0], rois, extractor.roi_layers[0].output_size, STRIDES[0])
    expected = reference.process(post, extractor.post_module, reference.process("conv3", extractor.pre_module, pooled))
    out = extractor(feats, rois)
    assert_equal(out, expected)
    assert_equal(gradients(out, feats, extractor), gradients(expected, feats, extractor))


def one_level(extractor: OneLevel, feats: list[Tensor], rois: Tensor, levels: list[int], rule: str) -> Tensor:
    """Returns each RoI pooled from its level."""
    size, ratio = extractor.roi_layers[0].output_size, extractor.roi_layers[0].sampling_ratio
    pooled = [
        reference.roi_align(feats[level], rois[[n]], size, STRIDES[level], ratio, rule)
        for n, level in enumerate(levels)
    ]
    return reference.process("conv3", extractor.pre_module, torch.cat(pooled))


def level_by_size(x1: float, y1: float, x2: float, y2: float, finest: float, rule: str) -> int:
    """FPN's rule: level k from 2^k to 2^(k+1) times finest_scale, by sqrt(w h), which v1 counted a pixel larger."""
    one = rule == "v1"
    size = math.sqrt((x2 - x1 + one) * (y2 - y1 + one))
    return sum(size >= finest * 2**k for k in (1, 2, 3))


@pytest.mark.parametrize("path", ["its own", "level by level"])
@pytest.mark.parametrize("sampling_ratio", [0, 1, 2, 3])
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_every_aggregation_pools_by_every_rule(
    aggregation: type, rule: str, sampling_ratio: int, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RoIs on every border, of no width, below a cell of each stride and as large as the image, on either path."""
    if path == "level by level":
        monkeypatch.setattr(pooling, "fits", lambda *_: False)
    feats, rois = pyramid(channels=CHANNELS), regions("borders")
    options: dict[str, Any] = {"roi_layer": roi_align(rule=rule, sampling_ratio=sampling_ratio), "pre": MENU["conv3"]}
    if aggregation is SingleLevel:
        options["finest_scale"] = 4.0
    extractor = build(aggregation, **options).eval()
    if issubclass(aggregation, AllLevels):
        expected = all_levels(extractor, feats, rois, "conv3", "none", relu=True, rule=rule)
    else:
        if aggregation is SingleLevel:
            levels = [level_by_size(*corners, finest=4.0, rule=rule) for _, *corners in rois.tolist()]
        else:
            levels = build(RandomLevel).eval().map_roi_levels(rois, 4).tolist()
        assert set(levels) == {0, 1, 2, 3}
        expected = one_level(extractor, feats, rois, levels, rule)
    out = extractor(feats, rois)
    assert_equal(out, expected)
    assert_equal(gradients(out, feats, extractor), gradients(expected, feats, extractor))


def test_level_rule_of_v1_is_a_pixel_larger() -> None:
    """RoIs whose level differs by that pixel alone: 19.5 pixels a side are 20.5 for v1, and 20 begin level 1."""
    rois = torch.tensor(
        [[0.0, 0, 0, 19.5, 19.5], [0.0, 0, 0, 18.5, 18.5], [0.0, 0, 0, 39.5, 39.5]], dtype=torch.float64
    )
    for rule, expected in (("v1", [1, 0, 2]), ("legacy", [0, 0, 1]), ("aligned", [0, 0, 1])):
        extractor = build(SingleLevel, roi_layer=roi_align(rule=rule), finest_scale=10)
        assert extractor.map_roi_levels(rois, 4).tolist() == expected


def draws(extractor: RandomLevel, calls: int) -> list[list[int]]:
    """Returns the levels that each of the next calls draws for 50 RoIs."""
    return [extractor.map_roi_levels(regions("one").repeat(50, 1), 4).tolist() for _ in range(calls)]


class TestRandom:
    def test_gives_each_roi_one_of_the_levels_about_equally_often(self) -> None:
        feats, rois = pyramid(channels=8), random_regions(2000)
        out = build(RandomLevel)(feats, rois)
        pooled = torch.stack(
            [layer(feat, rois) for layer, feat in zip(build(SumLevels).roi_layers, feats, strict=True)]
        )
        matches = torch.isclose(pooled, out, rtol=0, atol=1e-9).flatten(2).all(dim=2)
        assert (matches.sum(dim=0) >= 1).all()  # a RoI without area can look alike on two levels
        counts = matches[:, matches.sum(dim=0) == 1].sum(dim=1)
        assert counts.min() > 420, counts  # 500 each; 80 is over four standard deviations
        assert counts.max() < 580, counts

    def test_draws_anew_at_each_call_in_training_and_in_test(self) -> None:
        for mode in (True, False):
            first, second = draws(build(RandomLevel).train(mode), calls=2)
            assert first != second

    def test_is_repeated_by_its_seed_alone(self) -> None:
        """Two extractors of one seed agree whatever torch's generator did before; two seeds do not."""
        for mode in (True, False):
            torch.manual_seed(1)
            expected = draws(build(RandomLevel, seed=3).train(mode), calls=2)
            torch.manual_seed(2)
            assert draws(build(RandomLevel, seed=3).train(mode), calls=2) == expected
            assert draws(build(RandomLevel, seed=4).train(mode), calls=2) != expected

    def test_leaves_torchs_generator_alone(self) -> None:
        extractor, before = build(RandomLevel), torch.get_rng_state()
        draws(extractor, calls=2)
        assert torch.equal(torch.get_rng_state(), before)

    def test_each_evaluation_draws_the_same(self) -> None:
        extractor = build(RandomLevel)
        draws(extractor.train(), calls=1)
        first = draws(extractor.eval(), calls=3)
        draws(extractor.train(), calls=5)
        assert draws(extractor.eval(), calls=3) == first

    def test_evaluation_does_not_change_the_draws_of_training(self) -> None:
        plain, evaluated = build(RandomLevel), build(RandomLevel)
        draws(evaluated.train(), calls=1)
        draws(evaluated.eval(), calls=3)
        assert draws(plain.train(), calls=3)[1:] == draws(evaluated.train(), calls=2)

    def test_draws_of_training_and_of_test_differ(self) -> None:
        assert draws(build(RandomLevel).train(), calls=1) != draws(build(RandomLevel).eval(), calls=1)

    def test_training_resumed_from_a_checkpoint_goes_on_with_its_draws(self, tmp_path: Path) -> None:
        extractor = build(RandomLevel)
        draws(extractor, calls=2)
        torch.save(extractor.state_dict(), tmp_path / "checkpoint.pth")
        resumed = build(RandomLevel)
        resumed.load_state_dict(torch.load(tmp_path / "checkpoint.pth", weights_only=True))
        assert draws(resumed, calls=2) == draws(extractor, calls=2)
        assert int(resumed.draws) == 4

    def test_each_rank_draws_its_own(self, monkeypatch: pytest.MonkeyPatch) -> None:
        by_rank = []
        for rank in (0, 1):
            monkeypatch.setattr("groie.aggregation.get_rank", lambda rank=rank: rank)
            by_rank += [draws(build(RandomLevel), calls=1), draws(build(RandomLevel).eval(), calls=1)]
        assert len({tuple(map(tuple, drawn)) for drawn in by_rank}) == 4


def test_the_hidden_relu_is_there_by_default_and_changes_the_sum() -> None:
    feats, rois = pyramid(), regions("many")
    choices: list[dict[str, Any]] = [{}, {"level_activation": "relu"}, {"level_activation": "none"}]
    outs = []
    for options in choices:
        outs.append(build(SumLevels, **options)(feats, rois))
    assert torch.equal(outs[0], outs[1])
    assert outs[0].min() >= 0
    assert outs[2].min() < 0


@pytest.mark.parametrize("few", [False, True])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_sum_of_relus_is_torchs(dtype: torch.dtype, few: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rectified, "in_few_launches", lambda _: few)  # as on a GPU
    x = torch.randn(3, 5, 4, 2, 2, dtype=torch.float64).to(dtype).requires_grad_()
    with torch.no_grad():
        x[:, 0] = 0  # whose gradient is zero
    weight = torch.randn(5, 4, 2, 2, dtype=torch.float64).to(dtype)
    out, expected = rectified_sum(x), x.relu()[0] + x.relu()[1] + x.relu()[2]
    off = torch.finfo(dtype).eps if few else 0  # where it is added in another order
    torch.testing.assert_close(out, expected, rtol=off, atol=off)
    assert torch.equal(*(torch.autograd.grad(one, x, weight)[0] for one in (out, expected)))
