"""The detector of a variant: MMDetection's own config of the architecture, with our extractors, recipe and size.

The edits go in this order: the recipe's (what the authors did otherwise), the profile's (how big), the extractors.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.config import ConfigDict

Settings = dict[str, Any]
HEADS = ("bbox_head", "mask_head", "grid_head")
STRIDES = (4, 8, 16, 32)  # pixels per cell of the FPN levels that RoIs are pooled from


def customize(model: ConfigDict, config: Settings, classes: int) -> None:
    """Turns MMDetection's config of an architecture into the variant's, in place.

    Args:
        model: the `model` of an MMDetection two-stage config.
        config: the trial's resolved configuration.
        classes: number of classes that the heads tell apart.
    """
    profile = config["profile"]
    follow_recipe(model, config["recipe"])
    merge(model, profile["model"])
    merge(model, profile["by_architecture"].get(config["architecture"]["name"], {}))
    _set_proposals(model, profile["proposals"])
    _set_widths(model, profile["channels"], classes)
    for place, settings in config["architecture"]["extractors"].items():
        model.roi_head[place] = extractor(config, settings)


def follow_recipe(model: ConfigDict, recipe: Settings) -> None:
    """Sets what a recipe says of anchors, boxes, losses, proposals and matching; null leaves MMDetection's own."""
    box_heads = list(_each(model.roi_head.bbox_head))
    if recipe["boxes"] == "legacy":
        model.rpn_head.anchor_generator.update(type="LegacyAnchorGenerator", center_offset=0.5)
        for head in (model.rpn_head, *box_heads):
            head.bbox_coder.type = "LegacyDeltaXYWHBBoxCoder"
    if recipe["box_loss"] == "smooth_l1":
        model.rpn_head.loss_bbox = ConfigDict(type="SmoothL1Loss", beta=1 / 9, loss_weight=1.0)
        for head in box_heads:
            head.loss_bbox = ConfigDict(type="SmoothL1Loss", beta=1.0, loss_weight=1.0)
    if recipe["proposals"] is not None:
        model.train_cfg.rpn_proposal.max_per_img = recipe["proposals"]
    if recipe["match_low_quality"] is not None:
        for stage in _each(model.train_cfg.rcnn):
            stage.assigner.match_low_quality = recipe["match_low_quality"]


def extractor(config: Settings, settings: Settings) -> ConfigDict:
    """Returns the config of a RoI extractor: the aggregation's class with the variant's modules around it.

    `settings` holds output_size, cells per side of a pooled RoI, and may hold attention_heads, which then replaces the
    modules' own number of heads in this extractor.
    """
    aggregation = {key: value for key, value in config["aggregation"].items() if key != "name"}
    if config["extractor"]["checkpoint"]:  # else left out, for aggregations that do not know it
        aggregation["checkpoint"] = True
    roi_layer = ConfigDict(
        type="RoIAlign",
        output_size=settings["output_size"],
        sampling_ratio=aggregation.pop("sampling_ratio"),
        aligned=config["recipe"]["aligned"],
    )
    return ConfigDict(
        **aggregation,
        roi_layer=roi_layer,
        out_channels=config["profile"]["channels"],
        featmap_strides=list(STRIDES),
        pre=_module(config["pre"], settings),
        post=_module(config["post"], settings),
    )


def _module(choice: Settings, settings: Settings) -> Settings | None:
    """Returns a menu option as the extractor takes it: arguments without the option's name, None for no module."""
    if choice["type"] is None:
        return None
    arguments = {key: value for key, value in choice.items() if key != "name"}
    if "num_heads" in arguments and settings.get("attention_heads"):
        arguments["num_heads"] = settings["attention_heads"]
    return arguments


def merge(node: Any, changes: Mapping[str, Any]) -> None:
    """Merges `changes` into a config in place, or into each item of a list; heads that it lacks are passed over.

    As in MMEngine's configs, `_delete_: true` among them takes what was there before away.
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


def _set_widths(model: ConfigDict, channels: int, classes: int) -> None:
    model.neck.out_channels = model.rpn_head.in_channels = model.rpn_head.feat_channels = channels
    for name in HEADS:
        for head in _each(model.roi_head.get(name, [])):
            head.in_channels = channels
            if name != "grid_head":  # a grid has points, not classes
                head.num_classes = classes


def _each(node: Any) -> Iterator[Any]:
    """Yields the items of a list, or the one thing that is no list: cascades have a list where others have one."""
    yield from node if isinstance(node, list) else [node]
