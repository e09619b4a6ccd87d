"""From options to MMEngine's config: every option builds a detector; batch and learning rate follow their rules."""

from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS
from mmdet.utils import register_all_modules
from mmengine.config import Config

import groie  # noqa: F401  (registers the modules)
from experiments.paths import TrialPaths
from experiments.training import build
from tests.support import harness


def built(tmp_path: Path, *overrides: str, processes: int = 1, classes: int = 6) -> Config:
    config = harness.composed(*overrides)
    return build.detector_config(
        harness.typed(config), harness.splits(tmp_path, classes), TrialPaths(tmp_path), processes
    )


@pytest.mark.parametrize(
    "override", [f"{group}={option}" for group, options in harness.options().items() for option in options]
)
def test_every_option_builds(tmp_path: Path, override: str) -> None:
    register_all_modules()
    cfg = built(tmp_path, override)
    with torch.device("meta"):
        assert MODELS.build(cfg.model)


@pytest.mark.parametrize("aggregation", harness.options()["aggregation"])
def test_every_extractor_recomputes_where_it_is_told_to(tmp_path: Path, aggregation: str) -> None:
    """Else its config does not name it: an aggregation of one's own need not know it."""
    register_all_modules()
    choice = (f"aggregation={aggregation}", "architecture=mask_rcnn")
    for told in (True, False):
        heads = built(tmp_path, *choice, *(["extractor.checkpoint=true"] if told else [])).model.roi_head
        for settings in (heads.bbox_roi_extractor, heads.mask_roi_extractor):
            assert settings.get("checkpoint") is (True if told else None)
            assert MODELS.build(settings).checkpoint is told


@pytest.mark.parametrize(("batch", "rate"), [(12, 0.015), (16, 0.02), (2, 0.0025)])
def test_learning_rate_follows_the_batch(tmp_path: Path, batch: int, rate: float) -> None:
    """The linear rule; 12 images are the paper's 6 GPUs x 2."""
    cfg = built(tmp_path, "profile=coco", f"schedule.batch_size={batch}")
    assert cfg.optim_wrapper.optimizer.lr == pytest.approx(rate)


@pytest.mark.parametrize(("processes", "images"), [(1, 12), (6, 2), (12, 1)])
def test_processes_share_the_batch(tmp_path: Path, processes: int, images: int) -> None:
    cfg = built(tmp_path, "profile=coco", processes=processes)
    assert cfg.train_dataloader.batch_size == images
    assert cfg.launcher == ("none" if processes == 1 else "pytorch")


def test_another_backbone_takes_the_place_of_resnet(tmp_path: Path) -> None:
    register_all_modules()
    cfg = built(tmp_path, "profile=mobilenet", "architecture=mask_rcnn")
    assert cfg.model.backbone.type == "MobileNetV2"
    assert not {"depth", "style", "_delete_"} & set(cfg.model.backbone)
    cfg.model.backbone.init_cfg = None
    model = MODELS.build(cfg.model)
    levels = model.extract_feat(torch.zeros(1, 3, 64, 64))
    assert [tuple(level.shape) for level in levels] == [(1, 64, side, side) for side in (16, 8, 4, 2, 1)]


def test_settings_of_absent_heads_are_ignored_and_others_replaced(tmp_path: Path) -> None:
    cfg = built(tmp_path, "+profile.model.roi_head.mask_head._delete_=true", "+profile.model.neck._delete_=true")
    assert "mask_head" not in cfg.model.roi_head  # faster_rcnn has none
    assert set(cfg.model.neck) == {"in_channels", "out_channels"}


def test_classes_come_from_the_annotations(tmp_path: Path) -> None:
    cfg = built(tmp_path, "architecture=htc", classes=3)
    heads = [*cfg.model.roi_head.bbox_head, *cfg.model.roi_head.mask_head]
    assert {head.num_classes for head in heads} == {3}
    assert list(cfg.train_dataloader.dataset.metainfo.classes) == ["class 0", "class 1", "class 2"]
