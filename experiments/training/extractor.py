"""A variant's RoI extractor: the aggregation's class with the recipe's arguments, and the modules before and after."""

import inspect
from collections.abc import Collection
from importlib import import_module
from typing import Any

import groie  # noqa: F401 (it stands in for the operators that mmcv lacks)

# isort: split
from mmcv import ops
from mmdet.models.roi_heads.roi_extractors.base_roi_extractor import BaseRoIExtractor
from mmdet.registry import MODELS

from experiments.errors import UserError, unknown
from experiments.settings import Module, RoIPooling, Settings

Config = dict[str, Any]  # of a module, as MMEngine builds it
STRIDES = (4, 8, 16, 32)  # pixels per cell of the FPN levels that RoIs are pooled from
SET_HERE = ("roi_layer", "out_channels", "featmap_strides", "pre", "post", "checkpoint")
ROI_ALIGN: dict[str, Config] = {  # by recipe.roi_align
    "v1": {"type": "RoIAlignV1"},
    "legacy": {"type": "RoIAlign", "aligned": False},
    "aligned": {"type": "RoIAlign", "aligned": True},
}


def extractor(settings: Settings, pooling: RoIPooling) -> Config:
    """Returns the config of a RoI extractor.

    If the aggregation's YAML does not set an argument that its class takes, the recipe sets it (level_activation,
    pre_shared), or the profile (finest_scale), or the trial (seed). In the same way the recipe sets sampling_ratio.

    Args:
        settings: of the trial.
        pooling: of this extractor; its attention_heads, if given, replace the modules' own number of heads.

    Raises:
        UserError: the aggregation's class does not exist, or does not take a chosen argument.
    """
    recipe, aggregation = settings.recipe, settings.aggregation.arguments
    choice = f"aggregation={settings.aggregation.name}"
    ratio = aggregation.pop("sampling_ratio", recipe.sampling_ratio)
    made = class_of("aggregation.type", settings.aggregation.type)
    takes = arguments(made)
    _require_arguments(choice, made, aggregation, takes)
    _require_pooling(choice, made, recipe.roi_align)
    options = {"pre": settings.pre, "post": settings.post}
    modules = {place: _module(option, pooling) for place, option in options.items()}
    chosen = {f"{place}={options[place].name}": place for place, module in modules.items() if module}
    if settings.extractor.checkpoint:
        chosen["extractor.checkpoint=true"] = "checkpoint"
    for word, key in chosen.items():
        if key not in takes:
            raise UserError(f"{word} does not fit {choice}: {made.__name__} takes no argument {key}; leave it out")
    offered = {
        "level_activation": recipe.level_activation,
        "pre_shared": recipe.pre_shared,
        "finest_scale": settings.profile.finest_scale,
        "seed": settings.seed,
        **modules,
        **({"checkpoint": True} if settings.extractor.checkpoint else {}),
    }
    return {
        **{key: value for key, value in offered.items() if key in takes},
        "type": settings.aggregation.type,
        **aggregation,
        "roi_layer": {
            **ROI_ALIGN[recipe.roi_align],
            "output_size": pooling.output_size,
            "sampling_ratio": ratio,
        },
        "out_channels": settings.profile.channels,
        "featmap_strides": list(STRIDES),
    }


def class_of(key: str, name: Any) -> Any:
    """Returns the class of a name in MMDetection's registry or of a full path; UserError, with the key, if absent."""
    module, _, last = str(name).rpartition(".")
    try:
        found = MODELS.get(str(name))
        if found is None and module:
            import_module(module)  # MMEngine does not say why it cannot be imported
    except Exception as error:  # any error of the imported module
        raise UserError(f"{key}={name} cannot be imported: {type(error).__name__}: {error}") from error
    if inspect.isclass(found):
        return found
    if module:
        raise UserError(f"{key}={name} cannot be imported: {module} has no class {last}")
    ours = [one for one, made in MODELS.module_dict.items() if made.__module__.startswith("groie.")]
    known = [one for one in ours if issubclass(MODELS.get(one), BaseRoIExtractor)]
    raise UserError(f"{unknown(key, name, sorted(known))}, or give the full path of a class of your own")


def arguments(made: Any) -> dict[str, Any]:
    """Returns the arguments of a class's constructor, and of its bases if it passes **kwargs to them, by name.

    The values are defaults, `inspect.Parameter.empty` for none.
    """
    found: dict[str, Any] = {}
    for base in inspect.getmro(made):
        if "__init__" in vars(base):
            parameters = list(inspect.signature(vars(base)["__init__"]).parameters.values())[1:]
            named = [one for one in parameters if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)]
            found = {one.name: one.default for one in named} | found
            if not any(one.kind is one.VAR_KEYWORD for one in parameters):
                break
    return found


def _require_arguments(choice: str, made: Any, given: Collection[str], takes: Collection[str]) -> None:
    takes_any = any(one.kind is one.VAR_KEYWORD for one in inspect.signature(made).parameters.values())
    free = sorted({*takes, "sampling_ratio"} - {*SET_HERE, "init_cfg"})
    for key in sorted(given):
        if key in SET_HERE or (key not in takes and not takes_any):
            raise unknown(f"{choice}: argument of {made.__name__}", key, free)


def _require_pooling(choice: str, made: Any, rule: str) -> None:
    by_name = getattr(made, "build_roi_layers", None) is BaseRoIExtractor.build_roi_layers
    if by_name and not hasattr(ops, ROI_ALIGN[rule]["type"]):
        raise UserError(
            f"{choice} does not fit recipe.roi_align={rule}: {made.__name__} builds only mmcv's pooling layers; set "
            "recipe.roi_align=legacy or aligned, or extend AllLevels or OneLevel of groie"
        )


def _module(option: Module, pooling: RoIPooling) -> Config | None:
    """Returns a module's config for the extractor; None for no module."""
    if option.type is None:
        return None
    arguments = {"type": option.type, **option.arguments}
    if "num_heads" in arguments and pooling.attention_heads:
        arguments["num_heads"] = pooling.attention_heads
    return arguments
