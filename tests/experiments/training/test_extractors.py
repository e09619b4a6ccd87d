"""What an aggregation's class is given that its YAML leaves out, and what of users' own classes works or is refused."""

from typing import Any

import pytest
import torch
from mmdet.models.roi_heads.roi_extractors.base_roi_extractor import BaseRoIExtractor
from torch import Tensor

from experiments.errors import UserError
from experiments.planning import rehearsal
from experiments.settings import RoIPooling
from experiments.training.extractor import extractor
from groie import AllLevels, OneLevel
from tests.support import harness

BOXES = RoIPooling(output_size=7)
RECIPES = harness.options()["recipe"]


class Largest(AllLevels):
    def aggregate(self, levels: list[Tensor]) -> Tensor:
        return torch.stack(levels).amax(0)


class Handing(Largest):
    """Takes one more argument and hands the rest on."""

    def __init__(self, *args: Any, gain: float = 1.0, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.gain = gain


class Deciding(Largest):
    """Names fewer arguments and decides the rest."""

    def __init__(self, roi_layer: dict, out_channels: int, featmap_strides: list[int], pre: Any, post: Any) -> None:
        super().__init__(roi_layer, out_channels, featmap_strides, pre, post, level_activation="none")


class Losing(Largest):
    """Takes everything and hands on nothing."""

    def __init__(self, roi_layer: dict, out_channels: int, featmap_strides: list[int], **lost: Any) -> None:
        super().__init__(roi_layer, out_channels, featmap_strides)


class Coarsest(OneLevel):
    def map_roi_levels(self, rois: Tensor, num_levels: int) -> Tensor:
        return torch.full((len(rois),), num_levels - 1)


class Seeded(Coarsest):
    def __init__(self, *args: Any, seed: int = 99, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.seed = seed


class Foreign(BaseRoIExtractor):
    """Knows neither modules nor recipes."""

    def forward(self, feats: Any, rois: Tensor, roi_scale_factor: Any = None) -> Tensor:
        return self.roi_layers[0](feats[0], rois)


class Wide(AllLevels):
    """A mistake: the levels beside each other are four times as wide."""

    def aggregate(self, levels: list[Tensor]) -> Tensor:
        return torch.cat(levels, dim=1)


class Broken(AllLevels):
    def aggregate(self, levels: list[Tensor]) -> Tensor:
        return levels[0] @ levels[1][:, :, :3]


class OfValues(AllLevels):
    """Looks at values, which are nowhere at planning."""

    def aggregate(self, levels: list[Tensor]) -> Tensor:
        return levels[0] if levels[0].sum().item() > 0 else levels[1]


def config(kind: type, *overrides: str, **arguments: Any) -> dict[str, Any]:
    """Returns a trial's configuration with an aggregation of somebody's own, of these lines in its YAML."""
    composed = harness.composed(*overrides)
    return {**composed, "aggregation": {"name": "mine", "type": f"{__name__}.{kind.__name__}", **arguments}}


def given(kind: type, *overrides: str, **arguments: Any) -> dict[str, Any]:
    return extractor(harness.typed(config(kind, *overrides, **arguments)), BOXES)


class TestGiven:
    @pytest.mark.parametrize("kind", [Largest, Handing])
    @pytest.mark.parametrize("recipe", RECIPES)
    def test_two_lines_take_the_recipes_values(self, recipe: str, kind: type) -> None:
        recipes = harness.composed(f"recipe={recipe}")["recipe"]
        found = given(kind, f"recipe={recipe}")
        assert found["roi_layer"]["sampling_ratio"] == recipes["sampling_ratio"]
        assert {key: found[key] for key in ("level_activation", "pre_shared")} == {
            key: recipes[key] for key in ("level_activation", "pre_shared")
        }
        rehearsal.detectors([harness.typed(config(kind, f"recipe={recipe}", "pre=conv3"))])

    def test_our_own_take_what_their_files_said_before(self) -> None:
        """Every aggregation and recipe: the arguments that the YAML files had as interpolations."""
        for recipe in RECIPES:
            for name in harness.options()["aggregation"]:
                composed = harness.composed(f"recipe={recipe}", f"aggregation={name}", "seed=5")
                found, said = extractor(harness.typed(composed), BOXES), composed["recipe"]
                ratio = said["single_sampling_ratio" if name == "single" else "sampling_ratio"]
                assert found["roi_layer"]["sampling_ratio"] == ratio
                expected = {"pre_shared": said["pre_shared"]}
                if name in ("single", "random"):
                    expected["finest_scale"] = composed["profile"]["finest_scale"]
                else:
                    expected["level_activation"] = "none" if name == "soft" else said["level_activation"]
                expected |= {"seed": 5} if name == "random" else {}
                shape = ("type", "roi_layer", "out_channels", "featmap_strides", "pre", "post")
                assert {key: value for key, value in found.items() if key not in shape} == expected

    def test_one_level_takes_the_profiles_scale_and_the_trials_seed(self) -> None:
        assert given(Coarsest, "profile=coco")["finest_scale"] == 56
        assert given(Coarsest)["finest_scale"] == 10
        assert given(Seeded, "seed=7")["seed"] == 7
        assert "level_activation" not in given(Coarsest)

    def test_a_line_of_the_file_wins(self) -> None:
        found = given(Handing, level_activation="none", pre_shared=False, sampling_ratio=3, gain=2.0)
        assert (found["level_activation"], found["pre_shared"], found["gain"]) == ("none", False, 2.0)
        assert found["roi_layer"]["sampling_ratio"] == 3

    def test_what_is_typed_wins(self) -> None:
        typed = ("+aggregation.level_activation=none", "+aggregation.sampling_ratio=3", "+aggregation.pre_shared=false")
        found = extractor(harness.settings(*typed), BOXES)
        assert (found["level_activation"], found["pre_shared"]) == ("none", False)
        assert found["roi_layer"]["sampling_ratio"] == 3

    def test_a_class_that_names_fewer_arguments_decides_the_rest(self) -> None:
        assert given(Deciding).keys() == {"type", "roi_layer", "out_channels", "featmap_strides", "pre", "post"}
        rehearsal.detectors([harness.typed(config(Deciding, "pre=conv3", "post=attention"))])

    def test_checkpointing_where_it_is_taken(self) -> None:
        assert given(Largest, "extractor.checkpoint=true")["checkpoint"] is True
        assert "checkpoint" not in given(Largest)


REFUSED = {
    "foreign, by v1's pooling": (
        config(Foreign),
        "aggregation=mine does not fit recipe.roi_align=v1: Foreign .*legacy",
    ),
    "foreign, with a module": (
        config(Foreign, "recipe.roi_align=legacy", "pre=conv3"),
        "pre=conv3 does not fit aggregation=mine: Foreign takes no argument pre; leave it out",
    ),
    "foreign, to be recomputed": (
        config(Foreign, "recipe.roi_align=legacy", "extractor.checkpoint=true"),
        "extractor.checkpoint=true does not fit aggregation=mine: Foreign takes no argument checkpoint",
    ),
    "arguments lost": (config(Losing, "pre=conv3"), "aggregation=mine pre=conv3 post=none: Losing does not build"),
    "too wide": (config(Wide), r"aggregation=mine .*returns \(2, 128, 7, 7\) .*must return \(2, 32, 7, 7\)"),
    "shapes that do not fit": (config(Broken), "aggregation=mine .*cannot be run: "),
    "mistyped line": (
        config(Largest, level_activaton="none"),
        "aggregation=mine: argument of Largest 'level_activaton' is unknown .did you mean level_activation",
    ),
    "line that the class does not take": (config(Coarsest, level_activation="relu"), "'level_activation' is unknown"),
    "line that is set here": (config(Handing, out_channels=3), "argument of Handing 'out_channels' is unknown"),
    "argument lost by the class alone": (config(Handing, gian=3), "cannot be built: .*gian"),
}


class TestUsersOwnClass:
    @pytest.mark.parametrize("kind", [Largest, Handing, Deciding, Coarsest, Seeded, OfValues])
    def test_that_extends_ours_passes(self, kind: type) -> None:
        rehearsal.detectors([harness.typed(config(kind, "pre=conv3", "post=attention"))])

    @pytest.mark.parametrize("rule", ["legacy", "aligned"])
    def test_that_is_foreign_passes_with_mmcvs_pooling(self, rule: str) -> None:
        wanted = config(Foreign, f"recipe.roi_align={rule}")
        assert extractor(harness.typed(wanted), BOXES).keys() == {
            "type",
            "roi_layer",
            "out_channels",
            "featmap_strides",
        }
        rehearsal.detectors([harness.typed(wanted)])

    @pytest.mark.parametrize("case", REFUSED)
    def test_that_does_not_fit_is_refused_in_a_sentence(self, case: str) -> None:
        wanted, reason = REFUSED[case]
        with pytest.raises(UserError, match=reason) as refusal:
            rehearsal.detectors([harness.typed(wanted)])
        assert "\n" not in str(refusal.value)

    def test_whose_module_cannot_be_imported(self, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "module_with_a_slip.py").write_text("class Mine:\n  def")
        monkeypatch.syspath_prepend(tmp_path)
        wanted = config(Largest)
        wanted["aggregation"]["type"] = "module_with_a_slip.Mine"
        with pytest.raises(UserError, match=r"type=module_with_a_slip\.Mine cannot be imported: SyntaxError"):
            rehearsal.detectors([harness.typed(wanted)])
