"""What is refused of a composed configuration: keys that nothing reads, values out of range, values that do not fit."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments import passwords
from experiments.declared import key_of
from experiments.errors import UserError
from experiments.factors import FACTORS, MODULES
from experiments.planning import refusals
from experiments.planning.refusals import as_typed
from experiments.settings import Settings

# Below these, keys are handed on to a constructor or to MMDetection, which refuse what they do not know.
OPEN = (
    *("aggregation.", "pre.", "post.", "schedule.optimizer.", "profile.model.", "profile.by_architecture.", "hydra."),
    *(f"{factor}.edits." for factor in FACTORS if factor not in MODULES),
)


def is_open(override: str) -> bool:
    """Returns whether an override adds, removes or decides on keys, or sets a key that no model describes."""
    key = f"{key_of(override)}."
    is_option = "." not in override.partition("=")[0] and "{" not in override
    inside = key.startswith(OPEN) or any(one.startswith(key) for one in OPEN)
    return override.startswith(("+", "~")) or key == "dataset.kind." or (inside and not is_option)


def additions(overrides: Sequence[str], config: dict[str, Any]) -> None:
    """Raises UserError for a `+key=value` that no part of the program would read, and for a `~key` that one needs.

    `++key=value` may set what is in `config`, the same choice of options, too.
    """
    for override in overrides:
        key = key_of(override)
        if override.startswith("~"):
            needed = "every trial needs it" if _has(config, key) else "there is no such key"
            raise UserError(f"{override} takes away {key}: {needed}; leave it out")
        if override.startswith("+") and not key.startswith(OPEN):
            if override.startswith("++") and _has(config, key):
                continue
            places = ", ".join(place.rstrip(".") for place in OPEN)
            raise UserError(f"{override} adds a key that nothing reads; keys may be added below {places}")


def _has(config: dict[str, Any], key: str) -> bool:
    node: Any = config
    for part in key.split("."):
        if not isinstance(node, dict) or part not in node:
            return False
        node = node[part]
    return True


def open_keys(config: dict[str, Any], reference: dict[str, Any], where: str = "") -> None:
    """Raises UserError where a key that no model describes is missing or has another kind of value than its option.

    Args:
        config: resolved.
        reference: the same choice of options with nothing else set.
    """
    for key, expected in reference.items():
        path, value = f"{where}{key}", config.get(key)
        if isinstance(expected, dict) and isinstance(value, dict):
            open_keys(value, expected, f"{path}.")
        elif not path.startswith(OPEN) or refusals.schema_of(path, {}):
            continue
        elif key not in config:
            raise UserError(f"{path} was taken away; every trial needs it")
        elif value == [] and expected:
            raise UserError(f"{path}=[] is empty; give one or more, as in {path}={as_typed(expected)}")
        elif value is not None and expected is not None and _kind(value) != _kind(expected):
            raise UserError(f"{path}={value} is refused; give {_kind(expected)}, as in {path}={as_typed(expected)}")


def _kind(value: object) -> str:
    kinds = {bool: "true or false", int: "a number", float: "a number", str: "a word", list: "a list", dict: "settings"}
    return kinds.get(type(value), "nothing")


def settings(config: dict[str, Any]) -> Settings:
    """Returns the settings of a resolved configuration; UserError for a value that is refused."""
    found = refusals.validated(config)
    if "bbox" not in found.architecture.iou_types:
        given = as_typed(list(found.architecture.iou_types))
        raise UserError(f"architecture.iou_types={given} is refused; give [bbox] or [bbox,segm]")
    if found.calibrate and not found.dry_run:
        raise UserError(
            "calibrate=true goes with dry_run=true: it measures what a plan will cost; add that or leave it out"
        )
    for place, module in (("pre", found.pre), ("post", found.post)):
        for key in module.arguments if module.type is None else ():
            raise UserError(f"{place}.{key} is set, but {place}=none is no module; choose one with {place}=...")
    if passwords.given(found.tracking.uri):
        raise UserError(
            "tracking.uri holds a password, which every trial would record; leave it out and give a server's in "
            "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, PostgreSQL's in PGPASSWORD or ~/.pgpass"
        )
    _require_weights(found.profile.model.get("backbone") or {})
    return found


def _require_weights(backbone: dict[str, Any]) -> None:
    wanted = backbone.get("init_cfg")
    if isinstance(wanted, dict) and wanted.get("type") == "Pretrained":
        file = wanted.get("checkpoint")
        if not isinstance(file, str) or not (re.match(r"\w+://", file) or Path(file).is_file()):
            raise UserError(
                f"profile.model.backbone.init_cfg.checkpoint={as_typed(file)} is no file; give one with the backbone's "
                f"weights under the keys of MMDetection's {backbone.get('type', 'backbone')}"
            )
