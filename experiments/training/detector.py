"""The detector of a variant: MMDetection's own config of the architecture, with our extractors, recipe and size.

In this order: the recipe (what the authors did otherwise), the profile (how big), what factors edit (`build` merges
it), then the widths, the classes and the extractors.
"""

import groie  # noqa: F401 (it stands in for the operators that mmcv lacks)

# isort: split
import inspect
from collections.abc import Iterator, Mapping
from typing import Any

from mmdet.registry import MODELS
from mmengine.config import ConfigDict

from experiments.settings import Recipe, Settings
from experiments.training.extractor import arguments, extractor

HEADS = ("bbox_head", "mask_head", "grid_head")
COUNTS_OTHERWISE = ("semantic_head",)  # heads with other classes than the data's: those of a map of the whole image


def width(model: ConfigDict) -> int:
    """Returns the channels of a config's FPN."""
    return int(next(_each(model.neck)).out_channels)


def follow(model: ConfigDict, settings: Settings) -> None:
    """Sets what recipe and profile say, in place.

    Args:
        model: the `model` of an MMDetection two-stage config.
        settings: of the trial.
    """
    profile = settings.profile
    follow_recipe(model, settings.recipe)
    merge(model, profile.model)
    merge(model, profile.by_architecture.get(settings.architecture.name, {}))
    _set_proposals(model, profile.proposals)


def fit(model: ConfigDict, settings: Settings, classes: int, shipped: int) -> None:
    """Sets widths, classes and extractors, in place.

    Args:
        model: the `model` of an MMDetection two-stage config.
        settings: of the trial.
        classes: number of classes that the heads tell apart.
        shipped: channels of the FPN in MMDetection's config.
    """
    _set_widths(model, shipped, settings.profile.channels)
    for name, part in model.roi_head.items():
        if name not in COUNTS_OTHERWISE:
            _set_classes(part, classes)
    for place, pooling in settings.architecture.extractors.items():
        model.roi_head[place] = extractor(settings, pooling)


def follow_recipe(model: ConfigDict, recipe: Recipe) -> None:
    """Sets a recipe's anchors, boxes, losses, proposals and matching; null leaves MMDetection's own."""
    box_heads = list(_each(model.roi_head.bbox_head))
    if recipe.boxes == "legacy":
        model.rpn_head.anchor_generator.update(type="LegacyAnchorGenerator", center_offset=0.5)
        for head in (model.rpn_head, *box_heads):
            head.bbox_coder.type = "LegacyDeltaXYWHBBoxCoder"
    if recipe.box_loss == "smooth_l1":
        model.rpn_head.loss_bbox = ConfigDict(type="SmoothL1Loss", beta=1 / 9, loss_weight=1.0)
        for head in box_heads:
            head.loss_bbox = ConfigDict(type="SmoothL1Loss", beta=1.0, loss_weight=1.0)
    if recipe.proposals is not None:
        model.train_cfg.rpn_proposal.max_per_img = recipe.proposals
    if recipe.match_low_quality is not None:
        for stage in _each(model.train_cfg.rcnn):
            stage.assigner.match_low_quality = recipe.match_low_quality


def merge(node: Any, changes: Mapping[str, Any]) -> None:
    """Merges `changes` into a config in place, or into each item of a list; heads that it lacks are skipped.

    As in MMEngine's configs, `_delete_: true` removes the earlier content.
    """
    for item in _each(node):
        for key, value in changes.items():
            replaces = isinstance(value, Mapping) and value.get("_delete_", False)
            if isinstance(value, Mapping) and key in item and not replaces:
                merge(item[key], value)
            elif key not in HEADS or (replaces and key in item):
                item[key] = {name: one for name, one in value.items() if name != "_delete_"} if replaces else value


def _set_proposals(model: ConfigDict, share: float) -> None:
    for proposals in (model.train_cfg.rpn_proposal, model.test_cfg.rpn):
        for key in ("nms_pre", "max_per_img"):
            proposals[key] = max(1, round(proposals[key] * share))


def _set_widths(model: ConfigDict, shipped: int, channels: int) -> None:
    """Makes the FPN `channels` wide, and also all parts that are as wide as MMDetection's FPN, because they read it."""
    neck, *others = _each(model.neck)
    neck.out_channels = model.rpn_head.in_channels = model.rpn_head.feat_channels = channels
    readers = [(neck, key) for neck in others for key in ("in_channels", "out_channels")]
    for name, parts in model.roi_head.items():
        key = "out_channels" if name.endswith("roi_extractor") else "in_channels"
        readers += [(part, key) for part in _each(parts) if isinstance(part, Mapping)]
    for part, key in readers:
        if _setting(part, key) == shipped:
            part[key] = channels


def _set_classes(node: Any, classes: int) -> None:
    """Sets the data's number of classes in every module of a config, at any depth, that takes it."""
    if isinstance(node, list):
        for item in node:
            _set_classes(item, classes)
    elif isinstance(node, dict):
        if _setting(node, "num_classes") is not None:
            node["num_classes"] = classes
        for value in node.values():
            _set_classes(value, classes)


def _setting(module: Mapping[str, Any], key: str) -> Any:
    """Returns an argument of a module's config, else the class's default; None if the class does not take it."""
    made = MODELS.get(module["type"]) if isinstance(module.get("type"), str) else None
    return module.get(key, arguments(made).get(key) if inspect.isclass(made) else None)


def _each(node: Any) -> Iterator[Any]:
    """Yields the items of a list, or a single value: cascades have a list where other detectors have one head."""
    yield from node if isinstance(node, list) else [node]
