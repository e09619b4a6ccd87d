"""What a worker would stumble over is built before anything starts: detectors without memory, a step of optimizers.

A sweep repeats itself: a thousand trials share a few detectors less their extractors, a few hundred extractors and one
optimizer. Each of these is built once.
"""

import json
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.data.datasets import Split
from experiments.errors import UserError
from experiments.paths import TrialPaths

Settings = dict[str, Any]
MOST_WEIGHTS = 5_000_000_000  # with gradients and an optimizer's state 80 GB
NOWHERE = Path("nowhere")  # nothing is read or written there


def detectors(configs: Sequence[Settings]) -> None:
    """Builds what is distinct among the trials' detectors; UserError with what their constructors say."""
    from experiments.training import detector

    skeletons: dict[str, Settings] = {}
    extractors: dict[str, tuple[Settings, Settings]] = {}
    for config in configs:
        parts = {group: config[group] for group in ("architecture", "recipe", "profile")}
        skeletons.setdefault(_key(parts), config)
        unseeded = {**config, "aggregation": {**config["aggregation"], **_unseeded(config["aggregation"])}}
        for settings in config["architecture"]["extractors"].values():
            wanted = detector.extractor(unseeded, settings)
            extractors.setdefault(_key(wanted), (config, wanted))
    for config in skeletons.values():
        _build_skeleton(config)
    for config, wanted in extractors.values():
        _build(wanted, _choice(config, "aggregation", "pre", "post"))


def unplaced(config: Settings) -> Any:
    """Returns the trial's MMEngine config, for data of one class that lie nowhere."""
    from experiments.training import build

    nothing = Split(NOWHERE, NOWHERE, ("class",))
    return build.detector_config(config, {"train": nothing, "val": nothing}, TrialPaths(NOWHERE), 1)


def optimizers(configs: Sequence[Settings]) -> None:
    """Makes one step with every distinct optimizer; UserError with what it says."""
    import torch
    from mmengine.optim import OPTIMIZERS

    for text in dict.fromkeys(_key(config["schedule"]["optimizer"]) for config in configs):
        settings = json.loads(text)
        weights = [torch.nn.Parameter(torch.zeros(shape)) for shape in ((1,), (1, 1, 1, 1))]  # a bias, a convolution's
        for weight in weights:
            weight.grad = torch.zeros_like(weight)
        try:
            OPTIMIZERS.build({**settings, "params": weights}).step()
        except Exception as error:
            choice = " ".join(f"{key}={value}" for key, value in settings.items())
            raise UserError(f"schedule.optimizer with {choice} cannot be used: {_told(error)}") from error


def _build_skeleton(config: Settings) -> None:
    """Builds a detector with plain extractors and runs its backbone and neck on an image without pixels."""
    import torch

    choice = _choice(config, "architecture", "recipe", "profile")
    try:
        cfg = unplaced(config)
    except (OSError, ValueError, LookupError, AttributeError, TypeError) as error:
        base = config["architecture"]["base"]
        raise UserError(
            f"{choice} cannot be made of architecture.base={base}; give one of MMDetection's configs of a two-stage "
            f"detector with an FPN, as in conf/architecture/ ({_told(error)})"
        ) from error
    for place in config["architecture"]["extractors"]:
        wanted = cfg.model.roi_head[place]
        plain = {key: wanted[key] for key in ("roi_layer", "out_channels", "featmap_strides")}
        cfg.model.roi_head[place] = dict(type="SingleRoIExtractor", **plain)
    model = _build(cfg.model, choice)
    _require_fit(config, model, choice)
    model.eval()
    try:
        with torch.no_grad(), torch.device("meta"):
            model.extract_feat(torch.empty(1, 3, 64, 64))
    except (RuntimeError, ValueError, LookupError, AssertionError) as error:
        if "meta" not in str(error):  # else it is an operator that works only with memory, which is no mistake
            raise UserError(f"{choice} cannot be run: {_told(error)}") from error


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
    import torch
    from mmdet.registry import MODELS
    from mmengine.registry import DefaultScope

    import groie  # noqa: F401  (registers the modules)

    try:
        with torch.device("meta"), DefaultScope.overwrite_default_scope("mmdet"):
            made = MODELS.build(wanted)
    except Exception as error:
        raise UserError(f"{choice} cannot be built: {_told(error)}") from error
    weights = sum(weight.numel() for weight in made.parameters())
    if weights > MOST_WEIGHTS:
        raise UserError(
            f"{choice} has {weights:,} weights; no machine trains more than {MOST_WEIGHTS:,}: make it smaller"
        )
    return made


def _unseeded(aggregation: Settings) -> Settings:
    return {"seed": 0} if "seed" in aggregation else {}


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
