"""Renames the weights of other detectors' checkpoints to our names: `python -m groie.convert IN OUT`.

- The authors' checkpoints (branch groie_dev, based on MMDetection v1). The parts of the RoI head move below `roi_head`;
  the extractors' `pre_conv` and `post_conv` become `pre_module` and `post_module`, `reduce` stays; the background, v1's
  first class, becomes the classifiers' last and is dropped from box regressors and masks (those of one class for all
  stay). The result is for a variant of `recipe=paper`.
- MMDetection 2's and 3's. Where a `GenericRoIExtractor` concatenates, its `post_module` is our `reduce`. All else has
  our names already: checkpoints of its `sum` load as they are.

Known, from the authors' published extractors and MMDetection v1's source: the names of the attributes. Inferred: that a
checkpoint of the authors holds these and no others; none was at hand to try. MMDetection's own
`upgrade_model_version.py` is not used: it executes the config text inside the checkpoint, leaves the extractors where
they were, rotates the biases of the RPN's anchors, and takes box and mask biases one class before their weights.
"""

import argparse
import os
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

V1_PART = re.compile(r"(bbox|mask|grid)_(head|roi_extractor)\.")  # the detector's own in v1, below roi_head since v2
V1_MODULE = re.compile(r"(_roi_extractor\.(?:\d+\.)?)(pre|post)_conv\.(?!\d)")  # a digit would be nn.Sequential's
CONCAT = re.compile(r"(_roi_extractor\.(?:\d+\.)?)post_module(\.conv\.)(weight|bias)$")
CLASSES = re.compile(r"\.(fc_cls|fc_reg|conv_logits)\.(weight|bias)$")
MODULE = r"roi_extractor\.(\d+\.)?(pre_module|post_module|reduce)"
OURS = re.compile(rf"(backbone|neck|rpn_head|roi_head\.(bbox|mask|grid)_(head|{MODULE}))\.")


class CheckpointError(ValueError):
    """A file cannot be read, converted or written; the message is one sentence."""


class _Ignored:
    """Stands for the log that MMEngine saves besides weights: takes anything, does nothing."""

    def __init__(self, *args: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


LOG = ["builtins.getattr", "mmengine.logging.history_buffer.HistoryBuffer", "numpy.ndarray", "numpy.dtype"]
LOG += [f"numpy.{core}.multiarray.{name}" for core in ("core", "_core") for name in ("_reconstruct", "scalar")]


def without_logs() -> AbstractContextManager[None]:
    """Within it, `torch.load(weights_only=True)` reads over the log that MMEngine saves besides weights."""
    context: AbstractContextManager[None] = torch.serialization.safe_globals([(_Ignored, name) for name in LOG])
    return context


def read(path: Path) -> dict[str, Any]:
    """Returns a detector's checkpoint, a dict with `state_dict`; nothing in the file is executed (`weights_only`)."""
    try:
        with without_logs():
            content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}; give a checkpoint") from error
    except Exception as error:  # what torch raises depends on what it is given
        raise CheckpointError(
            f"{path} is not a checkpoint of weights and plain values ({type(error).__name__}); "
            "give one that torch.load reads with weights_only=True"
        ) from error
    checkpoint = content if isinstance(content, dict) and "state_dict" in content else {"state_dict": content}
    weights = checkpoint["state_dict"]
    if not isinstance(weights, dict) or not all(isinstance(value, Tensor) for value in weights.values()):
        raise CheckpointError(f"{path} holds no state dict; give a checkpoint of a detector")
    if not any(str(key).startswith("rpn_head.") for key in weights):
        raise CheckpointError(f"{path} holds no RPN; give a checkpoint of Faster R-CNN or a descendant")
    return checkpoint


def convert(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns a detector's weights under our names; raises CheckpointError, naming them, where some have none."""
    v1 = any(V1_PART.match(key) for key in weights)
    converted, strangers = {}, []
    for key, value in weights.items():
        name = key
        if V1_PART.match(key):
            name = "roi_head." + V1_MODULE.sub(r"\1\2_module.", key)
            value = _background_last(key, value, weights)
        elif not v1 and CONCAT.search(key) and _reduces(weights[CONCAT.sub(r"\1post_module\2weight", key)].shape):
            name = CONCAT.sub(r"\1reduce\2\3", key)
        if not OURS.match(name):
            strangers.append(key)
        converted[name] = value
    if strangers:
        raise CheckpointError(
            f"a detector here has no weights {', '.join(strangers)}; remove them from the checkpoint if they may be "
            "lost"
        )
    return converted


def write(checkpoint: Mapping[str, Any], path: Path) -> None:
    """Saves the checkpoint as a whole or not at all."""
    part = path.parent / f".{path.name}.{os.getpid()}"
    try:
        with part.open("wb") as file:
            torch.save(checkpoint, file)
        part.replace(path)
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CheckpointError(
            f"{path} cannot be written: {reason}; give a file in a folder that you may write to"
        ) from error
    finally:
        with suppress(OSError):
            part.unlink()


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m groie.convert", description="Renames a checkpoint's weights to the names of this repository."
    )
    parser.add_argument("input", type=Path, metavar="IN", help="a checkpoint of the authors or of MMDetection")
    parser.add_argument("output", type=Path, metavar="OUT", help="the file to write; an existing file is replaced")
    given = parser.parse_args(arguments)
    try:
        checkpoint = read(given.input)
        weights = convert(checkpoint["state_dict"])
        meta = checkpoint.get("meta") or {}
        classes = {key: meta[key] for key in ("CLASSES", "dataset_meta") if key in meta}
        write({"meta": classes, "state_dict": weights}, given.output)
    except CheckpointError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    moved = len(weights.keys() - checkpoint["state_dict"].keys())
    print(f"{given.output}: {len(weights)} weights, {moved} of them renamed")
    return 0


def _background_last(key: str, value: Tensor, weights: Mapping[str, Tensor]) -> Tensor:
    """Returns a parameter of v1's heads with the classes numbered as MMDetection does since v2."""
    layer = CLASSES.search(key)
    if layer is None:
        return value
    if layer[1] == "fc_cls":
        return torch.cat([value[1:], value[:1]])
    rows = 4 if layer[1] == "fc_reg" else 1  # of each class
    classes = next((len(other) for name, other in weights.items() if name.endswith(".fc_cls.weight")), 0)
    return value[rows:].clone() if len(value) == rows * classes else value


def _reduces(kernel: Sequence[int]) -> bool:
    """Whether a convolution of this shape takes several levels' channels to one level's."""
    out, channels = kernel[:2]
    return channels > out and channels % out == 0 and list(kernel[2:]) == [1, 1]


if __name__ == "__main__":
    sys.exit(main())
