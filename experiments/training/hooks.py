"""The hook of a trial in MMEngine's loop: seeds each epoch, writes the journal, keeps checkpoints, stops."""

import time
from pathlib import Path

import torch
from mmengine.dist import broadcast_object_list, get_rank, is_main_process
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import Tensor

from experiments import files, names, patches
from experiments.paths import TrialPaths
from experiments.training import randomness
from experiments.training.samples import Samples
from experiments.trial import checkpoints, journal, safe_loading, stop_requests

patches.load_checkpoints_by(safe_loading.load, safe_loading.fetch)  # also in MMDetection's tools, which import this

PROGRESS_SECONDS = 1.0  # at most one progress record in this time
KEPT = 2  # checkpoints during training: the newest, and one more in case it is incomplete


@HOOKS.register_module()
class TrialHook(Hook):
    """Completes each epoch in this order: trained, evaluated, saved, recorded.

    After a stop between two steps, the epoch is trained again or is complete; it is never recorded but not saved.
    The evaluation's files move into the trial's folder with the record, so that both are always of the same epoch.

    Args:
        folder: of the trial.
        seed: the trial's.
    """

    def __init__(self, folder: str, seed: int) -> None:
        self.paths = TrialPaths(Path(folder))
        self.seed = seed
        self.records: list[journal.Record] = []  # one for each complete epoch

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        if "records" in checkpoint["meta"]:  # a backbone's checkpoint, which is also loaded, has none
            self.records = checkpoint["meta"]["records"]

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Removes MMEngine's log, which the journal replaces; the rest is tensors and plain values."""
        checkpoint["message_hub"] = {"log_scalars": {}, "runtime_info": {}, "resumed_keys": {}}

    def before_train(self, runner: Runner) -> None:
        if is_main_process():
            for (
                record
            ) in self.records:  # the last record is missing if the trial was stopped between saving and recording
                self._record(record)
            self._mark_best()

    def _record(self, record: journal.Record) -> None:
        if record["step"] not in journal.complete_epochs(self.paths.journal):
            for path in self.paths.evaluated:
                if self.paths.fresh(
                    path
                ).exists():  # else it was moved already, before a stop that prevented the record
                    files.move(self.paths.fresh(path), path)
            journal.append(self.paths.journal, record)

    def before_train_epoch(self, runner: Runner) -> None:
        runner.train_dataloader.dataset.epoch.fill_(runner.epoch)
        self.started = self.told = time.monotonic()
        self.losses: list[Tensor] = []
        self.samples = Samples(len(runner.train_dataloader))

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None) -> None:
        if batch_idx == 0:  # by now the loaders have started, which also draws random numbers
            randomness.start_epoch(self.seed, runner.epoch, get_rank())

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: dict | None = None
    ) -> None:
        assert outputs is not None
        self.losses.append(outputs["loss"].detach())  # read at the end, because reading now would wait for the GPU
        self.samples.take(runner, batch_idx, outputs)
        if self._time_to_tell():
            self._tell(runner.epoch, batch_idx, len(runner.train_dataloader), loss=float(self.losses[-1]))

    def after_train_epoch(self, runner: Runner) -> None:
        self.trained = time.monotonic()

    def after_val_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: list | None = None
    ) -> None:
        if self._time_to_tell():  # MMEngine has already counted the epoch
            self._tell(runner.epoch - 1, batch_idx, len(runner.val_dataloader), evaluating=True)

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        if is_main_process():
            found = {name.removeprefix("coco/"): value for name, value in (metrics or {}).items()}
            self._complete(runner, found)
        # Every rank follows the first: a rank that continued alone would wait for the others forever.
        asked = [stop_requests.asked(self.paths.root) is not None]
        broadcast_object_list(asked)
        if asked[0] and runner.epoch < runner.max_epochs:
            runner.train_loop.stop_training = True

    def _complete(self, runner: Runner, metrics: dict[str, float]) -> None:
        epoch = runner.epoch
        metrics = {
            names.EPOCH_LOSS: float(torch.stack(self.losses).mean()),
            names.EPOCH_SECONDS: self.trained - self.started,
            names.VALIDATION_SECONDS: time.monotonic() - self.trained,
            **metrics,
        }
        record = journal.stamped(step=epoch, metrics=metrics, samples=self.samples.read())
        # If an epoch is repeated because its checkpoint was incomplete, its first record stays.
        self.records.append(journal.complete_epochs(self.paths.journal).get(epoch, record))
        checkpoints.save(runner, self.paths.work, epoch, self.records)
        self._mark_best()
        checkpoints.prune(self.paths.work, epoch, KEPT)
        self._record(self.records[-1])

    def _mark_best(self) -> None:
        box = [record["metrics"][names.coco_metric("bbox", "AP")] for record in self.records]
        if box and all(box[-1] > earlier for earlier in box[:-1]):
            checkpoints.mark_best(self.paths.work, self.records[-1]["step"])

    def _time_to_tell(self) -> bool:
        if not is_main_process() or time.monotonic() - self.told < PROGRESS_SECONDS:
            return False
        self.told = time.monotonic()
        return True

    def _tell(self, epoch: int, batch_idx: int, iterations: int, **more: float | bool) -> None:
        where = {"epoch": epoch + 1, "iteration": batch_idx + 1, "iterations": iterations}
        journal.append(self.paths.journal, journal.stamped(**where, **more))
