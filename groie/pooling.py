"""RoIAlign of all levels in one pass: the function of mmcv's operator or of v1's, several times faster.

On a GPU a Triton kernel computes it (groie/one_launch.py); what follows is for CPUs. A cell of a pooled RoI is a
weighted sum of feature rows (a pixel's C channels): `sampling_ratio`^2 samples, each of 4 pixels. One embedding bag
adds up the rows of every cell of every RoI and level; the gradient is a bag too, over cells sorted by pixel. Both walk
along rows in memory, use all threads and add in an order that is always the same.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from mmcv.ops import RoIAlign
from torch import Tensor
from torch.nn import functional

from groie import one_launch
from groie.roi_align import RoIAlignV1, rule_of
from groie.taps import AXIS_TAPS, Grid, Table, table_of, transposed


def fits(layers: Iterable[Any], feats: Iterable[Tensor]) -> bool:
    """Returns whether `pooled` computes what the layers would: averages, on a CPU or on a GPU with Triton.

    A layer that somebody hooked must run itself.
    """
    return all(feat.device.type == "cpu" or uses_kernel(feat) for feat in feats) and all(
        type(layer) in (RoIAlign, RoIAlignV1)
        and layer.pool_mode == "avg"
        and not layer.use_torchvision
        and not (layer._forward_hooks or layer._forward_pre_hooks)
        for layer in layers
    )


def uses_kernel(tensor: Tensor) -> bool:
    """Returns whether Triton's kernel pools what is on the tensor's device."""
    return tensor.is_cuda and one_launch.available()


def pooled(layers: Sequence[RoIAlign], feats: Sequence[Tensor], rois: Tensor) -> Tensor:
    """Returns RoI features (levels, N, C, h, w), channels last; a CPU's have the RoIs' type, a GPU's the levels'.

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


def of_chosen(layers: Sequence[RoIAlign], feats: Sequence[Tensor], rois: Tensor, chosen: Tensor) -> Tensor:
    """Returns each RoI's features of one level, (N, C, h, w), on a GPU; `chosen` (N,) has the levels' places."""
    return one_launch.pool(
        rois, _grid(layers[0]), [layer.spatial_scale for layer in layers], True, *feats, chosen=chosen
    )


def by_layer(layer: Any, feat: Tensor, rois: Tensor) -> Tensor:
    """Returns RoI features (N, C, h, w) of one level: by the one pass where it fits, else by the layer itself."""
    return pooled([layer], [feat], rois)[0] if fits([layer], [feat]) else layer(feat, rois)


def of_level(feat: Tensor, rois: Tensor, grid: Grid, scale: float) -> Tensor:
    """Returns RoI features (N, C, h, w) of one level; N may be 0."""
    if len(rois) == 0:
        return feat.new_zeros(0, feat.shape[1], grid.rows, grid.columns) + feat.sum() * 0
    return _Pool.apply(rois, grid, [scale], False, feat)


def _check(layer: RoIAlign, feat: Tensor, rois: Tensor) -> None:
    """Refuses what mmcv's operator refuses, and images on which it would read other memory."""
    if rois.is_cuda or torch.compiler.is_compiling():  # a look at values would wait for the GPU, or break the graph
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
    scales, grid = [level.spatial_scale for level in layers], _grid(layers[0])
    if uses_kernel(rois):
        return one_launch.pool(rois, grid, scales, add, *feats)
    return _Pool.apply(rois, grid, scales, add, *feats)


def _grid(layer: RoIAlign) -> Grid:
    rows, columns = layer.output_size
    return Grid(rows, columns, layer.sampling_ratio, rule_of(layer))


class _Pool(torch.autograd.Function):
    """RoI features of each level in turn, (levels * N, C, h, w), or their sum, (N, C, h, w).

    Only the RoIs are kept for the backward pass, which makes its tables again: that takes little time.
    """

    @staticmethod
    def forward(ctx: Any, rois: Tensor, grid: Grid, scales: list[float], add: bool, *levels: Tensor) -> Tensor:
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
            table = table_of(rois, level.shape, scale, grid)
            tables.append(table._replace(pixel=table.pixel + start))
            start += count
        if grid.ratio:  # as many taps a cell everywhere: one operation
            taps = (AXIS_TAPS * grid.ratio) ** 2
            parts = [(table.pixel.view(-1, taps), table.weight.view(-1, taps)) for table in tables]
            index, weight = (torch.cat(part, dim=1 if add else 0) for part in zip(*parts, strict=True))
            cells = functional.embedding_bag(index, rows, mode="sum", per_sample_weights=weight)
        else:
            each = [_bags(rows, table) for table in tables]
            cells = sum(each[1:], each[0]) if add else torch.cat(each)
        return cells.view(-1, grid.rows, grid.columns, width).permute(0, 3, 1, 2)

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
            rows = _bags(part, transposed(table_of(rois, shape, scale, ctx.grid), images * height * across))
            if channels_first:
                found = rows.new_empty(shape, dtype=dtype)
                for image, of_image in zip(found.view(images, width, -1), rows.chunk(images), strict=True):
                    image.copy_(of_image.t())  # image by image, because torch transposes matrices much faster than more
            else:
                found = rows.view(images, height, across, width).permute(0, 3, 1, 2).to(dtype)
            grads.append(found)
        return (None, None, None, None, *grads)


def _bags(rows: Tensor, table: Table) -> Tensor:
    return functional.embedding_bag(
        table.pixel, rows, table.starts, mode="sum", per_sample_weights=table.weight, include_last_offset=True
    )
