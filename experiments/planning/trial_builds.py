"""Builds parts of detectors on the meta device, and turns their errors into one-line reasons."""

import copy
import traceback
from typing import Any

from experiments.errors import UserError

MOST_WEIGHTS = 5_000_000_000  # 80 GB with gradients and an optimizer's state


def build(wanted: Any, choice: str) -> Any:
    """Returns the module of a config on the meta device, in eval mode; UserError if it cannot be built or is too large.

    Args:
        wanted: config of a module that MMDetection's registry builds.
        choice: the overrides that choose it, for the error.
    """
    import groie  # noqa: F401 (it registers the modules, and stands in for the operators that mmcv lacks)

    # isort: split
    import torch
    from mmdet.registry import MODELS
    from mmengine.registry import DefaultScope

    def on(device: str) -> Any:
        with torch.device(device), DefaultScope.overwrite_default_scope("mmdet"):
            return MODELS.build(copy.deepcopy(wanted)).to("meta").eval()  # MMDetection writes into it

    try:
        try:
            made = on("meta")
        except Exception as error:
            if not needs_memory(error):
                raise
            made = on("cpu")
    except Exception as error:
        raise UserError(f"{choice} cannot be built: {told(error)}") from error
    weights = sum(weight.numel() for weight in made.parameters())
    if weights > MOST_WEIGHTS:
        raise UserError(f"{choice} has {weights:,} weights, more than the limit of {MOST_WEIGHTS:,}; make it smaller")
    return made


def needs_memory(error: Exception) -> bool:
    """Returns whether an error comes from an operator that cannot run on the meta device, which is not a mistake."""
    return "meta" in str(error).lower()


def place(error: Exception) -> list[tuple[str, int | None]]:
    """Returns the lines of code that led to an error."""
    return [(frame.filename, frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]


def told(error: BaseException) -> str:
    """Returns the message of the first cause, in one line: MMEngine's registry wraps each error in its own."""
    while error.__cause__ is not None:
        error = error.__cause__
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    line = " ".join(text.split()).partition(". Please check whether")[0]  # the registry's long advice
    if not line:  # an assertion without a message
        line = traceback.extract_tb(error.__traceback__)[-1].line or "no reason given"
    return line if isinstance(error, ValueError | RuntimeError) else f"{type(error).__name__}: {line}"
