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
        if x.is_cuda:
            mixed = self._mixed_in_few_launches(x)
        else:  # queries, weights and values are several times as large as x and quickly made again for the gradient
            mixed = checkpoint(self._mixed, x, use_reentrant=False, preserve_rng_state=False)
        projection = self.proj_conv  # the gain in its weights: nothing of the RoIs' size is kept for gamma's gradient
        return functional.conv2d(mixed, self.gamma * projection.weight, self.gamma * projection.bias) + x

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

    def _mixed_in_few_launches(self, x: Tensor) -> Tensor:
        """Returns what `_mixed` does, for GPUs: few large products, and energies straight from x, without queries.

        A query is a linear map of x, an energy one of the query: their product is one matrix for each place on an axis.
        """
        n, c, h, w = x.shape
        cells = x.permute(0, 2, 3, 1)
        value = self.value_conv(x[:, :, :: self.kv_stride, :: self.kv_stride])
        value = value.flatten(2).unflatten(1, (self.num_heads, self.v_dim))  # (N, head, channel, key)
        transposed = self.vertical_query == "transposed"
        of_x = self._energy_weights(w, self.appr_geom_fc_x)  # (x, C, head * u)
        of_y = self._energy_weights(h, self.appr_geom_fc_y)
        by_column = cells.reshape(n * h, w, c).transpose(0, 1)  # (x, N * y, C)
        if transposed:  # cell (y, x) asks with the query of (x, y), whose column is y
            both = torch.bmm(by_column, torch.cat([of_x, of_y], dim=2).to(x.dtype)).view(w, n, h, -1)
            along_x, along_y = both.split([of_x.shape[2], of_y.shape[2]], dim=3)
            along_x = along_x.permute(1, 2, 0, 3)  # (N, y, x, head * u)
            along_y = along_y.permute(1, 0, 2, 3)  # columns are y, rows x
        else:
            along_x = torch.bmm(by_column, of_x.to(x.dtype)).view(w, n, h, -1).permute(1, 2, 0, 3)
            by_row = cells.transpose(1, 2).reshape(n * w, h, c).transpose(0, 1)
            along_y = torch.bmm(by_row, of_y.to(x.dtype)).view(h, n, w, -1).permute(1, 0, 2, 3)
        split = (self.num_heads, -1)
        energies = along_y.unflatten(3, split).unsqueeze(5) + along_x.unflatten(3, split).unsqueeze(4)
        weights = energies.permute(0, 3, 1, 2, 4, 5).flatten(4).flatten(2, 3).softmax(3)  # (N, head, cell, key)
        mixed = torch.matmul(value, weights.to(value.dtype).transpose(2, 3))  # (N, head, channel, cell)
        return mixed.view(n, self.num_heads * self.v_dim, h, w)

    def _energy_weights(self, cells: int, projection: torch.nn.Linear) -> Tensor:
        """Returns for each place on an axis the matrix (C, head * key) that makes energies of x."""
        weight = projection.weight
        table = offset_embedding(cells, self.kv_stride, self.position_embedding_dim, weight.dtype, weight.device)
        embedded = (projection(table) / math.sqrt(2)).unflatten(-1, (self.num_heads, self.qk_embed_dim))
        query = self.query_conv.weight.view(self.num_heads, self.qk_embed_dim, -1)
        return torch.einsum("jkhd,hdc->jchk", embedded.to(query.dtype), query).flatten(2)

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
