"""What the training loop tells the journal."""

import time
from pathlib import Path

import torch
from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import Tensor

from experiments import journal, names

PROGRESS_SECONDS = 1.0  # at most one progress record in this time


@HOOKS.register_module()
class JournalHook(Hook):
    """Appends progress, each epoch's mean loss and training time, and each validation's COCO metrics (rank 0 only)."""

    def __init__(self, path: str) -> None:
        self.path = Path(path)

    @master_only
    def before_train_epoch(self, runner: Runner) -> None:
        self.started = self.told = time.monotonic()
        self.losses: list[Tensor] = []

    @master_only
    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: dict | None = None
    ) -> None:
        assert outputs is not None
        self.losses.append(outputs["loss"].detach())  # read at the end: reading now would wait for the GPU
        if time.monotonic() - self.told >= PROGRESS_SECONDS:
            self.told = time.monotonic()
            journal.append(
                self.path,
                epoch=runner.epoch + 1,
                iteration=batch_idx + 1,
                iterations=len(runner.train_dataloader),
                loss=float(self.losses[-1]),
            )

    @master_only
    def after_train_epoch(self, runner: Runner) -> None:
        seconds = time.monotonic() - self.started
        metrics = {names.EPOCH_LOSS: float(torch.stack(self.losses).mean()), names.EPOCH_SECONDS: seconds}
        journal.append(self.path, step=runner.epoch + 1, metrics=metrics)

    @master_only
    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        # MMEngine has counted the epoch by now, and puts the metric's prefix before each name.
        found = {name.removeprefix("coco/"): value for name, value in (metrics or {}).items()}
        journal.append(self.path, step=runner.epoch, metrics=found)
