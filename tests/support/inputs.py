"""Small random inputs for the RoI extractors: a pyramid, RoIs of every kind, the menu of modules, random weights."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from groie import AllLevels, ConcatLevels, OneLevel, RandomLevel, SingleLevel, SumLevels

CHANNELS = 8  # a multiple of 4, as the position embedding needs
HEIGHT, WIDTH = 96, 160  # of the image, in pixels; unequal, so that a swap of x and y shows
STRIDES = [4, 8, 16, 32]
OBLONG, SQUARE = (5, 4), (5, 5)  # cells of a pooled RoI: unequal for the same reason, but attention takes only squares
IMAGES = 3  # in the batch

ALL_LEVELS: list[type[AllLevels]] = [SumLevels, ConcatLevels]
ONE_LEVEL: list[type[OneLevel]] = [SingleLevel, RandomLevel]
AGGREGATIONS = [*ALL_LEVELS, *ONE_LEVEL]

MENU: dict[str, dict[str, Any] | None] = {
    "none": None,
    "conv3": {"type": "RoIConv", "kernel_size": 3},
    "nonlocal": {"type": "RoINonLocal", "reduction": 2},
    "attention": {"type": "RoIAttention", "num_heads": 3, "kv_stride": 2},  # 8 // 3 = 2: not all channels go to a head
}

RULES: dict[str, dict[str, Any]] = {  # of RoIAlign, as configs say them
    "v1": {"type": "RoIAlignV1"},
    "legacy": {"type": "RoIAlign", "aligned": False},
    "aligned": {"type": "RoIAlign", "aligned": True},
}

# Each row: image index in the batch, x1, y1, x2, y2 in pixels of the image.
INSIDE = [0.0, 13.0, 7.0, 61.0, 50.0]
ROIS: dict[str, list[list[float]]] = {
    "none": [],
    "one": [INSIDE],
    "skips_an_image": [INSIDE, [2.0, 90.0, 20.0, 130.0, 90.0]],
    "outside": [[1.0, -40.0, -30.0, 20.0, 25.0], [0.0, 150.0, 60.0, 300.0, 200.0], [1.0, 400.0, 10.0, 450.0, 60.0]],
    "degenerate": [[0.0, 30.0, 30.0, 30.0, 30.0], [1.0, 20.0, 10.0, 20.0, 80.0], [2.0, 0.0, 0.0, 0.0, 0.0]],
    "whole_image": [[1.0, 0.0, 0.0, float(WIDTH), float(HEIGHT)]],
}
ROIS["many"] = [row for rows in list(ROIS.values()) for row in rows]


def on_borders() -> list[list[float]]:
    """Returns RoIs that begin or end on, just inside of or just beyond each border, and of every size down to none."""
    spans = {}
    for side in (WIDTH, HEIGHT):
        edges = [(place, place + length) for place in (-33.0, -4.0, -1.0, 0.0, 1.0) for length in (0.0, 0.5, 1.0, 5.0)]
        edges += [
            (side - far, side - near) for far in (9.0, 1.0, 0.0) for near in (0.0, 1.0, -1.0, -4.0) if far >= near
        ]
        sizes = [
            (30.0, 30.0 + size) for size in (0.0, 0.25, 1.0, 3.0, 7.0, 15.0, 31.0, 32.0)
        ]  # below a cell of each level
        spans[side] = [*edges, *sizes, (0.0, float(side)), (0.0, side - 1.0), (-50.0, side + 50.0)]
    ordinary = (21.0, 47.0)
    rows = [(left, ordinary[0], right, ordinary[1]) for left, right in spans[WIDTH]]
    rows += [(ordinary[0], top, ordinary[1], bottom) for top, bottom in spans[HEIGHT]]
    rows += [
        (left, top, right, bottom) for (left, right), (top, bottom) in zip(spans[WIDTH], spans[HEIGHT], strict=True)
    ]
    return [[float(number % IMAGES), *row] for number, row in enumerate(rows)]


ROIS["borders"] = on_borders()
# Corners the wrong way round, by less than a pixel, by one and by more: v1 and legacy take them, aligned refuses them.
REVERSED = [[0.0, 30.0, 20.0, 29.5, 40.0], [1.0, 30.0, 20.0, 29.0, 19.0], [2.0, 60.0, 50.0, 13.0, 7.0]]


def pyramid(levels: int = 4, channels: int = CHANNELS, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    """Returns FPN levels (IMAGES, channels, h, w), finest first, that ask for a gradient."""
    shapes = [(IMAGES, channels, HEIGHT // stride, WIDTH // stride) for stride in STRIDES[:levels]]
    return [torch.randn(shape, dtype=torch.float64).to(dtype).requires_grad_() for shape in shapes]


def regions(case: str = "many", dtype: torch.dtype = torch.float64) -> Tensor:
    """Returns the RoIs of a case, (N, 5)."""
    return torch.tensor(ROIS[case], dtype=dtype).reshape(-1, 5)


def random_regions(count: int) -> Tensor:
    """Returns RoIs (count, 5) of every size up to the image's."""
    corners = torch.rand(count, 2, 2, dtype=torch.float64).sort(dim=1).values * torch.tensor([WIDTH, HEIGHT])
    image = torch.randint(IMAGES, (count, 1))
    return torch.cat([image, corners.flatten(1)], dim=1)


def roi_align(*modules: dict[str, Any] | None, rule: str = "aligned", sampling_ratio: int = 2) -> dict[str, Any]:
    """Returns the pooling's config, at a size that the modules take."""
    square = any(module and module["type"] in ("RoIAttention", "GeneralizedAttention") for module in modules)
    return {**RULES[rule], "output_size": SQUARE if square else OBLONG, "sampling_ratio": sampling_ratio}


def plain(aggregation: type, levels: int = 4, channels: int = CHANNELS, **options: Any) -> Any:
    """Returns an extractor as it starts."""
    align = options.pop("roi_layer", None) or roi_align(options.get("pre"), options.get("post"))
    return aggregation(roi_layer=align, out_channels=channels, featmap_strides=STRIDES[:levels], **options)


def pair(pre: str, post: str) -> dict[str, Any]:
    """Returns the modules' configs as an extractor's options."""
    return {"pre": MENU[pre], "post": MENU[post]}


def build(aggregation: type, levels: int = 4, **options: Any) -> Any:
    """Returns an extractor of CHANNELS in float64 with random weights, so that no module is the identity."""
    return randomize(plain(aggregation, levels, **options))


def randomize(module: nn.Module) -> nn.Module:
    """Returns the module in float64 with every parameter drawn at random, zero-initialised ones included."""
    module.double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(std=0.3)
    return module


def gradients(out: Tensor, feats: Iterable[Tensor], module: nn.Module) -> dict[str, Tensor]:
    """Returns the gradient of a fixed random projection of `out` by each feature map and parameter."""
    leaves = {f"feats[{level}]": feat for level, feat in enumerate(feats)} | dict(module.named_parameters())
    generator = torch.Generator().manual_seed(7)
    projection = torch.randn(out.shape, generator=generator, dtype=torch.float64)
    grads = torch.autograd.grad((out * projection).sum(), list(leaves.values()), materialize_grads=True)
    return dict(zip(leaves, grads, strict=True))


def assert_equal(ours: Tensor | dict[str, Tensor], reference: Tensor | dict[str, Tensor]) -> None:
    """Fails unless the two agree to 1e-9 in shape, type and value."""
    torch.testing.assert_close(ours, reference, rtol=1e-9, atol=1e-9)
