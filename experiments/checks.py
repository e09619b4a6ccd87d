"""What is refused before anything starts: keys that nobody reads, values out of range, modules that do not fit."""

import json
from collections.abc import Sequence
from typing import Any

from experiments.errors import UserError, unknown
from experiments.trial import override_key

# Below these, keys are handed on to a constructor or to MMDetection, which refuse what they do not know.
OPEN = ("aggregation.", "pre.", "post.", "schedule.optimizer.", "profile.model.", "hydra.")

# Least value of each whole number that a user is likely to set.
WHOLE_NUMBERS = {
    "seed": 0,
    "schedule.epochs": 1,
    "schedule.batch_size": 1,
    "schedule.lr_batch_size": 1,
    "schedule.warmup_iters": 0,
    "resources.loader_workers": 0,
}


def additions(overrides: Sequence[str]) -> None:
    """Raises UserError for a `+key=value` that no part of the program would read."""
    for override in overrides:
        key = override_key(override)
        if override.startswith("+") and not key.startswith(OPEN):
            places = ", ".join(place.rstrip(".") for place in OPEN)
            raise UserError(f"{override} adds a key that nothing reads; keys may be added below {places}")


def values(config: dict[str, Any]) -> None:
    """Raises UserError for a number out of range or of another type."""
    for key, least in WHOLE_NUMBERS.items():
        _require_whole(key, _at(config, key), least)
    processes = config["resources"]["processes"]
    if processes != "auto":
        _require_whole("resources.processes", processes, 1, " or auto")
        batch(processes, config["schedule"]["batch_size"])


def batch(processes: int, images: int) -> None:
    """Raises UserError where a step's images cannot be shared evenly among a trial's processes."""
    if images % processes:
        divisors = ", ".join(str(number) for number in range(1, images + 1) if images % number == 0)
        raise UserError(
            f"resources.processes={processes} does not divide schedule.batch_size={images}; choose one of {divisors}, "
            "or another batch size (the learning rate follows it)"
        )


def _require_whole(key: str, value: object, least: int, other: str = "") -> None:
    if type(value) is not int or value < least:
        raise UserError(f"{key}={value} is refused; give a whole number, {least} or more{other}")


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
