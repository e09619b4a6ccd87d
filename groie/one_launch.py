"""RoIAlign of all levels in one launch, for GPUs: prepares, launches and differentiates the kernels of kernels.py."""

import importlib.util
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from groie.roi_align import extent
from groie.taps import Grid

MOST_LEVELS = 8


class Launch(NamedTuple):
    """What a program of a kernel does, chosen by measurement (docs/performance.md)."""

    cells: int
    channels: int
    warps: int


FORWARD = Launch(8, 256, 4)
BACKWARD = Launch(8, 256, 4)
SIDE = 64  # of a tile that is transposed


@lru_cache(maxsize=1)
def available() -> bool:
    """Returns whether Triton is installed, as it is with torch's CUDA builds."""
    return importlib.util.find_spec("triton") is not None


def pool(
    rois: Tensor, grid: Grid, scales: Sequence[float], add: bool, *levels: Tensor, chosen: Tensor | None = None
) -> Tensor:
    """Returns RoI features of each level in turn, (levels * N, C, h, w), or with `add` their sum, (N, C, h, w).

    Args:
        rois: (N, 5), N > 0: image, x1, y1, x2, y2 in pixels; float32 or float64. Of an image that is not in the batch
            the features are zero.
        grid: the cells.
        scales: pixels of each level per pixel of the image.
        add: whether the levels are added up.
        levels: (images, C, H, W) of any floating type; channels-last ones are read where they are.
        chosen: (N,), the one level that is added for each RoI; None for all.
    """
    return _Pool.apply(rois, chosen, grid, tuple(scales), add, *levels)


class _Pool(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, rois: Tensor, chosen: Tensor | None, grid: Grid, scales: tuple[float, ...], add: bool, *levels: Tensor
    ) -> Tensor:
        maps = _channels_last(levels)
        rois = rois.contiguous()
        start, step, counts = _plan(rois, grid, scales)
        width, number = levels[0].shape[1], len(rois)
        out = rois.new_empty(number if add else len(levels) * number, grid.rows, grid.columns, width)
        out = out.permute(0, 3, 1, 2)
        _launch(maps, levels, out, (rois, start, step, counts, chosen), grid, add, FORWARD, backward=False)
        ctx.save_for_backward(rois, start, step, counts, chosen)
        ctx.grid, ctx.add = grid, add
        ctx.likes = [torch.empty_like(level, device="meta") for level in levels]
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        rois, *plan = ctx.saved_tensors
        if not (grad.is_contiguous() or grad.is_contiguous(memory_format=torch.channels_last)):
            grad = grad.contiguous(memory_format=torch.channels_last)
        likes, width = ctx.likes, ctx.likes[0].shape[1]
        sums = rois.new_zeros(sum(like.numel() for like in likes), dtype=_exact(likes[0].dtype, rois.dtype))
        maps = [
            part.view(len(like), -1, width)
            for part, like in zip(sums.split([like.numel() for like in likes]), likes, strict=True)
        ]
        _launch(maps, likes, grad, (rois, *plan), ctx.grid, ctx.add, BACKWARD, backward=True)
        grads: list[Tensor] = []
        if all(_is_channels_last(like) for like in likes):
            for part, like in zip(maps, likes, strict=True):
                images, _, height, across = like.shape
                grads.append(part.view(images, height, across, width).permute(0, 3, 1, 2).to(like.dtype))
        else:
            grads = [torch.empty(like.shape, dtype=like.dtype, device=rois.device) for like in likes]
            _transpose(maps, grads)
        needed = ctx.needs_input_grad[5:]
        return (
            None,
            None,
            None,
            None,
            None,
            *(one if asked else None for one, asked in zip(grads, needed, strict=True)),
        )


def _plan(rois: Tensor, grid: Grid, scales: tuple[float, ...]) -> tuple[Tensor, Tensor, Tensor]:
    """Returns where RoIs start on each level and axis, (levels, N, 2: x, y), a bin's length, samples if adaptive."""
    scale, bins = _constants(scales, (grid.columns, grid.rows), rois.dtype, rois.device)
    start, length = extent(grid.rule, rois[:, 1:3], rois[:, 3:], scale)  # type: ignore[arg-type]
    step = length / bins
    if grid.ratio:
        return start.contiguous(), step, step
    return start.contiguous(), step, step.ceil().clamp(min=1 if grid.rule == "v1" else 0).int()


@lru_cache(maxsize=64)
def _constants(
    scales: tuple[float, ...], bins: tuple[int, int], dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Returns scales (levels, 1, 1) and bins (2,) on the device, once: copying them there would wait for it."""
    with torch.inference_mode(False):
        scale = torch.tensor(scales, dtype=dtype, device=device)[:, None, None]
        return scale, torch.tensor(bins, dtype=dtype, device=device)


def _launch(
    maps: Sequence[Tensor],
    levels: Sequence[Tensor],
    cells: Tensor,
    plan: Sequence[Tensor | None],
    grid: Grid,
    add: bool,
    launch: Launch,
    backward: bool,
) -> None:
    from groie import kernels

    rois, *of_rois, chosen = plan
    assert rois is not None
    count, width = len(rois), levels[0].shape[1]
    channels = min(launch.channels, 1 << (width - 1).bit_length())
    blocks = -(-grid.rows * grid.columns // launch.cells)
    of_roi, of_channel, _, of_cell = cells.stride()
    kernels.pool[(count * blocks, -(-width // channels))](
        tuple(maps),
        cells,
        rois,
        *of_rois,
        rois if chosen is None else chosen,
        tuple(level.shape[2] for level in levels),
        tuple(level.shape[3] for level in levels),
        len(levels[0]),
        count,
        count * of_roi,
        of_roi,
        of_cell,
        of_channel,
        LEVELS=len(levels),
        WIDTH=width,
        ROWS=grid.rows,
        COLUMNS=grid.columns,
        RATIO=grid.ratio,
        ADD=add,
        CHOOSE=chosen is not None,
        BACKWARD=backward,
        DOUBLE=_exact(levels[0].dtype, rois.dtype) == torch.float64,
        CELLS=launch.cells,
        CHANNELS=channels,
        num_warps=launch.warps,
        enable_fp_fusion=False,  # samples fall on the same side of every border as on a CPU
    )


def _exact(level: torch.dtype, rois: torch.dtype) -> torch.dtype:
    return torch.promote_types(torch.promote_types(level, rois), torch.float32)


def _is_channels_last(level: Tensor) -> bool:
    return level.is_contiguous(memory_format=torch.channels_last)


def _channels_last(levels: Sequence[Tensor]) -> list[Tensor]:
    """Returns the levels as (images, pixels, C) in memory; nothing is copied where all are channels last."""
    if all(_is_channels_last(level) for level in levels):
        return [level.permute(0, 2, 3, 1).flatten(1, 2) for level in levels]
    given = [level.contiguous().flatten(2) for level in levels]
    rows = given[0].new_empty(sum(level.numel() for level in given))
    parts = rows.split([level.numel() for level in given])
    found = [part.view(len(level), -1, level.shape[1]) for part, level in zip(parts, given, strict=True)]
    _transpose(given, found)
    return found


def _transpose(given: Sequence[Tensor], found: Sequence[Tensor]) -> None:
    """Writes each level of (images, rows, columns) into one of (images, columns, rows), whatever its further shape."""
    from groie import kernels

    shapes = [(len(level), level.shape[1], level[0, 0].numel()) for level in given]
    firsts = [0]
    for images, rows, columns in shapes:
        firsts.append(firsts[-1] + images * -(-rows // SIDE) * -(-columns // SIDE))
    kernels.transpose[(firsts[-1],)](
        tuple(given),
        tuple(found),
        tuple(rows for _, rows, _ in shapes),
        tuple(columns for *_, columns in shapes),
        tuple(firsts),
        LEVELS=len(given),
        SIDE=SIDE,
        num_warps=8,
    )
