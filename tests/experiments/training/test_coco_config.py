"""profile=coco against MMDetection's faster-rcnn_r50_fpn_1x_coco: the whole config, every difference declared here."""

from pathlib import Path
from typing import Any

import pytest
from mmengine.hub import get_config

from experiments.paths import TrialPaths
from experiments.training import build
from tests.support import harness

BASE = "mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py"
# With recipe=upstream the model is MMDetection's own (test_recipes.py), but for whose extractor it is.
EXTRACTOR = "model.roi_head.bbox_roi_extractor."
DECLARED = {
    EXTRACTOR + "type": ("SingleLevel", "SingleRoIExtractor"),  # MMDetection's, with places for modules
    EXTRACTOR + "finest_scale": (56, None),  # its default
    EXTRACTOR + "pre": (None, None),
    EXTRACTOR + "post": (None, None),
    EXTRACTOR + "pre_shared": (True, None),
    EXTRACTOR + "roi_layer.aligned": (True, None),  # its default
    "optim_wrapper.optimizer.lr": (0.015, 0.02),  # 6 GPUs x 2 images against 8 x 2
    "train_dataloader.num_workers": (1, 2),
    "val_dataloader.num_workers": (1, 2),
    "val_evaluator.type": ("ExactCocoMetric", "CocoMetric"),  # unrounded
    "val_evaluator.metric": (["bbox"], "bbox"),
    "default_hooks.checkpoint": (None, None),  # the trial's hook saves
    "default_hooks.checkpoint.type": (None, "CheckpointHook"),
    "default_hooks.checkpoint.interval": (None, 1),
    "train_dataloader.dataset.type": ("ReproducibleCocoDataset", "CocoDataset"),  # the same, with draws that repeat
    "train_dataloader.dataset.augmentation_seed": (0, None),
    **{
        f"{split}_dataloader.dataset.pipeline.0.{key}": pair  # the same step, which compares sizes with the file's
        for split in ("train", "val")
        for key, pair in {"type": ("LoadImageAsStated", "LoadImageFromFile"), "exif": ([], None)}.items()
    },
    "launcher": ("pytorch", None),  # which MMDetection's tools/train.py sets
    "randomness.seed": (0, None),
}
# Ours alone, or without meaning where only validation is run.
OURS = ("custom_hooks", "custom_imports", "work_dir", "val_evaluator.folder", "test_")
# Where data lies, and what their classes are: from the annotation files.
DATA = ("ann_file", "data_root", "data_prefix", "metainfo", "backend_args")
# Said by MMDetection and true of MMEngine's default, or the other way round.
DEFAULTS = {
    "param_scheduler.1.begin": (None, 0),
    "param_scheduler.1.end": (None, 12),
    "val_evaluator.format_only": (None, False),
    "optim_wrapper.clip_grad": (None, None),
}


def leaves(node: Any, path: str = "") -> dict[str, Any]:
    """Returns every value of a nested config by its path; tuples as lists."""
    if isinstance(node, dict) and node:
        return {key: value for name in node for key, value in leaves(node[name], f"{path}.{name}").items()}
    if isinstance(node, list | tuple) and any(isinstance(item, dict) for item in node):
        return {key: value for i, item in enumerate(node) for key, value in leaves(item, f"{path}.{i}").items()}
    return {path.removeprefix("."): list(node) if isinstance(node, tuple) else node}


def differences(tmp_path: Path, *overrides: str) -> dict[str, tuple[Any, Any]]:
    """Returns what differs by path: (ours, MMDetection's), None for what is not there."""
    config = harness.composed("profile=coco", "aggregation=single", *overrides)
    cfg = build.detector_config(harness.typed(config), harness.splits(tmp_path, 80), TrialPaths(tmp_path), processes=6)
    ours, theirs = leaves(cfg.to_dict()), leaves(get_config(BASE).to_dict())
    paths = [path for path in ours | theirs if path not in ours or path not in theirs or ours[path] != theirs[path]]
    return {
        path: (ours.get(path), theirs.get(path))
        for path in paths
        if not path.startswith(OURS) and not any(part in DATA for part in path.split("."))
    }


def test_shipped_recipe_differs_only_as_declared(tmp_path: Path) -> None:
    found = differences(tmp_path, "recipe=upstream")
    expected = DECLARED | DEFAULTS
    assert found.keys() == expected.keys()
    for path, pair in expected.items():
        assert found[path] == (pytest.approx(pair[0]) if isinstance(pair[0], float) else pair[0], pair[1]), path


def test_paper_recipe_trains_as_its_authors_did(tmp_path: Path) -> None:
    """Outside of the model: gradients clipped, and a warm-up from a third."""
    shipped = differences(tmp_path, "recipe=upstream")
    paper = differences(tmp_path, "recipe=paper")
    training = {path: pair[0] for path, pair in paper.items() if not path.startswith("model.")}
    assert {path: ours for path, ours in training.items() if path not in shipped} == {
        "optim_wrapper.clip_grad.max_norm": 35,
        "optim_wrapper.clip_grad.norm_type": 2,
        "param_scheduler.0.start_factor": pytest.approx(1 / 3),
    }
