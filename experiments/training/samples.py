"""Losses, learning rate, speed and memory of some training steps of each epoch.

They are recorded with their epoch when it is complete, so a repeated epoch is not recorded twice.
"""

import time
from typing import Any

import psutil
import torch
from mmengine.dist import get_world_size
from mmengine.runner import Runner

from experiments import names

PER_EPOCH = 100  # at most


class Samples:
    """Takes every n-th step of an epoch of `iterations`."""

    def __init__(self, iterations: int) -> None:
        self.every = -(-iterations // PER_EPOCH)
        self.taken: list[tuple[dict[str, Any], dict[str, Any]]] = []
        self.before = time.monotonic()

    def take(self, runner: Runner, batch_idx: int, outputs: dict[str, Any]) -> None:
        """Keeps every n-th step; values stay on the GPU, because reading them would wait for it."""
        if (batch_idx + 1) % self.every:
            return
        now = time.monotonic()
        images = runner.train_dataloader.batch_sampler.batch_size * get_world_size() * self.every
        metrics = {
            names.LEARNING_RATE: runner.optim_wrapper.get_lr()["lr"][0],
            names.IMAGES_PER_SECOND: images / (now - self.before),
            names.MEMORY: psutil.Process().memory_info().rss / 2**30,
        }
        if torch.cuda.is_available():
            metrics[names.GPU_MEMORY] = torch.cuda.max_memory_allocated() / 2**30
        losses = {name: value.detach() for name, value in outputs.items() if isinstance(value, torch.Tensor)}
        self.taken.append(({"time": time.time_ns() // 1_000_000, "step": runner.iter + 1, "metrics": metrics}, losses))
        self.before = now

    def read(self) -> list[dict[str, Any]]:
        """Returns the samples as records of the journal."""
        for record, losses in self.taken:
            record["metrics"] |= {names.TRAIN + name: float(value) for name, value in losses.items()}
        return [record for record, _ in self.taken]
