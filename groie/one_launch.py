"""RoIAlign of all levels in one launch, for GPUs: prepares, launches and differentiates the kernels of kernels.py.

A GPU is faster than Python's preparations for it, so there are only a few calls of torch besides the kernel.
"""

import importlib.util
import math
import os
import shutil
import sysconfig
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from groie.taps import Grid


class Launch(NamedTuple):
    """What a program of a kernel does, chosen by measurement (docs/performance.md)."""

    cells: int
    channels: int
    warps: int


FORWARD = Launch(8, 128, 4)
BACKWARD = Launch(16, 64, 4)
SIDE = 64  # of a tile that is transposed

# What makes the rules of groie/roi_align.py, see `kernels.pool`.
RULES = {"v1": (0.0, 1.0, 0.0, 1.0), "legacy": (0.0, 0.0, 1.0, 0.0), "aligned": (0.5, 0.0, -math.inf, 0.0)}


class Shapes(NamedTuple):
    """The levels' sizes in the forms that the kernels take: whole numbers as floats (see `kernels.pool`)."""

    heights: tuple[float, ...]
    widths: tuple[float, ...]
    numbers: list[int]  # of each level
    firsts: tuple[float, ...]  # program of each level that is transposed, and the number of all


@lru_cache(maxsize=1)
def available() -> bool:
    """Returns whether Triton can launch kernels here.

    It comes with torch's CUDA builds, and at first use builds a launcher with a C compiler and Python's headers.
    """
    compiler = os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang")
    headers = Path(sysconfig.get_path("include"), "Python.h")
    return importlib.util.find_spec("triton") is not None and bool(compiler) and headers.exists()


def pool(
    rois: Tensor, grid: Grid, scales: Sequence[float], add: bool, *levels: Tensor, chosen: Tensor | None = None
) -> Tensor:
    """Returns RoI features of each level in turn, (levels * N, C, h, w), or with `add` their sum, (N, C, h, w).

    They have the levels' type and are channels last in memory; they are added up in the RoIs' type or that of the
    levels, whichever is finer.

    Args:
        rois: (N, 5), N > 0: image, x1, y1, x2, y2 in pixels; float32 or float64. Of an image that is not in the batch
            the features are zero.
        grid: the cells.
        scales: pixels of each level per pixel of the image.
        add: whether the levels are added up.
        levels: (images, C, H, W) of any floating type; channels-last ones are read where they are.
        chosen: (N,) int64, the one level that is added for each RoI; None for all.
    """
    return _Pool.apply(rois, chosen, grid, tuple(scales), add, *levels)


class _Pool(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, rois: Tensor, chosen: Tensor | None, grid: Grid, scales: tuple[float, ...], add: bool, *levels: Tensor
    ) -> Tensor:
        rois = rois.contiguous()
        first, shapes = levels[0], [level.shape for level in levels]
        last = all(level.is_contiguous(memory_format=torch.channels_last) for level in levels)
        maps: Sequence[Tensor] = levels
        if not last:
            maps = first.new_empty(sum(_shapes(*shapes).numbers)).split(_shapes(*shapes).numbers)
            _transpose([level.contiguous() for level in levels], maps, shapes, back=False)
        count = len(rois) if add else len(levels) * len(rois)
        out = first.new_empty(count, grid.rows, grid.columns, first.shape[1]).permute(0, 3, 1, 2)
        _launch(maps, shapes, out, rois, chosen, (grid, scales, add), backward=False)
        ctx.save_for_backward(rois, chosen)
        ctx.what, ctx.shapes, ctx.last, ctx.dtype = (grid, scales, add), shapes, last, first.dtype
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        rois, chosen = ctx.saved_tensors
        shapes, dtype, numbers = ctx.shapes, ctx.dtype, _shapes(*ctx.shapes).numbers
        sums = rois.new_zeros(sum(numbers), dtype=_exact(dtype, rois.dtype))
        maps = sums.split(numbers)
        _launch(maps, shapes, grad, rois, chosen, ctx.what, backward=True)
        grads: Sequence[Tensor]
        if ctx.last:
            grads = [
                part.view(images, height, width, channels).permute(0, 3, 1, 2)
                for part, (images, channels, height, width) in zip(sums.to(dtype).split(numbers), shapes, strict=True)
            ]
        else:
            grads = [rois.new_empty(shape, dtype=dtype) for shape in shapes]
            _transpose(maps, grads, shapes, back=True)
        asked = ctx.needs_input_grad[5:]
        return (None,) * 5 + tuple(one if needed else None for one, needed in zip(grads, asked, strict=True))


def _launch(
    maps: Sequence[Tensor],
    shapes: Sequence[torch.Size],
    cells: Tensor,
    rois: Tensor,
    chosen: Tensor | None,
    what: tuple[Grid, tuple[float, ...], bool],
    backward: bool,
) -> None:
    from groie import kernels

    (grid, scales, add), launch = what, BACKWARD if backward else FORWARD
    count, of_levels = len(rois), _shapes(*shapes)
    images, width, *_ = shapes[0]
    last = cells.is_contiguous(memory_format=torch.channels_last)
    if not last:
        cells = cells.contiguous()
    channels = min(launch.channels, 1 << (width - 1).bit_length())
    kernels.pool[(count * -(-grid.rows * grid.columns // launch.cells), -(-width // channels))](
        tuple(maps),
        cells,
        rois,
        rois if chosen is None else chosen,
        of_levels.heights,
        of_levels.widths,
        RULES[grid.rule],
        images,
        count,
        SCALES=scales,
        WIDTH=width,
        ROWS=grid.rows,
        COLUMNS=grid.columns,
        RATIO=grid.ratio,
        ADD=add,
        CHOOSE=chosen is not None,
        BACKWARD=backward,
        LAST=last,
        DOUBLE=_exact(cells.dtype, rois.dtype) == torch.float64,
        CELLS=launch.cells,
        CHANNELS=channels,
        num_warps=launch.warps,
        enable_fp_fusion=False,  # samples fall on the same side of every border as on a CPU
    )


def _transpose(given: Sequence[Tensor], found: Sequence[Tensor], shapes: Sequence[torch.Size], back: bool) -> None:
    """Writes levels that are channels first into channels-last ones, or back."""
    from groie import kernels

    heights, widths, _, firsts = _shapes(*shapes)
    kernels.transpose[(int(firsts[-1]),)](
        tuple(given),
        tuple(found),
        heights,
        widths,
        firsts,
        LEVELS=len(shapes),
        WIDTH=shapes[0][1],
        BACK=back,
        SIDE=SIDE,
        num_warps=8,
    )


@lru_cache(maxsize=1024)
def _shapes(*levels: torch.Size) -> Shapes:
    firsts = [0.0]
    for images, channels, height, width in levels:
        firsts.append(firsts[-1] + images * -(-channels // SIDE) * -(-height * width // SIDE))
    return Shapes(
        tuple(float(level[2]) for level in levels),
        tuple(float(level[3]) for level in levels),
        [math.prod(level) for level in levels],
        tuple(firsts),
    )


def _exact(dtype: torch.dtype, rois: torch.dtype) -> torch.dtype:
    return torch.promote_types(torch.promote_types(dtype, rois), torch.float32)
