"""Attention within square RoIs in a few large products, for GPUs, where a small operation costs as much as a large one.

RoIs are matrices of cells and channels. Queries, values and the projection are linear: energies come straight from x,
and values are projected before they are mixed. The gradient is written out: little is kept for it, and few kernels run.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def in_few_launches(x: Tensor) -> bool:
    """Returns whether `mixed_in` is the faster way for x."""
    return x.is_cuda and not torch.compiler.is_compiling()


def mixed_in(x: Tensor, energy: Tensor, value: Tensor, bias: Tensor, stride: int) -> Tensor:
    """Returns x + bias + the keys' values, each weighted by a softmax over the keys: (N, C, s, s), channels last.

    Args:
        x: RoIs, (N, C, s, s).
        energy: (s, 2 * k * heads, C), where k = ceil(s / stride). Energies of a cell of column j are its channels'
            products with energy[j]: those of keys' columns for itself; those of keys' rows for the cell with row and
            column swapped.
        value: (heads * C, C), from a key's channels to what each head's share of it adds to a cell.
        bias: (C,).
        stride: cells between keys, on each axis.
    """
    return _Mixed.apply(x, energy, value, bias, stride)


class _Mixed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, energy: Tensor, value: Tensor, bias: Tensor, stride: int) -> Tensor:
        n, channels, side, _ = x.shape
        cells = x.permute(0, 2, 3, 1).contiguous()  # (N, row, column, C)
        with torch.autocast(x.device.type, enabled=False):
            energy, value = energy.to(x.dtype), value.to(x.dtype)
            weights = _weights(cells, energy, value.shape[0] // channels)
            out = cells.view(n, -1, channels) + bias.to(x.dtype)
            out.baddbmm_(weights, _values(_keys(cells, stride), value, n))
        ctx.save_for_backward(cells, energy, value, weights)
        ctx.stride, ctx.dtype = stride, bias.dtype
        return out.view(n, side, side, channels).permute(0, 3, 1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        cells, energy, value, weights = ctx.saved_tensors
        n, side, _, channels = cells.shape
        heads = value.shape[0] // channels
        with torch.autocast(grad.device.type, enabled=False):
            to_x = grad.permute(0, 2, 3, 1).clone(memory_format=torch.contiguous_format)
            given = to_x.view(n, -1, channels)
            keys = _keys(cells, ctx.stride)
            of_weights = torch.bmm(given, _values(keys, value, n).transpose(1, 2))
            of_values = torch.bmm(weights.transpose(1, 2), given).view(-1, len(value))
            to_bias = given.sum((0, 1))
            # The softmax is over rows and columns of keys, whose energies are added.
            share = (weights * of_weights).view(n, side * side, -1, heads)
            of_both = torch.addcmul(share, weights.view_as(share), share.sum(2, keepdim=True), value=-1)
            k = energy.shape[1] // (2 * heads)
            of_both = of_both.view(n, side, side, k, k, heads)
            of_energies = cells.new_empty(side, n, side, 2, k, heads)
            torch.sum(of_both, 3, out=of_energies[:, :, :, 0].permute(1, 2, 0, 3, 4))  # over the keys' rows
            torch.sum(of_both, 4, out=of_energies[:, :, :, 1].permute(1, 0, 2, 3, 4))  # over their columns
            flat = of_energies.view(side, n * side, -1)
            to_energy = torch.bmm(flat.transpose(1, 2), _by_column(cells))
            to_value = torch.mm(of_values.t(), keys)
            _by_column(to_x).baddbmm_(flat, energy)
            to_keys = torch.mm(of_values, value)
            to_x[:, :: ctx.stride, :: ctx.stride].add_(to_keys.view(n, k, k, channels))
        exact = ctx.dtype
        return to_x.permute(0, 3, 1, 2), to_energy.to(exact), to_value.to(exact), to_bias.to(exact), None


def _by_column(cells: Tensor) -> Tensor:
    """Returns a view: (column, N * rows, C)."""
    n, side, _, channels = cells.shape
    return cells.view(n * side, side, channels).transpose(0, 1)


def _keys(cells: Tensor, stride: int) -> Tensor:
    """Returns the keys' channels, (N * k * k, C)."""
    return cells[:, ::stride, ::stride].reshape(-1, cells.shape[3])


def _values(keys: Tensor, value: Tensor, n: int) -> Tensor:
    """Returns what each head's share of each key adds to a cell, (N, k * k * heads, C)."""
    return torch.mm(keys, value.t()).view(n, -1, keys.shape[1])


def _weights(cells: Tensor, energy: Tensor, heads: int) -> Tensor:
    """Returns the softmax, (N, row * column, keys' row * keys' column * head)."""
    n, side, _, _ = cells.shape
    energies = torch.bmm(_by_column(cells), energy.transpose(1, 2)).view(side, n, side, 2, -1, heads)
    # Over all keys, whose energies are a row's and a column's: one softmax for each, multiplied.
    of_column, of_row = energies.softmax(4, dtype=torch.promote_types(cells.dtype, torch.float32)).unbind(3)
    of_column = of_column.permute(1, 2, 0, 3, 4).unsqueeze(3)  # (N, row, column, 1, keys' column, head)
    of_row = of_row.permute(1, 0, 2, 3, 4).unsqueeze(4)  # swapped
    k = energies.shape[4]
    weights = cells.new_empty(n, side, side, k, k, heads)
    torch.mul(of_row, of_column, out=weights)
    return weights.view(n, side * side, -1)
