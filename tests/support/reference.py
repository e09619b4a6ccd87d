"""The layer once more, slow and obvious, written from the papers' formulas: no mmcv, no MMDetection, no groie.

Weights come from the module under test by name; everything else is plain arithmetic on tensors.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

Weights = dict[str, Tensor]


def weights_of(module: nn.Module) -> Weights:
    """Returns a module's parameters by name."""
    return dict(module.named_parameters())


def hat(coordinates: Tensor, cells: int) -> Tensor:
    """Returns linear interpolation's weights (len(coordinates), cells): max(0, 1 - distance to the cell).

    Beyond the outer cells' centres the border's value holds for one cell; further out everything is zero.
    """
    near = (coordinates >= -1) & (coordinates <= cells)
    distance = coordinates.clamp(0, cells - 1)[:, None] - torch.arange(cells, dtype=coordinates.dtype)
    return (1 - distance.abs()).clamp(min=0) * near[:, None]


def samples(start: float, end: float, bins: int, per_bin: int) -> Tensor:
    """Returns the centres of `bins * per_bin` equal parts of the interval."""
    parts = bins * per_bin
    return start + (torch.arange(parts, dtype=torch.float64) + 0.5) * (end - start) / parts


def roi_align(
    feat: Tensor, rois: Tensor, size: tuple[int, int], stride: int, sampling_ratio: int = 2, rule: str = "aligned"
) -> Tensor:
    """Returns (N, C, *size): in each bin the mean of sampling_ratio x sampling_ratio bilinear samples.

    "aligned" puts cell 0's centre at half a stride; the others at 0. "legacy" makes a RoI at least one cell wide. "v1"
    is legacy on (x1, y1, x2 + 1, y2 + 1) in pixels of the image, but for a width of at least 0.
    sampling_ratio=0 takes as many samples per bin as the bin has cells, rounded up; v1 at least one.
    """
    pooled = feat.new_zeros((len(rois), feat.shape[1], *size))
    for n, (image, x1, y1, x2, y2) in enumerate(rois.tolist()):
        if rule == "v1":
            x2, y2 = x2 + 1, y2 + 1
        left, top, right, bottom = (corner / stride for corner in (x1, y1, x2, y2))
        if rule == "aligned":
            left, top, right, bottom = left - 0.5, top - 0.5, right - 0.5, bottom - 0.5
        else:
            least = {"legacy": 1, "v1": 0}[rule]
            right, bottom = max(right, left + least), max(bottom, top + least)
        axes = []
        for start, end, bins, cells in zip((top, left), (bottom, right), size, feat.shape[2:], strict=True):
            per_bin = sampling_ratio or max(math.ceil((end - start) / bins), int(rule == "v1"))
            weights = hat(samples(start, end, bins, per_bin), cells) if per_bin else feat.new_zeros((bins, cells))
            axes.append(weights.reshape(bins, -1, cells).mean(dim=1))
        pooled[n] = torch.einsum("hy,wx,cyx->chw", *axes, feat[int(image)])
    return pooled


def conv(x: Tensor, weights: Weights) -> Tensor:
    """Returns ReLU(convolution + bias), zero-padded to keep h and w: a sum over the kernel's cells."""
    kernel, bias = weights["conv.weight"], weights["conv.bias"]
    size = kernel.shape[-1]
    height, width = x.shape[2:]
    padded = functional.pad(x, [size // 2] * 4)
    total = bias[None, :, None, None].expand(len(x), -1, height, width)
    for dy in range(size):
        for dx in range(size):
            window = padded[:, :, dy : dy + height, dx : dx + width]
            total = total + torch.einsum("oc,nchw->nohw", kernel[:, :, dy, dx], window)
    return total * (total > 0)


def pointwise(x: Tensor, weights: Weights, name: str) -> Tensor:
    """Returns a 1x1 convolution of tokens (N, positions, C)."""
    out = x @ weights[f"{name}.weight"].flatten(1).T
    return out + weights[f"{name}.bias"] if f"{name}.bias" in weights else out


def nonlocal_block(x: Tensor, weights: Weights) -> Tensor:
    """Embedded Gaussian (Wang et al. 2018, eq. 1, 3, 6): x_i + W_z sum_j softmax_j(theta_i . phi_j / sqrt(d)) g_j."""
    tokens = x.flatten(2).transpose(1, 2)
    theta, phi, g = (pointwise(tokens, weights, f"{name}.conv") for name in ("theta", "phi", "g"))
    y = torch.zeros_like(theta)
    for i in range(tokens.shape[1]):
        energy = (theta[:, i : i + 1] * phi).sum(-1) / math.sqrt(theta.shape[-1])
        share = energy.exp() / energy.exp().sum(1, keepdim=True)
        y[:, i] = (share[..., None] * g).sum(1)
    return x + pointwise(y, weights, "conv_out.conv").transpose(1, 2).reshape(x.shape)


def offset_embedding(offset: int, channels: int) -> Tensor:
    """Returns C/2 numbers for a distance in cells: C/4 sines, then C/4 cosines, wavelengths up to 1000 (times 2 pi)."""
    angles = [offset / 1000 ** (4 * k / channels) for k in range(channels // 4)]
    return torch.tensor([math.sin(a) for a in angles] + [math.cos(a) for a in angles], dtype=torch.float64)


def attention(x: Tensor, weights: Weights, heads: int, kv_stride: int, transposed: bool = True) -> Tensor:
    """Query content and relative position (Zhu et al. 2019, term 2): x_q + gamma (W' sum_k A_qk V x_k + b) over heads.

    A_qk is the softmax, over every kv_stride-th cell k in y and x, of u_q . (R_x(q - k) + R_y(q - k)) / sqrt(2): u_q
    projects the query, R_x and R_y project the embedding of the offset in x and in y.

    `transposed` is what every public implementation does, so also what the authors trained: in the term of R_y the
    query is the cell with x and y exchanged, u_(x, y) for q = (y, x). False is what the paper says.
    """
    count, channels, height, width = x.shape
    keys = [(y, x_) for y in range(0, height, kv_stride) for x_ in range(0, width, kv_stride)]
    query = torch.einsum("oc,nchw->nohw", weights["query_conv.weight"].flatten(1), x)
    value = torch.einsum("oc,nchw->nohw", weights["value_conv.weight"].flatten(1), x)
    value = torch.stack([value[:, :, y, x_] for y, x_ in keys], dim=1).reshape(count, len(keys), heads, -1)
    mixed = []
    for y in range(height):
        for x_ in range(width):
            along_x = _projected_offsets(weights["appr_geom_fc_x.weight"], [x_ - k for _, k in keys], channels, heads)
            along_y = _projected_offsets(weights["appr_geom_fc_y.weight"], [y - k for k, _ in keys], channels, heads)
            here = query[:, :, y, x_].reshape(count, heads, -1)
            there = query[:, :, x_, y].reshape(count, heads, -1) if transposed else here
            energy = torch.einsum("nmd,kmd->nkm", here, along_x) + torch.einsum("nmd,kmd->nkm", there, along_y)
            share = energy.exp() / energy.exp().sum(1, keepdim=True)
            mixed.append((share[..., None] * value).sum(1).flatten(1))
    out = pointwise(torch.stack(mixed, dim=1), weights, "proj_conv").transpose(1, 2).reshape(x.shape)
    return x + weights["gamma"] * out


def _projected_offsets(projection: Tensor, offsets: list[int], channels: int, heads: int) -> Tensor:
    embeddings = torch.stack([offset_embedding(offset, channels) for offset in offsets])
    return (embeddings @ projection.T).reshape(len(offsets), heads, -1) / math.sqrt(2)


def process(kind: str, module: Any, x: Tensor) -> Tensor:
    """Returns what an option of the menu does to x with the weights of `module`."""
    weights = weights_of(module)
    if kind == "none":
        return x
    if kind == "nonlocal":
        return nonlocal_block(x, weights)
    if kind == "attention":
        return attention(x, weights, module.num_heads, module.kv_stride)
    return conv(x, weights)
