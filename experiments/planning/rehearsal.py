"""Tries detectors on the meta device and a step of each optimizer before anything starts.

A thousand trials of a sweep share a few detectors (without their extractors), a few hundred extractors and one
optimizer. Each of these is tried once.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.data.datasets import Split
from experiments.errors import UserError
from experiments.factors import EDITING
from experiments.paths import TrialPaths
from experiments.planning.trial_builds import build, needs_memory, place, told
from experiments.settings import Settings

Config = dict[str, Any]  # of a module, as MMEngine builds it
NOWHERE = Path("nowhere")  # nothing is read or written there
WHOLE = ("architecture", "recipe", "profile", *EDITING)  # the groups that make a detector less its extractors
PARTS = ("aggregation", "pre", "post")  # and those that make an extractor
CLASSES = 3  # a number that no head has by itself


def detectors(trials: Sequence[Settings]) -> None:
    """Builds and runs each distinct detector and extractor once; UserError with the message of the part that fails."""
    from experiments.training.extractor import extractor

    wholes: dict[str, Settings] = {}
    extractors: dict[str, tuple[Settings, Config]] = {}
    for settings in trials:
        whole = settings.model_dump_json(include=set(WHOLE))
        wholes.setdefault(f"{whole} {_key(settings.edits)}", settings)
        for pooling in settings.architecture.extractors.values():
            wanted = extractor(settings.model_copy(update={"seed": 0}), pooling)  # the seed does not change the modules
            extractors.setdefault(_key(wanted), (settings, wanted))
    skeletons: dict[str, tuple[Settings, Any]] = {}
    for settings in wholes.values():
        model = _skeleton(settings)
        skeletons.setdefault(_key(model.to_dict()), (settings, model))
    for settings, model in skeletons.values():
        _try_detector(settings, model)
    run = set()
    for settings, wanted in extractors.values():
        made = build(wanted, _choice(settings, PARTS))
        _require_modules(settings, made)
        alone = _key({key: value for key, value in wanted.items() if key not in ("pre", "post")})
        if alone not in run:  # modules keep the width: this was tried when they were built
            _try_extractor(settings, wanted, made)
            run.add(alone)


def unplaced(settings: Settings, classes: int = 1) -> Any:
    """Returns the trial's MMEngine config without a place for its data."""
    from experiments.training.build import detector_config

    nothing = Split(NOWHERE, NOWHERE, tuple(f"class {number}" for number in range(classes)))
    return detector_config(settings, {"train": nothing, "val": nothing}, TrialPaths(NOWHERE), 1)


def optimizers(trials: Sequence[Settings]) -> None:
    """Makes one step with every distinct optimizer; UserError with its message."""
    import torch
    from mmengine.optim import OPTIMIZERS

    wanted = [trial.schedule.optimizer for trial in trials]
    for text in dict.fromkeys(_key({"type": one.type, **one.arguments}) for one in wanted):
        optimizer = json.loads(text)
        weights = [torch.nn.Parameter(torch.zeros(shape)) for shape in ((1,), (1, 1, 1, 1))]  # a bias, a convolution's
        for weight in weights:
            weight.grad = torch.zeros_like(weight)
        try:
            OPTIMIZERS.build({**optimizer, "params": weights}).step()
        except Exception as error:
            choice = " ".join(f"{key}={value}" for key, value in optimizer.items())
            raise UserError(f"schedule.optimizer with {choice} cannot be used: {told(error)}") from error


def _skeleton(settings: Settings) -> Any:
    """Returns the config of a detector with plain extractors, for data of CLASSES."""
    try:
        model = unplaced(settings, CLASSES).model
    except UserError:
        raise
    except Exception as error:  # of a config without a two-stage detector, or of a module in it
        base = settings.architecture.base
        raise UserError(
            f"{_choice(settings, WHOLE)} cannot be built from architecture.base={base}; give one of MMDetection's "
            f"configs of a two-stage detector with an FPN, as in conf/architecture/ ({told(error)})"
        ) from error
    for name, pooling in settings.architecture.extractors.items():
        layer = dict(type="RoIAlign", output_size=pooling.output_size, sampling_ratio=2)
        shape = {key: model.roi_head[name][key] for key in ("out_channels", "featmap_strides")}
        model.roi_head[name] = dict(type="SingleRoIExtractor", roi_layer=layer, **shape)
    return model


def _try_detector(settings: Settings, wanted: Any) -> None:
    """Builds a detector on the meta device and has it make a prediction there."""
    from experiments.training.build import base_config

    choice = _choice(settings, WHOLE)
    model = build(wanted, choice)
    _require_fit(settings, model, choice)
    _require_classes(model, choice)
    error = _failure(model, settings)
    if error is None or needs_memory(error):
        return
    shipped = _failure(build(base_config(settings).model, choice), settings)
    if shipped is None or place(shipped) != place(error):  # else MMDetection's own detector fails here too
        raise UserError(
            f"{choice} cannot be run: {told(error)}; the widths in MMDetection's config, profile.model and "
            f"profile.by_architecture must fit profile.channels={settings.profile.channels}"
        ) from error


def _failure(detector: Any, settings: Settings) -> Exception | None:
    """Returns the error of a detector's prediction on the meta device, None if there is none."""
    from experiments.training import cost

    try:
        cost.predict(detector, *settings.profile.image_scale)
    except Exception as error:  # of any operator or head
        return error
    return None


def _require_fit(settings: Settings, model: Any, choice: str) -> None:
    """Raises UserError if a head does not take its extractor's features, or no masks are predicted for evaluation."""
    from torch.nn import ModuleList

    for name, pooling in settings.architecture.extractors.items():
        head = getattr(model.roi_head, name.replace("roi_extractor", "head"), None)
        stages: Any = head if isinstance(head, ModuleList) else [head]
        for stage in stages:
            taken = getattr(stage, "roi_feat_size", pooling.output_size)
            given = pooling.output_size
            if taken not in (given, (given, given)):
                size = taken if isinstance(taken, int) else taken[0]
                raise UserError(
                    f"architecture.extractors.{name}.output_size={given} does not fit {type(stage).__name__}, "
                    f"which takes {size} cells on each side"
                )
    if "segm" in settings.architecture.iou_types and not model.with_mask:
        raise UserError(f"architecture.iou_types has segm, but {choice} predicts no masks")


def _require_classes(model: Any, choice: str) -> None:
    """Raises UserError if a head's number of classes does not follow the data."""
    from experiments.training.detector import COUNTS_OTHERWISE

    for name, module in model.roi_head.named_modules():
        count = getattr(module, "num_classes", CLASSES)
        if count != CLASSES and name.partition(".")[0] not in COUNTS_OTHERWISE:
            raise UserError(
                f"{choice}: {type(module).__name__} (roi_head.{name}) always has {count} classes, also if the data "
                "have another number; choose an architecture whose heads take the argument num_classes"
            )


def _require_modules(settings: Settings, made: Any) -> None:
    """Raises UserError if the extractor does not contain the chosen modules `pre` and `post`."""
    import groie  # noqa: F401 (it stands in for the operators that mmcv lacks)

    # isort: split
    from mmdet.registry import MODELS

    wanted = [module.type for module in (settings.pre, settings.post) if module.type is not None]
    for name in dict.fromkeys(wanted):
        kind = MODELS.get(name)
        if isinstance(kind, type) and sum(isinstance(part, kind) for part in made.modules()) < wanted.count(name):
            choice = _choice(settings, PARTS)
            raise UserError(
                f"{choice}: {type(made).__name__} does not build {name}; pass pre and post to the base class"
            )


def _try_extractor(settings: Settings, wanted: Config, made: Any) -> None:
    """Has an extractor pool two RoIs on the meta device; UserError if the features have a wrong shape."""
    import torch

    from groie.cost import MultiplyAdds, squares

    channels, cells = wanted["out_channels"], wanted["roi_layer"]["output_size"]
    feats = [torch.empty(1, channels, 64, 64, device="meta") for _ in wanted["featmap_strides"]]
    try:
        with torch.no_grad(), MultiplyAdds(made):
            given = tuple(made(feats, squares(2, 256, 256)).shape)
    except Exception as error:
        if needs_memory(error):
            return
        raise UserError(f"{_choice(settings, PARTS)} cannot be run: {told(error)}") from error
    if given != (2, channels, cells, cells):
        shape = f"it must return (2, {channels}, {cells}, {cells})"
        raise UserError(f"{_choice(settings, PARTS)} returns {given} for two RoIs; {shape}")


def _choice(settings: Settings, groups: Sequence[str]) -> str:
    """Returns what to type for the options of groups, less those that edit nothing."""
    shown = [group for group in groups if group not in EDITING or group in settings.edits]
    return " ".join(f"{group}={getattr(settings, group).name}" for group in shown)


def _key(content: Any) -> str:
    return json.dumps(content, sort_keys=True)
