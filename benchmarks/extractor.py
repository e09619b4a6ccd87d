"""What a forward and backward pass of a RoI extractor takes, next to MMDetection's own with the same modules.

Time: the two alternate, the median counts. Memory: what autograd saves for the backward pass, each storage once, but no
parameters and inputs, which are there anyway; on a GPU the most that a step holds besides them. Of the full GRoIE also
its floor: the convolution alone on ready inputs. On a GPU MMDetection's RoIAlign is torchvision's.
"""

import groie  # noqa: F401 (it stands in for the operators that mmcv lacks)

# isort: split
import statistics
import time
from collections.abc import Callable, Iterator, Sequence

import torch
from mmdet.registry import MODELS
from mmdet.utils import register_all_modules
from torch import Tensor, nn

from benchmarks.figure import Figure
from benchmarks.precision import of_device, precision

WHAT, PEER = "forward + backward", "MMDetection"
CHANNELS = 256
STRIDES = (4, 8, 16, 32)
IMAGE = (800, 1344)  # height, width of a padded image of 800x1333
CELLS = 7  # a side of a pooled RoI
ATTENTION = dict(num_heads=6, kv_stride=2)
FULL = "conv5 + sum + attention"
Step = Callable[[], object]


def figures(device: str | None = None, repeats: int | None = None) -> Iterator[Figure]:
    """Yields seconds and MiB for each variant that MMDetection has a counterpart of; all alternate `repeats` times."""
    register_all_modules()
    on = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    for rois in (512, 2000) if on.type == "cuda" else (512,):
        for name in of_device(on):
            with precision(name):
                yield from _of_precision(name, rois, on, repeats or (10 if on.type == "cuda" else 5))


def _of_precision(number: str, rois: int, device: torch.device, repeats: int) -> Iterator[Figure]:
    torch.manual_seed(0)
    dtype = torch.bfloat16 if number == "bf16" else torch.float32  # of the FPN's levels
    feats = [
        torch.randn(1, CHANNELS, IMAGE[0] // s, IMAGE[1] // s, device=device, dtype=dtype, requires_grad=True)
        for s in STRIDES
    ]
    boxes = _boxes(rois, device)
    grad = torch.randn(rois, CHANNELS, CELLS, CELLS, device=device, dtype=dtype)
    for name, ours, peer in _pairs():
        pair = [MODELS.build(_shared(config)).to(device) for config in (ours, peer)]
        if device.type == "cuda":
            for layer in pair[1].roi_layers:
                layer.use_torchvision = True
        label = f"{name}, {rois} RoIs, {number}, {device.type}"
        steps = [_step(extractor, (feats, boxes), [*feats, *extractor.parameters()], grad) for extractor in pair]
        if name == FULL:
            steps += _convolutions(pair[0].pre_module.conv, rois * len(STRIDES), dtype)
        seconds = [statistics.median(times) for times in alternated(steps, repeats, device)]
        yield Figure(label, *seconds[:2])
        if name == FULL:
            yield Figure(f"{label}: all and its convolution alone", seconds[0], min(seconds[2:]))
        if device.type == "cuda":
            held = [_held(step) / 2**20 for step in steps[:2]]
            yield Figure(f"{label}: peak memory", *held, unit="MiB")
        kept = [_saved(extractor, feats, boxes) / 2**20 for extractor in pair]
        if min(kept) > 1:  # else only the RoIs
            yield Figure(f"{label}: saved activations", *kept, unit="MiB")


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
            FULL,
            ours | {"pre": dict(type="RoIConv", kernel_size=5), "post": dict(type="RoIAttention", **ATTENTION)},
            peer | {"pre_cfg": convolution, "post_cfg": attention},
        ),
    ]


def _shared(config: dict) -> dict:
    roi_layer = dict(type="RoIAlign", output_size=CELLS, sampling_ratio=2)
    return {**config, "roi_layer": roi_layer, "out_channels": CHANNELS, "featmap_strides": list(STRIDES)}


def _boxes(count: int, device: torch.device) -> Tensor:
    """Returns RoIs (count, 5) of one image: sizes log-uniform from 16 to 800 pixels, anywhere inside."""
    height, width = IMAGE
    size = 16 * 50 ** torch.rand(count, 2)
    size = size.clamp(max=height)
    corner = torch.rand(count, 2) * (torch.tensor([width, height]) - size)
    return torch.cat([torch.zeros(count, 1), corner, corner + size], dim=1).to(device)


def _convolutions(convolution: nn.Conv2d, count: int, dtype: torch.dtype) -> list[Step]:
    """Returns forward and backward passes of a convolution on `count` ready RoIs, in each of torch's layouts."""
    weight = convolution.weight
    steps = []
    for layout in (torch.contiguous_format, torch.channels_last):
        ready = torch.randn(count, CHANNELS, CELLS, CELLS, device=weight.device, dtype=dtype).to(memory_format=layout)
        grad = torch.randn_like(ready)
        steps.append(_step(convolution, (ready.requires_grad_(),), [ready, *convolution.parameters()], grad))
    return steps


def _step(module: nn.Module, inputs: tuple, leaves: Sequence[Tensor], grad: Tensor) -> Step:
    """Returns a function that computes the gradients of the leaves, as of a new batch."""

    def step() -> None:
        for leaf in leaves:
            leaf.grad = None
        module(*inputs).backward(grad)

    return step


def alternated(steps: Sequence[Step], repeats: int, device: torch.device) -> list[list[float]]:
    """Returns each step's seconds in `repeats` rounds, after one that warms up."""
    times: list[list[float]] = [[] for _ in steps]
    for _ in range(repeats + 1):
        for step, seconds in zip(steps, times, strict=True):
            seconds.append(_timed(step, device))
    return [seconds[1:] for seconds in times]


def _timed(work: Step, device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def _held(step: Step) -> int:
    """Returns the most bytes of the GPU that a step allocates."""
    step()
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    step()
    return torch.cuda.max_memory_allocated() - before


def _saved(extractor: nn.Module, feats: Sequence[Tensor], boxes: Tensor) -> int:
    """Returns the bytes of the storages that a forward pass saves for the backward pass."""
    storages = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage  # held, so that no address is used twice
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        out = extractor(feats, boxes)
    there = {tensor.untyped_storage().data_ptr() for tensor in (*feats, boxes, *extractor.parameters())}
    del out
    return sum(storage.nbytes() for address, storage in storages.items() if address not in there)
