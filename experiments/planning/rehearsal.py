"""What a worker would stumble over is tried before anything starts: detectors without memory, a step of optimizers.

A sweep repeats itself: a thousand trials share a few detectors less their extractors, a few hundred extractors and one
optimizer. Each of these is tried once.
"""

import copy
import json
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.data.datasets import Split
from experiments.errors import UserError, unknown
from experiments.paths import TrialPaths

Settings = dict[str, Any]
NOWHERE = Path("nowhere")  # nothing is read or written there
WHOLE = ("architecture", "recipe", "profile")  # the groups that make a detector less its extractors
CLASSES = 3  # as many as no head is made for unless it was told so


def detectors(configs: Sequence[Settings]) -> None:
    """Builds and runs what is distinct among the trials' detectors; UserError with what their parts say."""
    from experiments.training.extractor import extractor

    wholes: dict[str, Settings] = {}
    extractors: dict[str, tuple[Settings, Settings]] = {}
    aggregations: dict[str, tuple[Settings, Settings]] = {}
    for config in configs:
        parts = {group: config[group] for group in WHOLE}
        wholes.setdefault(_key(parts), config)
        for settings in config["architecture"]["extractors"].values():
            wanted = extractor({**config, "seed": 0}, settings)  # another seed builds nothing else
            extractors.setdefault(_key(wanted), (config, wanted))
            plain = {key: None if key in ("pre", "post") else value for key, value in wanted.items()}
            aggregations.setdefault(_key(plain), (config, plain))
    skeletons: dict[str, tuple[Settings, Any]] = {}
    for config in wholes.values():
        model = _skeleton(config)
        skeletons.setdefault(_key(model.to_dict()), (config, model))
    for config, model in skeletons.values():
        _try_detector(config, model)
    for config, wanted in extractors.values():
        _require_modules(config, _build(wanted, _choice(config, "aggregation", "pre", "post")))
    for config, plain in aggregations.values():
        _try_aggregation(config, plain)


def unplaced(config: Settings, classes: int = 1) -> Any:
    """Returns the trial's MMEngine config, for data that lie nowhere."""
    from experiments.training import build

    nothing = Split(NOWHERE, NOWHERE, tuple(f"class {number}" for number in range(classes)))
    return build.detector_config(config, {"train": nothing, "val": nothing}, TrialPaths(NOWHERE), 1)


def optimizers(configs: Sequence[Settings]) -> None:
    """Makes one step with every distinct optimizer; UserError with what it says."""
    import torch
    from mmengine.optim import OPTIMIZERS

    for text in dict.fromkeys(_key(config["schedule"]["optimizer"]) for config in configs):
        settings = json.loads(text)
        if OPTIMIZERS.get(settings["type"]) is None:  # MMEngine would say only that None cannot be called
            raise unknown("schedule.optimizer.type", settings["type"], sorted(OPTIMIZERS.module_dict))
        weights = [torch.nn.Parameter(torch.zeros(shape)) for shape in ((1,), (1, 1, 1, 1))]  # a bias, a convolution's
        for weight in weights:
            weight.grad = torch.zeros_like(weight)
        try:
            OPTIMIZERS.build({**settings, "params": weights}).step()
        except Exception as error:
            choice = " ".join(f"{key}={value}" for key, value in settings.items())
            raise UserError(f"schedule.optimizer with {choice} cannot be used: {_told(error)}") from error


def _skeleton(config: Settings) -> Any:
    """Returns the config of a detector with plain extractors, for data of CLASSES."""
    try:
        model = unplaced(config, CLASSES).model
    except (OSError, ValueError, LookupError, AttributeError, TypeError) as error:
        base = config["architecture"]["base"]
        raise UserError(
            f"{_choice(config, *WHOLE)} cannot be made of architecture.base={base}; give one of MMDetection's configs "
            f"of a two-stage detector with an FPN, as in conf/architecture/ ({_told(error)})"
        ) from error
    for place, settings in config["architecture"]["extractors"].items():
        layer = dict(type="RoIAlign", output_size=settings["output_size"], sampling_ratio=2)
        shape = {key: model.roi_head[place][key] for key in ("out_channels", "featmap_strides")}
        model.roi_head[place] = dict(type="SingleRoIExtractor", roi_layer=layer, **shape)
    return model


def _try_detector(config: Settings, wanted: Any) -> None:
    """Builds a detector and has it make a prediction for an image without pixels."""
    from experiments.training import build

    choice = _choice(config, *WHOLE)
    model = _build(wanted, choice)
    _require_fit(config, model, choice)
    _require_classes(model, choice)
    error = _failure(model.eval(), config)
    if error is None or _needs_memory(error):
        return
    shipped = _failure(_build(build.base_config(config).model, choice).eval(), config)
    if shipped is None or _place(shipped) != _place(error):  # else it is the prediction here that cannot be made
        raise UserError(
            f"{choice} cannot be run: {_told(error)}; what MMDetection's config, profile.model and "
            f"profile.by_architecture say of widths must fit profile.channels={config['profile']['channels']}"
        ) from error


def _failure(detector: Any, config: Settings) -> Exception | None:
    """Returns what keeps a detector without memory from a prediction, None for nothing."""
    from experiments.training import cost

    try:
        cost.predict(detector, *config["profile"]["image_scale"])
    except Exception as error:  # of any operator or head
        return error
    return None


def _place(error: Exception) -> list[tuple[str, int | None]]:
    """Returns the lines of code that led to an error."""
    return [(frame.filename, frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]


def _try_aggregation(config: Settings, wanted: Settings) -> None:
    """Has an aggregation without modules pool two RoIs without values; UserError where it gives another shape."""
    import torch

    from groie.cost import MultiplyAdds, squares

    choice = _choice(config, "aggregation")
    made = _build(wanted, choice)
    channels, cells = wanted["out_channels"], wanted["roi_layer"]["output_size"]
    feats = [
        torch.empty(1, channels, 256 // stride, 256 // stride, device="meta") for stride in wanted["featmap_strides"]
    ]
    try:
        with torch.no_grad(), MultiplyAdds(made):
            given = tuple(made.eval()(feats, squares(2, 256, 256)).shape)
    except Exception as error:
        if _needs_memory(error):
            return
        raise UserError(f"{choice} cannot be run: {_told(error)}") from error
    if given != (2, channels, cells, cells):
        raise UserError(f"{choice} returns {given} for two RoIs; it must return (2, {channels}, {cells}, {cells})")


def _require_modules(config: Settings, made: Any) -> None:
    """Raises UserError where a module that is chosen before or after the aggregation is nowhere in the extractor."""
    from mmdet.registry import MODELS

    wanted = [config[place]["type"] for place in ("pre", "post") if config[place]["type"] is not None]
    for name in dict.fromkeys(wanted):
        kind = MODELS.get(name)
        if isinstance(kind, type) and sum(isinstance(part, kind) for part in made.modules()) < wanted.count(name):
            choice = _choice(config, "aggregation", "pre", "post")
            raise UserError(
                f"{choice}: {type(made).__name__} leaves {name} out; hand pre and post on to the base class"
            )


def _require_classes(model: Any, choice: str) -> None:
    """Raises UserError where a head tells another number of classes apart than there are."""
    from experiments.training.detector import COUNTS_OTHERWISE

    for name, module in model.roi_head.named_modules():
        count = getattr(module, "num_classes", CLASSES)
        if count != CLASSES and name.partition(".")[0] not in COUNTS_OTHERWISE:
            raise UserError(
                f"{choice}: roi_head.{name} ({type(module).__name__}) is made for {count} classes whatever the data "
                "have; take an architecture whose heads take num_classes"
            )


def _require_fit(config: Settings, model: Any, choice: str) -> None:
    """Raises UserError where heads would not take what extractors give, or there are no masks to judge."""
    from torch.nn import ModuleList

    for place, settings in config["architecture"]["extractors"].items():
        head = getattr(model.roi_head, place.replace("roi_extractor", "head"), None)
        stages: Any = head if isinstance(head, ModuleList) else [head]
        for stage in stages:
            taken = getattr(stage, "roi_feat_size", settings["output_size"])
            given = settings["output_size"]
            if taken not in (given, (given, given)):
                size = taken if isinstance(taken, int) else taken[0]
                raise UserError(
                    f"architecture.extractors.{place}.output_size={given} does not fit {type(stage).__name__}, "
                    f"which takes {size} cells a side"
                )
    if "segm" in config["architecture"]["iou_types"] and not model.with_mask:
        raise UserError(f"architecture.iou_types has segm, but {choice} predicts no masks")


def _build(wanted: Any, choice: str) -> Any:
    """Returns what a config describes, without memory; UserError with what its constructors say."""
    import torch
    from mmdet.registry import MODELS
    from mmengine.registry import DefaultScope

    import groie  # noqa: F401  (registers the modules)

    def on(device: str) -> Any:
        with torch.device(device), DefaultScope.overwrite_default_scope("mmdet"):
            return MODELS.build(copy.deepcopy(wanted)).to("meta")  # MMDetection writes into it

    try:
        try:
            return on("meta")
        except (RuntimeError, NotImplementedError) as error:
            if not _needs_memory(error):
                raise
            return on("cpu")
    except Exception as error:
        raise UserError(f"{choice} cannot be built: {_told(error)}") from error


def _needs_memory(error: Exception) -> bool:
    """Returns whether an error is an operator's that does not run on the meta device, which is no mistake."""
    return "meta" in str(error).lower()


def _choice(config: Settings, *groups: str) -> str:
    return " ".join(f"{group}={config[group]['name']}" for group in groups)


def _key(content: Any) -> str:
    return json.dumps(content, sort_keys=True)


def _told(error: BaseException) -> str:
    """Returns the message of the first cause, in one line: MMEngine's registry wraps each error in its own."""
    while error.__cause__ is not None:
        error = error.__cause__
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    line = " ".join(text.split()).partition(". Please check whether")[0]  # the registry's long advice
    if not line:  # an assertion that says nothing but what it asserts
        line = traceback.extract_tb(error.__traceback__)[-1].line or "no reason given"
    return line if isinstance(error, ValueError | RuntimeError) else f"{type(error).__name__}: {line}"
