"""The sum of the levels' ReLU, which keeps one byte per number for the backward pass instead of the number."""

from typing import Any

import torch
from torch import Tensor

from groie.mixing import in_few_launches


def rectified_sum(levels: Tensor) -> Tensor:
    """Returns the sum over the first dimension of ReLU(levels), with ReLU's gradient: zero at zero."""
    return _RectifiedSum.apply(levels)


class _RectifiedSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, levels: Tensor) -> Tensor:
        ctx.save_for_backward(levels > 0)
        if in_few_launches(levels):  # channels last, as a sum does not keep the layout
            return levels.permute(0, 1, 3, 4, 2).relu().sum(0).permute(0, 3, 1, 2)
        total = levels[0].relu()
        for level in levels[1:]:
            total = total + level.relu()
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (on,) = ctx.saved_tensors
        if in_few_launches(grad):
            return torch.where(on, grad, 0)
        return on.to(grad.dtype).mul_(grad)  # twice as fast on a CPU as on * grad, which converts number by number
