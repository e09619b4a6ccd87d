"""RoIAlign of all levels in one pass, for CPUs: the function of mmcv's operator or of v1's, several times faster.

A cell of a pooled RoI is a weighted sum of feature rows (a pixel's C channels): `sampling_ratio`^2 samples, each of 4
pixels. One embedding bag adds up the rows of every cell of every RoI and level; the gradient is a bag too, over cells
sorted by pixel. Both walk along rows in memory, use all threads and add in an order that is always the same.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from mmcv.ops import RoIAlign
from torch import Tensor
from torch.nn import functional

from groie.roi_align import RoIAlignV1, extent, rule_of

AXIS_TAPS = 2  # pixels on each axis that a bilinear sample is made of


def fits(layers: Iterable[Any], feats: Iterable[Tensor]) -> bool:
    """Returns whether `pooled` computes what the layers would: averages of a fixed number of samples, on a CPU.

    A layer that somebody hooked must run itself.
    """
    return all(feat.device.type == "cpu" for feat in feats) and all(
        type(layer) in (RoIAlign, RoIAlignV1)
        and layer.pool_mode == "avg"
        and layer.sampling_ratio > 0
        and not layer.use_torchvision
        and not (layer._forward_hooks or layer._forward_pre_hooks)
        for layer in layers
    )


def pooled(layers: Sequence[RoIAlign], feats: Sequence[Tensor], rois: Tensor) -> Tensor:
    """Returns RoI features (levels, N, C, h, w) in the RoIs' type, channels last in memory.

    Args:
        layers: RoIAlign of each level, alike but for their scales.
        feats: levels (images, C, H, W) of any floating type and layout.
        rois: (N, 5), N > 0: image, x1, y1, x2, y2 in pixels; float32 or float64.

    Raises:
        ValueError: a RoI's image is not in the batch, its corners are the wrong way round or no numbers.
    """
    _check(layers[0], feats[0], rois)
    return _cells(layers, feats, rois, False).unflatten(0, (len(feats), -1))


def summed(layers: Sequence[RoIAlign], feats: Sequence[Tensor], rois: Tensor) -> Tensor:
    """Returns the sum of `pooled` over the levels, (N, C, h, w)."""
    _check(layers[0], feats[0], rois)
    return _cells(layers, feats, rois, True)


def _check(layer: RoIAlign, feat: Tensor, rois: Tensor) -> None:
    """Refuses what mmcv's operator refuses, and images on which it would read other memory."""
    if torch.compiler.is_compiling():  # a look at values would break the graph
        return
    image, left, top, right, bottom = rois.unbind(1)
    good = (image >= 0) & (image < len(feat)) & ~rois.isnan().any(dim=1)
    if rule_of(layer) == "aligned":  # the others make a cell or nothing of it
        good &= (right >= left) & (bottom >= top)
    if not good.all():
        number = int((~good).nonzero()[0])
        raise ValueError(
            f"RoI {number} is {rois[number].tolist()}; give an image of the batch (0 to {len(feat) - 1}) "
            "and x1 <= x2, y1 <= y2"
        )


def _cells(layers: Sequence[RoIAlign], feats: Sequence[Tensor], rois: Tensor, add: bool) -> Tensor:
    layer = layers[0]
    scales = [level.spatial_scale for level in layers]
    grid = (*layer.output_size, layer.sampling_ratio, rule_of(layer))
    return _Pool.apply(rois, grid, scales, add, *feats)


class _Pool(torch.autograd.Function):
    """RoI features of each level in turn, (levels * N, C, h, w), or their sum, (N, C, h, w).

    Only the RoIs are kept for the backward pass, which makes its tables anew: they are made in no time.
    """

    @staticmethod
    def forward(ctx: Any, rois: Tensor, grid: tuple, scales: list[float], add: bool, *levels: Tensor) -> Tensor:
        ctx.save_for_backward(rois)
        ctx.grid, ctx.scales, ctx.add = grid, scales, add
        ctx.likes = [(level.shape, level.dtype, level.is_contiguous()) for level in levels]
        width = levels[0].shape[1]
        counts = [level.numel() // width for level in levels]
        rows = rois.new_empty(sum(counts), width)
        tables = []
        start = 0
        for level, scale, count in zip(levels, scales, counts, strict=True):
            part = level.permute(0, 2, 3, 1)
            rows[start : start + count].view(part.shape).copy_(part)
            index, weight = _taps(rois, level.shape, scale, grid)
            tables.append((index + start, weight))
            start += count
        indices, weights = (torch.cat(parts, dim=1 if add else 0) for parts in zip(*tables, strict=True))
        cells = functional.embedding_bag(indices, rows, mode="sum", per_sample_weights=weights)
        return cells.view(-1, *grid[:2], width).permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (rois,) = ctx.saved_tensors
        cells = grad.permute(0, 2, 3, 1).reshape(-1, grad.shape[1])
        of_level = [cells] * len(ctx.likes) if ctx.add else cells.chunk(len(ctx.likes))
        grads: list[Tensor | None] = []
        for number, (part, (shape, dtype, channels_first), scale) in enumerate(
            zip(of_level, ctx.likes, ctx.scales, strict=True)
        ):
            if not ctx.needs_input_grad[4 + number]:
                grads.append(None)
                continue
            images, width, height, across = shape
            rows = _spread(part, *_taps(rois, shape, scale, ctx.grid), images * height * across)
            if channels_first:
                found = rows.new_empty(shape, dtype=dtype)
                for image, of_image in zip(found.view(images, width, -1), rows.chunk(images), strict=True):
                    image.copy_(of_image.t())  # image by image, because torch transposes matrices much faster than more
            else:
                found = rows.view(images, height, across, width).permute(0, 3, 1, 2).to(dtype)
            grads.append(found)
        return (None, None, None, None, *grads)


def _spread(cells: Tensor, index: Tensor, weight: Tensor, count: int) -> Tensor:
    """Returns `count` rows, the bag's transpose: row i is the sum of weight * cell over all taps of index i."""
    pixels, order = index.flatten().sort(stable=True)
    starts = torch.searchsorted(pixels, torch.arange(count + 1, dtype=pixels.dtype), out_int32=True)
    cell = (order // index.shape[1]).int()
    weights = weight.flatten()[order]
    return functional.embedding_bag(
        cell, cells, starts, mode="sum", per_sample_weights=weights, include_last_offset=True
    )


def _taps(rois: Tensor, shape: Sequence[int], scale: float, grid: tuple) -> tuple[Tensor, Tensor]:
    """Returns the pixels of each cell and their weights, (N * h * w, taps): image by image, row by row."""
    rows, columns, ratio, rule = grid
    _, _, height, width = shape
    image, left, top, right, bottom = rois.unbind(1)
    y, of_y = _axis_taps(height, rows, ratio, *extent(rule, top, bottom, scale))
    x, of_x = _axis_taps(width, columns, ratio, *extent(rule, left, right, scale))
    y = (image.int()[:, None, None] * height + y) * width
    taps = (AXIS_TAPS * ratio) ** 2
    index = y[:, :, None, :, None] + x[:, None, :, None, :]
    weight = of_y[:, :, None, :, None] * of_x[:, None, :, None, :]
    return index.view(-1, taps), weight.view(-1, taps)


def _axis_taps(pixels: int, bins: int, ratio: int, start: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the pixels that each bin of an axis is made of and their weights, (N, bins, taps).

    The steps are mmcv's, in its order, so that samples fall on the same side of every border.
    """
    step = length[:, None, None] / bins
    number = torch.arange(bins, dtype=start.dtype)[:, None]
    part = torch.arange(ratio, dtype=start.dtype) + 0.5
    at = start[:, None, None] + number * step + part * step / ratio  # (N, bins, samples)
    inside = (at >= -1) & (at <= pixels)
    at = torch.where(inside, at, 0).clamp(0, pixels - 1)
    before = at.floor()
    share = torch.stack([1 - (at - before), at - before], dim=-1) * (inside.to(at.dtype) / ratio)[..., None]
    first = before.int()
    pixel = torch.stack([first, (first + 1).clamp(max=pixels - 1)], dim=-1)
    return pixel.flatten(2), share.flatten(2)
