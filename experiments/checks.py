"""What is refused before anything starts: keys that nobody reads, values out of range, modules that do not fit."""

import json
from collections.abc import Sequence
from typing import Any

from experiments import names
from experiments.errors import CONF, UserError, unknown
from experiments.trial import override_key

# Below these, keys are handed on to a constructor or to MMDetection, which refuse what they do not know.
OPEN = ("aggregation.", "pre.", "post.", "schedule.optimizer.", "profile.model.", "hydra.")

GROUPS = (*names.FACTORS, "resources", "tracking")

# Least and largest value of each whole number that a user is likely to set.
WHOLE_NUMBERS: dict[str, tuple[int, int | None]] = {
    "seed": (0, 2**32 - 1),  # NumPy's limit
    "schedule.epochs": (1, None),
    "schedule.batch_size": (1, None),
    "schedule.lr_batch_size": (1, None),
    "schedule.warmup_iters": (0, None),
    "resources.nodes": (1, None),
    "resources.cpu_processes": (1, None),
    "resources.loader_workers": (0, None),
    "resources.patience": (1, None),
    "retry.attempts": (1, None),
}
CHOICES = {"recipe.boxes": ("legacy", None), "recipe.box_loss": ("smooth_l1", None)}


def additions(overrides: Sequence[str]) -> None:
    """Raises UserError for a `+key=value` that no part of the program would read."""
    for override in overrides:
        key = override_key(override)
        if override.startswith("+") and not key.startswith(OPEN):
            places = ", ".join(place.rstrip(".") for place in OPEN)
            raise UserError(f"{override} adds a key that nothing reads; keys may be added below {places}")


def options(overrides: Sequence[str]) -> None:
    """Raises UserError where a group is left without an option: `~pre`, `pre=null`."""
    for override in overrides:
        group, _, option = override.partition("=")
        if group.startswith("~") or option in ("null", ""):
            valid = sorted(path.stem for path in (CONF / group.lstrip("~+")).glob("*.yaml"))
            raise unknown(f"{group.lstrip('~+')}: option", option or "nothing", valid)


def form(config: dict[str, Any], reference: dict[str, Any], where: str = "") -> None:
    """Raises UserError where a configuration lacks a key of the reference or has another kind of value there.

    The reference is the same choice of options with nothing else set.
    """
    for key, expected in reference.items():
        path = f"{where}{key}"
        if key not in config:
            raise UserError(f"{path} was taken away; every trial needs it")
        value = config[key]
        if isinstance(expected, dict) and isinstance(value, dict):
            form(value, expected, f"{path}.")
        elif (
            path not in (*WHOLE_NUMBERS, "resources.gpus")
            and _kind(value) != _kind(expected)
            and None not in (value, expected)
        ):
            raise UserError(f"{path}={value} is refused; give {_kind(expected)}, as in {path}={_shown(expected)}")


def _kind(value: object) -> str:
    kinds = {bool: "true or false", int: "a number", float: "a number", str: "a word", list: "a list", dict: "settings"}
    return kinds.get(type(value), "nothing")


def _shown(value: object) -> str:
    return json.dumps(value).replace('"', "").replace(" ", "")


def values(config: dict[str, Any]) -> None:
    """Raises UserError for a value out of range, and for an argument where there is no module to take it."""
    for key, (least, most) in WHOLE_NUMBERS.items():
        _require_whole(key, _at(config, key), least, most)
    for key, valid in CHOICES.items():
        if _at(config, key) not in valid:
            raise unknown(key, _at(config, key), ["null" if choice is None else choice for choice in valid])
    for place in ("pre", "post"):
        for key in config[place].keys() - {"name", "type"}:
            if config[place]["type"] is None:
                raise UserError(f"{place}.{key} is set, but {place}=none is no module; choose one with {place}=...")
    gpus = config["resources"]["gpus"]
    if gpus != "auto":
        _require_whole("resources.gpus", gpus, 0, None, " or auto")
    for kind in config["resources"]["keep_checkpoints"]:
        if kind not in ("last", "best"):
            raise unknown("resources.keep_checkpoints:", kind, ("last", "best"))


def _require_whole(key: str, value: object, least: int, most: int | None, other: str = "") -> None:
    if type(value) is not int or value < least or (most is not None and value > most):
        limit = f" and at most {most}" if most is not None else ""
        raise UserError(f"{key}={value} is refused; give a whole number, {least} or more{limit}{other}")


def _at(config: dict[str, Any], key: str) -> Any:
    node: Any = config
    for part in key.split("."):
        node = node[part]
    return node


def optimizers(configs: Sequence[dict[str, Any]]) -> None:
    """Raises UserError for an optimizer that MMEngine does not know: it would say only that None cannot be called."""
    from mmengine.optim import OPTIMIZERS

    for name in {config["schedule"]["optimizer"]["type"] for config in configs}:
        if OPTIMIZERS.get(name) is None:
            raise unknown("schedule.optimizer.type", name, sorted(OPTIMIZERS.module_dict))


def modules(configs: Sequence[dict[str, Any]]) -> None:
    """Builds the extractor of every distinct choice of modules; UserError with what its constructor says."""
    import torch
    from mmdet.registry import MODELS

    import groie  # noqa: F401  (registers the modules)
    from experiments import detector

    seen = set()
    for config in configs:
        extractor = detector.extractor(config, {"output_size": 7})
        text = json.dumps(extractor, sort_keys=True)
        if text in seen:
            continue
        seen.add(text)
        try:
            with torch.device("meta"):
                MODELS.build(extractor)
        except (ValueError, TypeError, KeyError, RuntimeError) as error:
            choice = " ".join(f"{group}={config[group]['name']}" for group in ("aggregation", "pre", "post"))
            raise UserError(f"{choice} cannot be built: {_innermost(error)}") from error


def _innermost(error: BaseException) -> str:
    """Returns the message of the first cause: MMEngine's registry wraps each error in its own."""
    while error.__cause__ is not None:
        error = error.__cause__
    return " ".join(str(error).split())
