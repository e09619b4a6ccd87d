"""Time and memory of a training, measured in it: by a clock and a memory of known ways."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import Tensor, nn

from experiments.training import cost


class Clock:
    """Time that passes only where it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.time = 0.0
        monkeypatch.setattr(cost.time, "perf_counter", lambda: self.time)


class Toy(BaseModel):
    """Takes 100 s for the first of all calls, then as many seconds as the input says; twice that in training."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock
        self.weight = nn.Parameter(torch.ones(1))
        self.first = {"loss": 100.0, "predict": 100.0}

    def forward(self, inputs: list[Tensor], mode: str) -> Any:
        self.clock.time += self.first.pop(mode, 0) + float(inputs[0]) * (2 if mode == "loss" else 1)
        return {"loss": (self.weight * inputs[0]).sum()} if mode == "loss" else [{"found": inputs}]


class Loading(torch.utils.data.Dataset):
    """Numbers, each of which takes 1,000 s to load."""

    def __init__(self, clock: Clock, numbers: list[float]) -> None:
        self.clock, self.numbers = clock, numbers

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        self.clock.time += 1000
        return {"inputs": torch.tensor([self.numbers[index]])}


class Slow(BaseMetric):
    """Takes 1,000 s for each image, and as long in the end."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(prefix="coco")
        self.clock = clock

    def process(self, data_batch: Any, data_samples: Any) -> None:
        self.clock.time += 1000
        self.results.append(1.0)

    def compute_metrics(self, results: list[float]) -> dict[str, float]:
        self.clock.time += 1000
        return {"AP": 0.5}


@pytest.mark.parametrize(
    ("numbers", "typical"),
    [
        ([9.0, 9.0, 9.0, 9.0, 9.0, 3.0, 1.0, 2.0], 2.0),  # the first five are left out
        ([4.0, 2.0, 3.0], 3.0),  # too few for that: the median of all, the first of which was slow
    ],
)
def test_real_loop_is_timed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, numbers: list[float], typical: float
) -> None:
    """Only the detector's forward in validation, only the step in training: no loading, no metric."""
    clock = Clock(monkeypatch)
    monkeypatch.setattr(cost, "TIMED", 3)
    seen = []

    class Reader(cost.Hook):
        priority = "VERY_LOW"

        def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
            seen.append(metrics)

    loader = dict(batch_size=1, num_workers=0, sampler=dict(type="DefaultSampler", shuffle=False))
    runner = Runner(
        model=Toy(clock),
        work_dir=str(tmp_path),
        train_dataloader=dict(dataset=Loading(clock, [*numbers, *[50.0] * (10 * (len(numbers) > 5))]), **loader),
        val_dataloader=dict(dataset=Loading(clock, numbers), **loader),
        val_evaluator=[Slow(clock)],
        optim_wrapper=dict(optimizer=dict(type="SGD", lr=0.0)),
        train_cfg=dict(by_epoch=True, max_epochs=2),
        val_cfg=dict(),
        custom_hooks=[cost.CostHook(), Reader()],
        experiment_name=f"toy-{len(numbers)}",
        default_scope="mmdet",  # it outlives the runner: what later tests build is sought there
    )
    runner.train()
    expected = {"coco/AP": 0.5, "cost/seconds_per_image": typical, "cost/seconds_per_iteration": 2 * typical}
    assert seen == [expected, expected]
    assert not runner.model._forward_hooks
    assert not runner.model._forward_pre_hooks


def test_memory_is_the_highest_of_all_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a GPU MMEngine's logger resets the highest at some steps; what an evaluation took is not the training's."""
    highest, waits = [0], []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: waits.append(1))
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: highest[0])
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda: highest.__setitem__(0, 0))
    hook, runner = cost.CostHook(), SimpleNamespace(model=nn.Identity())
    for gib in (3, 2):  # an epoch each
        hook.before_train_epoch(runner)
        for step, reached in enumerate((1, gib, 1)):
            hook.before_train_iter(runner, step)
            highest[0] = max(highest[0], reached * 2**30)
            hook.after_train_iter(runner, step)
            if step == 1:
                torch.cuda.reset_peak_memory_stats()
        assert len(waits) == 6
        hook.before_val_epoch(runner)
        runner.model(torch.zeros(1))
        highest[0] = 9 * 2**30
        metrics: dict[str, float] = {}
        hook.after_val_epoch(runner, metrics)
        assert metrics["cost/gpu_memory_gib"] == gib
        assert len(waits) == 8
        waits.clear()
