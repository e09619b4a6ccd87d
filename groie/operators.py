"""Provides the compiled operators of mmcv that MMDetection needs, without a compiler: NMS and average RoIAlign.

mmcv looks for compiled operators in its module `mmcv._ext`, which a plain wheel of mmcv lacks. Importing this module
puts a module in that place where there is none: on a CPU its operators are ours, on a GPU torchvision's. A compiled
mmcv is left alone. So `groie` must be imported before `mmcv.ops` or `mmdet.models`.
"""

import importlib.metadata
import importlib.util
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from groie.nms import nms as nms_on_cpu

PLACE = "mmcv._ext"  # where mmcv looks
AVERAGE = 1  # mmcv's number for pool_mode="avg"


class MissingOperatorError(NotImplementedError):
    """An operator of mmcv that only a compiled mmcv has."""


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Returns the indices of the boxes that are kept, highest score first; see `groie.nms`."""
    if boxes.device.type == "cpu":
        return nms_on_cpu(boxes, scores, iou_threshold, offset)
    shift = boxes.new_tensor([0, 0, offset, offset])  # a box that covers its last pixel ends one later
    return torchvision_ops().nms(boxes + shift, scores, iou_threshold)


def roi_align_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    *,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Writes RoI features (N, C, h, w) into `output`; the arguments are mmcv's."""
    _require_average(pool_mode)
    size = (aligned_height, aligned_width)
    output.copy_(_align(input, rois, size, spatial_scale, sampling_ratio, aligned))


def roi_align_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    grad_input: Tensor,
    *,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Writes the gradient by the feature level, (images, C, H, W), into `grad_input`; the arguments are mmcv's."""
    _require_average(pool_mode)
    size = (aligned_height, aligned_width)
    with torch.enable_grad():  # pooling is linear: whatever the level holds, the gradient is the same
        level = torch.zeros_like(grad_input, requires_grad=True)
        pooled = _align(level, rois, size, spatial_scale, sampling_ratio, aligned)
        (found,) = torch.autograd.grad(pooled, level, grad_output)
    grad_input.copy_(found)


def torchvision_ops() -> ModuleType:
    """Returns torchvision's operators, which run on a GPU; ImportError with the remedy if they are missing."""
    try:
        import torchvision
    except Exception as error:  # also if its library lacks an operator, because it is for another build of torch
        raise ImportError(
            f"torchvision is needed on a GPU and cannot be imported ({error}); install the one of torch "
            f"{torch.__version__}: pip install -c constraints.txt -e '.[gpu]'"
        ) from error
    return torchvision.ops


def backend() -> str:
    """Returns the package of the NMS and RoIAlign in use, for a trial's record."""
    from groie import one_launch  # which imports mmcv's operators

    if sys.modules.get(PLACE) is not _SELF:
        used = f"mmcv {importlib.metadata.version('onedl-mmcv')}, compiled"
    elif torch.cuda.is_available():
        used = f"torchvision {importlib.metadata.version('torchvision')}"
    else:
        used = "groie"
    if torch.cuda.is_available() and one_launch.available():
        used += f"; RoIs pooled by Triton {importlib.metadata.version('triton')}"
    return used


def _align(
    level: Tensor, rois: Tensor, size: tuple[int, int], scale: float, sampling_ratio: int, aligned: bool
) -> Tensor:
    if level.device.type == "cpu":
        from groie import pooling  # which imports mmcv's operators

        return pooling.of_level(
            level, rois, pooling.Grid(*size, sampling_ratio, "aligned" if aligned else "legacy"), scale
        )
    if level.device.type == "meta":  # shapes only
        return level.new_empty(len(rois), level.shape[1], *size) + level.sum()
    return torchvision_ops().roi_align(level, rois, size, scale, sampling_ratio, aligned)


def _require_average(pool_mode: int) -> None:
    if pool_mode != AVERAGE:
        raise MissingOperatorError(
            "RoIAlign's pool_mode='max' needs a compiled mmcv; use pool_mode='avg', or install mmcv with its operators"
        )


def __getattr__(name: str) -> Callable[..., Any]:
    """Returns a placeholder for a missing operator: mmcv only checks that it exists until it calls it."""
    if name.startswith("__"):
        raise AttributeError(name)

    def missing(*_: Any, **__: Any) -> Any:
        raise MissingOperatorError(
            f"the operator {name} needs a compiled mmcv; choose a model without it, or build mmcv with its operators"
        )

    return missing


_SELF = sys.modules[__name__]
if PLACE not in sys.modules and importlib.util.find_spec(PLACE) is None:
    sys.modules[PLACE] = _SELF
