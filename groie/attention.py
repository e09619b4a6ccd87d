"""Attention within a RoI from query content and relative position (paper, Tables III-V; type 0100 of Zhu et al.)."""

import math
from functools import lru_cache
from typing import Any

import torch
from mmcv.cnn.bricks import GeneralizedAttention
from mmdet.registry import MODELS
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from groie.mixing import in_few_launches, mixed_in

VERTICAL_QUERIES = ("transposed", "own")


@MODELS.register_module()
class RoIAttention(GeneralizedAttention):
    """mmcv's GeneralizedAttention of type 0100 with its parameters, computed axis by axis without copies per RoI.

    Cell (y, x) attends to every kv_stride-th cell (v, u) of the RoI with weights softmax(q . X[x - u] + q' . Y[y - v]),
    where q is its query and X, Y embed offsets. Starts as the identity: the gain gamma is zero.

    Args:
        channels: C, a multiple of 4 (sine and cosine for each axis).
        num_heads: heads, 1 to C; each has C // num_heads channels, the remainder stays unused.
        kv_stride: cells between keys, on each axis.
        vertical_query: what q' is. "own": the query of (y, x), as the attention's paper has it. "transposed": the query
            of cell (x, y), as mmcv computes it (it swaps the axes for X and does not swap them back for Y), and
            MMDetection did when the authors trained; RoIs must be pooled to squares.

    Raises:
        ValueError: an argument is out of range, or h != w with transposed queries.
    """

    each_roi_alone = True

    def __init__(
        self, channels: int, num_heads: int = 6, kv_stride: int = 2, vertical_query: str = "transposed"
    ) -> None:
        if channels % 4:
            raise ValueError(f"attention does not fit {channels} channels; choose a multiple of 4")
        if not isinstance(num_heads, int) or not 1 <= num_heads <= channels:
            raise ValueError(f"num_heads={num_heads!r} does not fit {channels} channels; choose 1 to {channels}")
        if not isinstance(kv_stride, int) or kv_stride < 1:
            raise ValueError(f"kv_stride={kv_stride!r} is not a positive integer; choose 1, 2, 3, ...")
        if vertical_query not in VERTICAL_QUERIES:
            raise ValueError(
                f"vertical_query={vertical_query!r} is unknown; choose one of {', '.join(VERTICAL_QUERIES)}"
            )
        super().__init__(channels, num_heads=num_heads, kv_stride=kv_stride, attention_type="0100")
        self.vertical_query = vertical_query

    def forward(self, x: Tensor) -> Tensor:
        """Returns (N, C, h, w) from (N, C, h, w)."""
        h, w = x.shape[2:]
        if self.vertical_query == "transposed" and h != w:
            raise ValueError(f"RoIs of {h}x{w} cells are not square; pool to a square or use vertical_query=own")
        if self.vertical_query == "transposed" and in_few_launches(x):
            return self._in_few_launches(x)
        # Queries, weights and values are several times as large as x and quickly made again for the gradient.
        mixed = checkpoint(self._mixed, x, use_reentrant=False, preserve_rng_state=False)
        projection = self.proj_conv  # the gain in its weights: nothing of the RoIs' size is kept for gamma's gradient
        return functional.conv2d(mixed, self.gamma * projection.weight, self.gamma * projection.bias) + x

    def _in_few_launches(self, x: Tensor) -> Tensor:
        """Returns what `forward` does, for GPUs: matrices that depend on parameters alone, then `mixed_in`."""
        cells, stride, heads = x.shape[3], self.kv_stride, self.num_heads
        with torch.autocast(x.device.type, enabled=False):
            # Energies straight from x, without queries: (column, head's key or row's key of a head, C).
            axes = torch.cat([self.appr_geom_fc_x.weight, self.appr_geom_fc_y.weight])
            table = offset_embedding(cells, stride, self.position_embedding_dim, axes.dtype, axes.device)
            table = table.flatten(0, 1) / math.sqrt(2)
            embedded = torch.mm(table, axes.t()).view(-1, heads, self.qk_embed_dim).transpose(0, 1)
            query = self.query_conv.weight.view(heads, self.qk_embed_dim, -1)
            energy = torch.bmm(embedded, query).view(heads, cells, -1, 2, x.shape[1]).permute(1, 3, 2, 0, 4)
            # Values straight into what is added to x: (head, C, C).
            projection = self.gamma * self.proj_conv.weight.view(-1, heads, self.v_dim).transpose(0, 1)
            value = torch.bmm(projection, self.value_conv.weight.view(heads, self.v_dim, -1))
            bias = self.gamma * self.proj_conv.bias
            return mixed_in(x, energy.flatten(1, 3), value.flatten(0, 1), bias, stride)

    def _mixed(self, x: Tensor) -> Tensor:
        """Returns each cell's mean of the values, by its weights: (N, all heads' channels, h, w), channels last."""
        n, _, h, w = x.shape
        query = self.query_conv(x).permute(0, 2, 3, 1)
        keys = x[:, :, :: self.kv_stride, :: self.kv_stride]
        value = self.value_conv(keys).view(n, self.num_heads, self.v_dim, -1)
        along_x = self._along(query, self.appr_geom_fc_x)  # (x, head, u, N, y)
        crossed = query if self.vertical_query == "transposed" else query.transpose(1, 2)
        along_y = self._along(crossed, self.appr_geom_fc_y)  # (y, head, v, N, x)
        # The softmax over all keys (v, u) of a sum of a term of v and a term of u: one for each axis, multiplied.
        of_u = along_x.softmax(2).permute(3, 1, 4, 0, 2).contiguous()
        of_v = along_y.softmax(2).permute(3, 1, 0, 4, 2).contiguous()
        weights = (of_v.unsqueeze(-1) * of_u.unsqueeze(-2)).view(n, self.num_heads, h * w, -1)
        mixed = torch.matmul(weights, value.transpose(2, 3))  # (N, head, cell, channel of the head)
        return mixed.transpose(1, 2).reshape(n, h, w, -1).permute(0, 3, 1, 2)

    def _along(self, query: Tensor, projection: torch.nn.Linear) -> Tensor:
        """Returns the energies on an axis, (j, head, key, N, i), of queries (N, i, j, C) at place j on that axis."""
        n, i, j, _ = query.shape
        exact = torch.promote_types(query.dtype, torch.float32)  # in bfloat16 the angles would be off by up to 0.04
        table = offset_embedding(j, self.kv_stride, self.position_embedding_dim, exact, query.device)
        embedded = projection(table.to(projection.weight.dtype)) / math.sqrt(2)  # (j, key, all heads' channels)
        embedded = embedded.unflatten(-1, (self.num_heads, self.qk_embed_dim)).transpose(1, 2).flatten(0, 1)
        # (j * head, channel of the head, N * i), not copied: bmm takes strides
        places = query.reshape(n * i, j * self.num_heads, self.qk_embed_dim).permute(1, 2, 0)
        energies = torch.bmm(embedded.to(places.dtype), places)
        return energies.view(j, self.num_heads, -1, n, i)


def offset_embedding(cells: int, kv_stride: int, channels: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Returns sines, then cosines, of the distance between each cell and key of an axis, (cells, keys, channels / 2).

    Wavelengths are 2 pi times 1 to nearly 1000 cells (the attention's paper; mmcv). Made once for a shape and device.
    """
    make = _offset_embedding if torch.compiler.is_compiling() else _cached_offset_embedding
    return make(cells, kv_stride, channels, dtype, device)


def _offset_embedding(cells: int, kv_stride: int, channels: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    place = torch.arange(cells, dtype=torch.float64, device=device)
    scale = 1000 ** (torch.arange(channels // 4, dtype=torch.float64, device=device) * (4 / channels))
    angles = (place[:, None] - place[::kv_stride])[..., None] / scale
    return torch.cat([angles.sin(), angles.cos()], dim=-1).to(dtype)


@lru_cache(maxsize=64)
def _cached_offset_embedding(*shape: Any) -> Tensor:
    with torch.inference_mode(False), torch.no_grad():  # a tensor of inference could not be used in training later
        return _offset_embedding(*shape)
