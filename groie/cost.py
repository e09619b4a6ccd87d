"""What a RoI extractor costs: its parameters, and its multiply-adds, counted without computing anything.

One multiply-add counts one: what MMDetection's tables and most papers call a FLOP, and torch's counter two. Counted are
products of matrices and convolutions, whatever module they are in, as torch.utils.flop_counter does (padding too), and
RoIAlign's interpolation: 4 pixels a sample, in each channel. Not counted are sums, means, activations, norms, softmax.
RoIAlign is counted by its formula where mmcv's operator runs, and by the weights of its bag where `groie.pooling` does.
"""

import copy
import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from mmcv.ops import RoIAlign
from mmdet.models.roi_heads.roi_extractors.base_roi_extractor import BaseRoIExtractor
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from groie.roi_align import extent, rule_of

TAPS = 4  # pixels that a bilinear sample is made of


@dataclass(frozen=True)
class ExtractorCost:
    """Parameters, and multiply-adds of one call."""

    parameters: int
    macs: int


def of_extractor(extractor: BaseRoIExtractor, rois: Tensor, height: int, width: int) -> ExtractorCost:
    """Returns the cost of pooling `rois` from one image of height x width pixels.

    Args:
        extractor: ours, MMDetection's or another's whose operations torch can run on its meta device.
        rois: (N, 5), on the CPU: 0, x1, y1, x2, y2 in pixels. Their sizes matter only to sampling_ratio=0.
    """
    twin = copy.deepcopy(extractor).to("meta").eval()
    shape = (1, extractor.out_channels)
    feats = [
        torch.empty(*shape, math.ceil(height / stride), math.ceil(width / stride), device="meta")
        for stride in extractor.featmap_strides
    ]
    with torch.no_grad(), MultiplyAdds(twin) as count:
        twin(feats, rois)
    return ExtractorCost(sum(p.numel() for p in twin.parameters()), count.total)


def squares(count: int, height: int, width: int) -> Tensor:
    """Returns RoIs (count, 5) in the middle of an image, for counting.

    Their sides are spread evenly in logarithm from 1/32 of the image's shorter side to all of it: over all FPN levels.
    """
    sides = min(height, width) * 2 ** torch.linspace(-5, 0, count)
    middle = torch.tensor([width, height] * 2) / 2
    corners = middle + sides[:, None] / 2 * torch.tensor([-1, -1, 1, 1])
    return torch.cat([torch.zeros(count, 1), corners], dim=1)


def _weighted_rows(rows: tuple[int, ...], *shapes: Any, **_: Any) -> int:
    """Returns the operations of an embedding bag from its arguments' shapes: two for each weight and channel."""
    weights = shapes[5]
    return 2 * math.prod(weights) * rows[1] if weights else 0


def _attention(query: tuple[int, ...], key: tuple[int, ...], value: tuple[int, ...], *_: Any, **__: Any) -> int:
    """Returns the operations of an attention's two products from their shapes."""
    return sdpa_flop_count(query, key, value)


ALSO_COUNTED = {  # operators that torch's counter passes over
    torch.ops.aten._embedding_bag: _weighted_rows,
    torch.ops.aten._embedding_bag_forward_only: _weighted_rows,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention,
}


class MultiplyAdds(FlopCounterMode):
    """Counts the multiply-adds that run inside `with`; RoIAlign's are those of `model`.

    All but the RoIs may be on the meta device.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__(display=False, custom_mapping=ALSO_COUNTED)
        self.layers = [module for module in model.modules() if isinstance(module, RoIAlign)]
        self.interpolation = 0
        self.rois_stay = _RoIsStay()

    @property
    def total(self) -> int:
        """Multiply-adds so far."""
        return self.get_total_flops() // 2 + self.interpolation

    def __enter__(self) -> "MultiplyAdds":
        for layer in self.layers:
            layer.forward = partial(self._pool, layer)
        self.rois_stay.__enter__()
        return super().__enter__()

    def __exit__(self, *error: Any) -> Any:
        for layer in self.layers:
            del layer.forward
        self.rois_stay.__exit__(*error)
        return super().__exit__(*error)

    def _pool(self, layer: RoIAlign, feat: Tensor, rois: Tensor) -> Tensor:
        self.interpolation += interpolation(layer, rois, feat.shape[1])
        if feat.is_meta:
            return feat.new_empty(len(rois), feat.shape[1], *layer.output_size)
        before = self.get_total_flops()
        pooled = type(layer).forward(layer, feat, rois)
        self.interpolation -= (self.get_total_flops() - before) // 2  # where our operator runs, its bags counted too
        return pooled


class _RoIsStay(TorchFunctionMode):
    """Keeps the values of RoIs where features have none: MMDetection gives RoIs the type and device of these."""

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        if func is Tensor.type_as and args[1].is_meta:
            return args[0].to(args[1].dtype)
        return func(*args, **(kwargs or {}))


def interpolation(layer: RoIAlign, rois: Tensor, channels: int) -> int:
    """Returns RoIAlign's multiply-adds: RoIs x cells x samples a cell x 4 pixels x channels."""
    rows, columns = layer.output_size
    if layer.sampling_ratio > 0:
        samples = len(rois) * layer.sampling_ratio**2
    else:  # as many as keep them at most a pixel of the level apart
        rule = rule_of(layer)
        counts = [
            (extent(rule, rois[:, axis], rois[:, axis + 2], layer.spatial_scale)[1] / bins).ceil()
            for axis, bins in ((1, columns), (2, rows))
        ]
        least = 0 if rule == "aligned" else 1
        samples = int((counts[0].clamp(min=least) * counts[1].clamp(min=least)).sum())
    return samples * rows * columns * TAPS * channels
