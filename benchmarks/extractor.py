"""How long a forward and backward pass of a RoI extractor takes, next to MMDetection's own with the same modules."""

import statistics
import time
from collections.abc import Callable, Iterator

import torch
from mmdet.registry import MODELS
from mmdet.utils import register_all_modules
from torch import Tensor, nn

import groie  # noqa: F401  (registers our modules)
from benchmarks.figure import Figure

WHAT, PEER = "forward + backward", "MMDetection"
CHANNELS = 256
STRIDES = (4, 8, 16, 32)
IMAGE = (800, 1344)  # height, width of a padded image of 800x1333
ATTENTION = dict(num_heads=6, kv_stride=2)


def figures(rois: int = 128, repeats: int = 3) -> Iterator[Figure]:
    """Yields a figure for each variant that MMDetection has a counterpart of; the two alternate `repeats` times."""
    register_all_modules()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(0)
    feats = [torch.randn(1, CHANNELS, IMAGE[0] // s, IMAGE[1] // s, device=device, requires_grad=True) for s in STRIDES]
    boxes = _boxes(rois, device)
    for name, ours, peer in _pairs():
        pair = [MODELS.build(_shared(config)).to(device) for config in (ours, peer)]
        times: list[list[float]] = [[], []]
        for _ in range(repeats + 1):  # the first round warms up
            for extractor, seconds in zip(pair, times, strict=True):
                seconds.append(_timed(lambda module=extractor: module(feats, boxes).sum().backward(), device))
        yield Figure(f"{name}, {rois} RoIs, {device.type}", *(statistics.median(seconds[1:]) for seconds in times))


def _pairs() -> list[tuple[str, dict, dict]]:
    convolution = dict(type="ConvModule", in_channels=CHANNELS, out_channels=CHANNELS, kernel_size=5, padding=2)
    attention = dict(type="GeneralizedAttention", in_channels=CHANNELS, attention_type="0100", **ATTENTION)
    peer = dict(type="GenericRoIExtractor", aggregation="sum")
    ours = dict(type="SumLevels", level_activation="none")
    return [
        ("single", dict(type="SingleLevel"), dict(type="SingleRoIExtractor")),
        ("sum", ours, peer),
        ("sum + attention", ours | {"post": dict(type="RoIAttention", **ATTENTION)}, peer | {"post_cfg": attention}),
        (
            "conv5 + sum + attention",
            ours | {"pre": dict(type="RoIConv", kernel_size=5), "post": dict(type="RoIAttention", **ATTENTION)},
            peer | {"pre_cfg": convolution, "post_cfg": attention},
        ),
    ]


def _shared(config: dict) -> dict:
    roi_layer = dict(type="RoIAlign", output_size=7, sampling_ratio=2)
    return {**config, "roi_layer": roi_layer, "out_channels": CHANNELS, "featmap_strides": list(STRIDES)}


def _boxes(count: int, device: torch.device) -> Tensor:
    """Returns RoIs (count, 5) of one image: sizes log-uniform from 16 to 800 pixels, anywhere inside."""
    height, width = IMAGE
    size = 16 * 50 ** torch.rand(count, 2)
    size = size.clamp(max=height)
    corner = torch.rand(count, 2) * (torch.tensor([width, height]) - size)
    return torch.cat([torch.zeros(count, 1), corner, corner + size], dim=1).to(device)


def _timed(work: Callable[[], nn.Module | None], device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start
