"""What a configuration names as a `type`: what is no part of a detector leaves a mark where it is called."""

import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn


def called(*arguments: Any, **options: Any) -> None:
    """Leaves a mark in the folder that MARKS names."""
    Path(os.environ["MARKS"], "called").touch()


class Made:
    """No module: it leaves a mark where it is made."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        called()


class Halved(nn.Module):
    """A module of a user's own."""

    def __init__(self, channels: int, kernel_size: int) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        return x / 2


class Descent(torch.optim.SGD):
    """An optimizer of a user's own."""
