"""Finds the pixels of a level that make up each cell of a pooled RoI, and their weights.

The steps are mmcv's, in its order, so that samples fall on the same side of every border.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from groie.roi_align import extent

AXIS_TAPS = 2  # pixels on each axis that a bilinear sample is made of


class Grid(NamedTuple):
    """The cells of a pooled RoI and how each is sampled."""

    rows: int
    columns: int
    ratio: int  # samples per cell and side; 0: as many as the cell has pixels, rounded up
    rule: str  # v1, legacy or aligned


class Table(NamedTuple):
    """Which rows are added up to which bag: taps `starts[i]` to `starts[i + 1]` make bag i."""

    pixel: Tensor  # (taps,) int32, the row
    weight: Tensor  # (taps,)
    starts: Tensor  # (bags + 1,) int32


class Axis(NamedTuple):
    """One axis of RoIs on a level, in cells of the level."""

    start: Tensor  # (N,)
    length: Tensor  # (N,)
    pixels: int
    bins: int


def table_of(rois: Tensor, shape: Sequence[int], scale: float, grid: Grid) -> Table:
    """Returns the pixels of each cell and their weights: RoI by RoI, row by row."""
    _, _, height, width = shape
    image, left, top, right, bottom = rois.unbind(1)
    base = image.int()[:, None, None] * height
    of_y = Axis(*extent(grid.rule, top, bottom, scale), height, grid.rows)
    of_x = Axis(*extent(grid.rule, left, right, scale), width, grid.columns)
    if not grid.ratio:
        return _adaptive(base, of_y, of_x, 1 if grid.rule == "v1" else 0)
    pixel, weight = _outer(base, width, _samples(of_y, grid.ratio), _samples(of_x, grid.ratio))
    cells = len(rois) * grid.rows * grid.columns
    return Table(pixel, weight, torch.arange(cells + 1, dtype=torch.int32) * (AXIS_TAPS * grid.ratio) ** 2)


def transposed(table: Table, count: int) -> Table:
    """Returns the table of the gradient: row i of `count` is made of the cells that it is part of."""
    pixels, order = table.pixel.sort(stable=True)
    starts = torch.searchsorted(pixels, torch.arange(count + 1, dtype=pixels.dtype), out_int32=True)
    cells = torch.arange(len(table.starts) - 1, dtype=torch.int32)
    cell = cells.repeat_interleave(table.starts.diff(), output_size=len(pixels))
    return Table(cell[order], table.weight[order], starts)


def _adaptive(base: Tensor, of_y: Axis, of_x: Axis, least: int) -> Table:
    """Returns the table where a bin has as many samples as cells, rounded up: RoIs of equal numbers go together."""
    samples = torch.stack([(axis.length / axis.bins).ceil().clamp(min=least).int() for axis in (of_y, of_x)], dim=1)
    cells = of_y.bins * of_x.bins
    counts = (AXIS_TAPS * samples).prod(dim=1)
    starts = functional.pad(counts.repeat_interleave(cells).cumsum(0), (1, 0)).int()
    pixel = torch.empty(int(starts[-1]), dtype=torch.int32)
    weight = of_y.start.new_empty(len(pixel))
    pairs, group = samples.unique(dim=0, return_inverse=True)
    for number, (rows, columns) in enumerate(pairs.tolist()):
        which = (group == number).nonzero().squeeze(1)
        y, x = (
            _samples(axis._replace(start=axis.start[which], length=axis.length[which]), count)
            for axis, count in ((of_y, rows), (of_x, columns))
        )
        index, share = _outer(base[which], of_x.pixels, y, x)
        first = starts[:-1].view(-1, cells)[which].flatten()[:, None]
        place = first + torch.arange(AXIS_TAPS**2 * rows * columns, dtype=torch.int32)
        pixel[place.flatten()], weight[place.flatten()] = index, share
    return Table(pixel, weight, starts)


def _outer(
    base: Tensor, across: int, of_y: tuple[Tensor, Tensor], of_x: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """Returns the flat pixels and weights of all cells from those of the two axes."""
    (y, share_y), (x, share_x) = of_y, of_x
    row = (base + y) * across
    index = row[:, :, None, :, None] + x[:, None, :, None, :]
    weight = share_y[:, :, None, :, None] * share_x[:, None, :, None, :]
    return index.flatten(), weight.flatten()


def _samples(axis: Axis, count: int) -> tuple[Tensor, Tensor]:
    """Returns the pixels of each bin and their weights, (N, bins, taps), for `count` samples a bin."""
    start, step = axis.start[:, None, None], axis.length[:, None, None] / axis.bins
    number = torch.arange(axis.bins, dtype=start.dtype)[:, None]
    part = torch.arange(count, dtype=start.dtype) + 0.5
    at = start + number * step + part * step / max(count, 1)  # (N, bins, samples)
    inside = (at >= -1) & (at <= axis.pixels)
    at = torch.where(inside, at, 0).clamp(0, axis.pixels - 1)
    before = at.floor()
    share = torch.stack([1 - (at - before), at - before], dim=-1) * (inside.to(at.dtype) / max(count, 1))[..., None]
    first = before.int()
    pixel = torch.stack([first, (first + 1).clamp(max=axis.pixels - 1)], dim=-1)
    return pixel.flatten(2), share.flatten(2)
