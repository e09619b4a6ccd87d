"""Reads checkpoints as data and never executes them.

By default MMEngine unpickles files that torch refuses to read as data, and pickles can run code. Files that torch
accepts are not safe either: MMEngine allows them to call `getattr`, which is enough to run any code, and it executes
the config text of a checkpoint when a training is resumed.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch.hub import load_state_dict_from_url

from groie.convert import CheckpointError, without_logs


def load(file: Any, map_location: Any = None, weights_only: bool | None = None) -> Any:
    """Returns what a checkpoint holds, as `torch.load` does; CheckpointError if it is not weights and plain values.

    Args:
        file: a path, or an open file.
        map_location: as torch takes it.
        weights_only: taken for MMEngine's sake; always as if True.
    """
    return _as_data(file, torch.load, map_location=map_location)


def fetch(url: str, **options: Any) -> Any:
    """Returns what a checkpoint on the web holds, kept in torch's cache, like `load`."""
    return _as_data(url, load_state_dict_from_url, **options)


def _as_data(source: Any, read: Callable[..., Any], **options: Any) -> Any:
    try:
        with without_logs():
            content = read(source, weights_only=True, **options)
    except (OSError, MemoryError, torch.OutOfMemoryError):  # not an error of the file
        raise
    except Exception as error:  # what torch raises depends on what it is given
        raise CheckpointError(
            f"{source} is not a checkpoint of weights and plain values ({type(error).__name__}) and was not loaded; "
            "give one that torch.load reads with weights_only=True"
        ) from error
    if isinstance(content, dict) and isinstance(content.get("meta"), dict):
        content["meta"].pop("config", None)  # the text that MMEngine would execute
    return content
