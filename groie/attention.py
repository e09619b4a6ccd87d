"""Attention within a RoI from query content and relative position (paper, Tables III-V; type 0100 of Zhu et al.)."""

import math

import torch
from mmcv.cnn.bricks import GeneralizedAttention
from mmdet.registry import MODELS
from torch import Tensor

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
        n, _, h, w = x.shape
        if self.vertical_query == "transposed" and h != w:
            raise ValueError(f"RoIs of {h}x{w} cells are not square; pool to a square or use vertical_query=own")
        query = self.query_conv(x).view(n, self.num_heads, self.qk_embed_dim, h, w)
        keys = x[:, :, :: self.kv_stride, :: self.kv_stride]
        exact = torch.promote_types(x.dtype, torch.float32)  # in bfloat16 the angles would be off by up to 0.04
        offsets_x, offsets_y = self.get_position_embedding(
            h, w, *keys.shape[2:], 1, self.kv_stride, x.device, exact, self.position_embedding_dim
        )
        of_x = self._embed(self.appr_geom_fc_x, offsets_x)  # (w, keys a row, head, channel of the head)
        of_y = self._embed(self.appr_geom_fc_y, offsets_y)  # (h, keys a column, head, channel of the head)
        crossed = query.transpose(3, 4) if self.vertical_query == "transposed" else query
        along_x = torch.einsum("nmcyx,xumc->nmyxu", query, of_x)
        along_y = torch.einsum("nmcyx,yvmc->nmyxv", crossed, of_y)
        weights = (along_y.unsqueeze(-1) + along_x.unsqueeze(-2)).flatten(-2).softmax(-1)  # over all keys (v, u)
        value = self.value_conv(keys).view(n, self.num_heads, self.v_dim, -1)
        out = torch.einsum("nmyxk,nmck->nmcyx", weights, value).reshape(n, -1, h, w)
        return self.gamma * self.proj_conv(out) + x

    def _embed(self, projection: torch.nn.Linear, offsets: Tensor) -> Tensor:
        offsets = offsets.to(projection.weight.dtype)
        return projection(offsets).unflatten(-1, (self.num_heads, self.qk_embed_dim)) / math.sqrt(2)
