"""The processes of a trial: how many share the batch, and that what they do follows from the configuration alone."""

from collections.abc import Callable
from pathlib import Path

import harness
import pytest
from conftest import Preloaded

from experiments import launch, names
from experiments.errors import UserError

pytestmark = pytest.mark.filterwarnings("ignore")


def test_auto_is_one_process_without_gpu_and_one_per_gpu_with(monkeypatch: pytest.MonkeyPatch) -> None:
    config = harness.composed("schedule.batch_size=12")
    for gpus, processes in ((0, 1), (1, 1), (4, 4), (6, 6)):
        monkeypatch.setattr("torch.cuda.device_count", lambda gpus=gpus: gpus)
        assert launch.process_count(config) == processes


def test_gpus_that_cannot_share_the_batch_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 8)
    with pytest.raises(UserError, match=r"8 does not divide schedule\.batch_size=12; choose one of 1, 2, 3, 4"):
        launch.process_count(harness.composed("schedule.batch_size=12"))


def test_more_processes_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    with pytest.raises(UserError, match="processes=4 but this machine has 2 GPUs; choose 1 to 2"):
        launch.process_count(harness.composed("schedule.batch_size=12", "resources.processes=4"))


def test_two_ranks_train_one_trial_on_the_cpu(preloaded: Preloaded, output_folder: Callable[[], Path]) -> None:
    """Through gloo: one run, one journal, each epoch once."""
    outputs = output_folder()
    done = preloaded.run(*harness.TINY, "resources.processes=2", f"output_dir={outputs}")
    (run,) = harness.runs(outputs)
    log = (harness.trial_folder(outputs, run) / "log.txt").read_text()
    assert (done.code, run.info.status) == (0, names.FINISHED), run.data.tags.get(names.REASON, log[-2000:])
    steps = [(name, step) for name, step, _, _ in harness.mlflow_metrics(outputs, run) if name == "bbox/AP"]
    assert steps == [("bbox/AP", 1), ("bbox/AP", 2)]
    assert "[2][8/8]" in log  # 16 images in steps of 2, one on each rank: as many steps as one process takes
