"""A recipe against MMDetection's own configs: nothing but what its keys name is changed."""

from pathlib import Path
from typing import Any

import mmdet
import pytest
from hydra import compose, initialize_config_dir
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.hub import get_config

from experiments.paths import TrialPaths
from experiments.planning.compose import resolve
from experiments.training import build
from groie.roi_align import rule_of
from tests.experiments.training.test_coco_config import leaves
from tests.support import harness

ROOT = Path(__file__).parents[3]
ARCHITECTURES = sorted(path.stem for path in (ROOT / "conf" / "architecture").glob("*.yaml"))
RECIPES = ("paper", "text", "upstream")


def built(tmp_path: Path, *overrides: str) -> Config:
    """The MMEngine config of a trial at profile=coco with 80 classes."""
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = resolve(compose("config", ["profile=coco", *overrides]))
    return build.detector_config(harness.typed(config), harness.splits(tmp_path, 80), TrialPaths(tmp_path), processes=6)


def differences(ours: Any, theirs: Any) -> dict[str, tuple[Any, Any]]:
    """Leaves that differ, outside of the extractors, which tests/groie compares."""
    a, b = leaves(ours), leaves(theirs)
    keys = sorted(key for key in a.keys() | b.keys() if "roi_extractor" not in key)
    return {key: (a.get(key), b.get(key)) for key in keys if a.get(key) != b.get(key)}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_upstream_is_mmdetection_as_shipped(tmp_path: Path, architecture: str) -> None:
    ours = built(tmp_path, f"architecture={architecture}", "recipe=upstream", "aggregation=single")
    shipped = get_config(f"mmdet::{base(architecture)}")
    assert differences(ours.model, shipped.model) == {}
    assert ours.optim_wrapper.clip_grad is None
    assert ours.param_scheduler[0].start_factor == shipped.param_scheduler[0].start_factor
    assert ours.param_scheduler[1].milestones == shipped.param_scheduler[1].milestones
    for place in (key for key in shipped.model.roi_head if key.endswith("roi_extractor")):
        theirs, mine = shipped.model.roi_head[place], ours.model.roi_head[place]
        assert mine.type == "SingleLevel"
        assert mine.roi_layer == {**theirs.roi_layer, "aligned": True}  # its default
        assert (mine.out_channels, mine.featmap_strides) == (theirs.out_channels, theirs.featmap_strides)
        assert mine.finest_scale == 56


def base(architecture: str) -> str:
    text = (ROOT / "conf" / "architecture" / f"{architecture}.yaml").read_text()
    return text.split("base: ")[1].split()[0]


@pytest.mark.parametrize("architecture", ["faster_rcnn", "mask_rcnn"])
def test_paper_is_mmdetections_legacy_config(tmp_path: Path, architecture: str) -> None:
    """MMDetection ships v1's recipe for these two, with mmcv's legacy RoIAlign for v1's own."""
    # In a folder with a dot in its name, which MMEngine's look-up refuses.
    name = architecture.replace("_", "-") + "_r50_fpn_1x_coco_v1.py"
    legacy = Config.fromfile(Path(mmdet.__file__).parent / ".mim" / "configs" / "legacy_1.x" / name)
    overrides = (f"architecture={architecture}", "recipe=paper", "aggregation=single")
    ours = built(tmp_path, *overrides)
    assert differences(ours.model, legacy.model) == {}
    by_rule = built(tmp_path, *overrides, "recipe.roi_align=legacy").model.roi_head
    for place in (key for key in legacy.model.roi_head if key.endswith("roi_extractor")):
        theirs = legacy.model.roi_head[place].roi_layer
        assert by_rule[place].roi_layer == theirs
        size = theirs.output_size
        assert ours.model.roi_head[place].roi_layer == dict(type="RoIAlignV1", output_size=size, sampling_ratio=2)
    assert ours.optim_wrapper.clip_grad == {"max_norm": 35, "norm_type": 2}
    assert ours.optim_wrapper.optimizer.lr == pytest.approx(0.015)
    assert ours.param_scheduler[0].start_factor == pytest.approx(1 / 3)


def test_only_grid_rcnn_goes_unclipped(tmp_path: Path) -> None:
    clipped = {a: built(tmp_path, f"architecture={a}").optim_wrapper.clip_grad for a in ARCHITECTURES}
    assert [a for a, clip in clipped.items() if clip is None] == ["grid_rcnn"]


@pytest.mark.parametrize(("recipe", "heads"), [("paper", 8), ("text", 6), ("upstream", 6)])
def test_gcnet_box_attention_has_its_own_heads(tmp_path: Path, recipe: str, heads: int) -> None:
    head = built(tmp_path, "architecture=gcnet", f"recipe={recipe}", "post=attention").model.roi_head
    assert head.bbox_roi_extractor.post.num_heads == heads
    assert head.mask_roi_extractor.post.num_heads == 6


KEYS = {
    "level_activation=none": "bbox_roi_extractor.level_activation",
    "pre_shared=false": "bbox_roi_extractor.pre_shared",
    "attention_vertical_query=own": "bbox_roi_extractor.post.vertical_query",
    "sampling_ratio=0": "bbox_roi_extractor.roi_layer.sampling_ratio",
    "roi_align=legacy": "bbox_roi_extractor.roi_layer",
    "roi_align=aligned": "bbox_roi_extractor.roi_layer",
    "boxes=null": "rpn_head.anchor_generator",
    "box_loss=null": "loss_bbox",
    "proposals=null": "rpn_proposal.max_per_img",
    "match_low_quality=null": "assigner.match_low_quality",
}


@pytest.mark.parametrize("override", KEYS)
def test_each_key_alone_changes_its_own_place(tmp_path: Path, override: str) -> None:
    """One difference can be ablated: the model's config changes there, and there only."""
    variant = ["pre=conv5", "post=attention"]
    before = leaves(built(tmp_path, *variant).model)
    after = leaves(built(tmp_path, *variant, f"recipe.{override}").model)
    changed = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
    assert any(KEYS[override] in key for key in changed)
    allowed = ("anchor_generator", "bbox_coder") if override == "boxes=null" else (KEYS[override],)
    assert all(any(part in key for part in allowed) for key in changed), changed


@pytest.mark.parametrize("aggregation", ["single", "random", "sum", "concat"])
@pytest.mark.parametrize(("recipe", "rule"), [("paper", "v1"), ("text", "v1"), ("upstream", "aligned")])
def test_every_aggregation_pools_by_the_recipes_rule(tmp_path: Path, recipe: str, rule: str, aggregation: str) -> None:
    """Built from the trial's detector.py, which names it, as MMDetection's own tools build it."""
    cfg = built(tmp_path, "architecture=mask_rcnn", f"recipe={recipe}", f"aggregation={aggregation}")
    cfg.dump(tmp_path / "detector.py")
    heads = Config.fromfile(tmp_path / "detector.py").model.roi_head
    for place in ("bbox_roi_extractor", "mask_roi_extractor"):
        layers = MODELS.build(heads[place]).roi_layers
        assert [rule_of(layer) for layer in layers] == [rule] * 4


def test_proposals_follow_the_profile(tmp_path: Path) -> None:
    """In the demo the recipe's 2000 and MMDetection's 1000 stay two to one."""
    two, one = (
        built(tmp_path, "profile=demo", f"recipe={recipe}").model.train_cfg.rpn_proposal.max_per_img
        for recipe in ("paper", "upstream")
    )
    assert (two, one) == (200, 100)
