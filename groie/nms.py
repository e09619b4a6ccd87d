"""Non-maximum suppression on a CPU, with the decisions of mmcv's compiled operator, ties and rounding included."""

import torch
from torch import Tensor

BLOCK = 256  # boxes that are decided one by one before those after them are compared with all that were kept at once


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Returns the indices of the boxes that are kept, highest score first, (K,) int64.

    A box is dropped where its IoU with a kept box of a higher score is above the threshold. Equal scores are decided in
    the order of torch's default sort, as mmcv decides them.

    Args:
        boxes: (N, 4), x1, y1, x2, y2.
        scores: (N,).
        iou_threshold: 0..1.
        offset: 1 where a box covers its last pixel, so that its width is x2 - x1 + 1; else 0.
    """
    order = scores.sort(descending=True).indices
    corners = boxes[order].t().contiguous()  # (4, N): rows are walked along
    area = (corners[2] - corners[0] + offset) * (corners[3] - corners[1] + offset)
    kept = []
    while len(order):
        block, rest = corners[:, :BLOCK], corners[:, BLOCK:]
        stays = _decide(_overlaps(block, area[:BLOCK], block, area[:BLOCK], iou_threshold, offset))
        kept.append(order[:BLOCK][stays])
        free = ~_overlaps(block[:, stays], area[:BLOCK][stays], rest, area[BLOCK:], iou_threshold, offset).any(dim=0)
        order, corners, area = order[BLOCK:][free], rest[:, free], area[BLOCK:][free]
    return torch.cat(kept) if kept else order


def _overlaps(a: Tensor, area_a: Tensor, b: Tensor, area_b: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Returns (A, B) bool: the IoU of each pair is above the threshold. The steps are mmcv's, in its order."""
    width = torch.minimum(a[2, :, None], b[2]).sub_(torch.maximum(a[0, :, None], b[0])).add_(offset).clamp_(min=0)
    height = torch.minimum(a[3, :, None], b[3]).sub_(torch.maximum(a[1, :, None], b[1])).add_(offset).clamp_(min=0)
    inter = width.mul_(height)
    return inter / (area_a[:, None] + area_b - inter) > iou_threshold


def _decide(overlaps: Tensor) -> Tensor:
    """Returns (A,) bool: which boxes of a block stay when they are decided in their order."""
    suppresses = [int.from_bytes(row) for row in _packed(overlaps)]
    alive = (1 << len(suppresses)) - 1
    stays = []
    for place, row in enumerate(suppresses):
        bit = 1 << (len(suppresses) - 1 - place)
        stays.append(bool(alive & bit))
        if alive & bit:
            alive &= ~(row & (bit - 1))  # only boxes after it
    return torch.tensor(stays, dtype=torch.bool)


def _packed(rows: Tensor) -> list[bytes]:
    """Returns each row of (A, A) bool as big-endian bytes of a number with A bits."""
    import numpy as np

    pad = -rows.shape[1] % 8
    padded = np.pad(rows.numpy(), ((0, 0), (pad, 0)))
    return [row.tobytes() for row in np.packbits(padded, axis=1)]
