"""Numbers in a resolved configuration: text that spells a number becomes one; NaN and infinity are refused."""

import math
import re
from typing import Any

from experiments.errors import UserError
from experiments.planning import refusals
from experiments.sentences import shown

WHOLE = re.compile(r"[+-]?\d{1,18}")
DECIMAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)
TRUTHS = {"true": True, "false": False}
LARGEST = 2**63  # of whole numbers: the first that torch, NumPy and MLflow cannot hold


def read(config: dict[str, Any], reference: dict[str, Any]) -> None:
    """Replaces text by its number or truth value, in place, if the key takes one: `${oc.env:NAME}` gives text.

    Raises UserError for NaN, infinity, and whole numbers beyond 64 bits.

    Args:
        config: resolved.
        reference: of the same options, without other overrides.
    """
    _read(config, config, reference, "")


def _read(whole: dict[str, Any], config: dict[str, Any], reference: object, where: str) -> None:
    for key, value in config.items():
        path = f"{where}{key}"
        expected = reference.get(key) if isinstance(reference, dict) else None
        if isinstance(value, dict):
            _read(whole, value, expected, f"{path}.")
            continue
        number, truth = refusals.takes(path, whole, expected)
        if isinstance(value, str) and truth:
            config[key] = TRUTHS.get(value.strip().lower(), value)
        elif number:
            config[key] = spelt(value)
        _require_finite(path, config[key])


def spelt(value: object) -> object:
    """Returns the number that a text spells; any other value unchanged."""
    text = value.strip() if isinstance(value, str) else ""
    if WHOLE.fullmatch(text):
        return int(text)
    return float(text) if DECIMAL.fullmatch(text) else value


def _require_finite(path: str, value: object) -> None:
    if isinstance(value, list):
        for item in value:
            _require_finite(path, item)
    elif isinstance(value, dict):
        for key, item in value.items():
            _require_finite(f"{path}.{key}", item)
    elif isinstance(value, float) and not math.isfinite(value):
        raise UserError(f"{path}={value} is refused; give a finite number")
    elif isinstance(value, int) and abs(value) >= LARGEST:
        raise UserError(f"{path}={shown(value, 30)} is refused; give a number below 2^63")
