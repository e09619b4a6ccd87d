"""Checks a composed configuration: unknown keys, values out of range, and values that do not fit together."""

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

# Keys below these are passed to a constructor or to MMDetection, which refuse unknown ones.
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
    """Raises UserError for a `+key=value` that no code reads, and for a `~key`, because every trial needs all keys.

    `++key=value` may also set a key of `config`, which has the same options.
    """
    for override in overrides:
        key = key_of(override)
        if override.startswith("~"):
            reason = "every trial needs this key" if _has(config, key) else "there is no such key"
            raise UserError(f"{override} cannot remove {key}, because {reason}; leave it out")
        if override.startswith("+") and not key.startswith(OPEN):
            if override.startswith("++") and _has(config, key):
                continue
            places = ", ".join(place.rstrip(".") for place in OPEN)
            raise UserError(f"{override} adds an unknown key; keys can be added only below {places}")


def _has(config: dict[str, Any], key: str) -> bool:
    node: Any = config
    for part in key.split("."):
        if not isinstance(node, dict) or part not in node:
            return False
        node = node[part]
    return True


def open_keys(config: dict[str, Any], reference: dict[str, Any], where: str = "") -> None:
    """Raises UserError if a key that no model describes is missing or has another type of value than its option.

    Args:
        config: resolved.
        reference: of the same options, without other overrides.
    """
    for key, expected in reference.items():
        path, value = f"{where}{key}", config.get(key)
        if isinstance(expected, dict) and isinstance(value, dict):
            open_keys(value, expected, f"{path}.")
        elif not path.startswith(OPEN) or refusals.schema_of(path, {}):
            continue
        elif key not in config:
            raise UserError(f"{path} is missing; every trial needs it")
        elif value == [] and expected:
            raise UserError(f"{path}=[] is empty; give one value or more, as in {path}={as_typed(expected)}")
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
            "calibrate=true needs dry_run=true, because it measures the cost of a plan; add dry_run=true or leave it "
            "out"
        )
    for place, module in (("pre", found.pre), ("post", found.post)):
        for key in module.arguments if module.type is None else ():
            raise UserError(
                f"{place}.{key} is set, but {place}=none has no arguments; choose a module with {place}=..."
            )
    if passwords.given(found.tracking.uri):
        raise UserError(
            "tracking.uri holds a password, which every trial would record; remove it; set MLFLOW_TRACKING_USERNAME "
            "and MLFLOW_TRACKING_PASSWORD for a server, PGPASSWORD or ~/.pgpass for PostgreSQL"
        )
    _require_weights(found.profile.model.get("backbone") or {})
    return found


def _require_weights(backbone: dict[str, Any]) -> None:
    wanted = backbone.get("init_cfg")
    if isinstance(wanted, dict) and wanted.get("type") == "Pretrained":
        file = wanted.get("checkpoint")
        if not isinstance(file, str) or not (re.match(r"\w+://", file) or Path(file).is_file()):
            raise UserError(
                f"profile.model.backbone.init_cfg.checkpoint={as_typed(file)} is not a file; give a file with the "
                f"backbone's weights, under the keys of MMDetection's {backbone.get('type', 'backbone')}"
            )
