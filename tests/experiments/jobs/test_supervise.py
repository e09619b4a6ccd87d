"""The ranks of a trial: how many share the batch, and that several train one trial."""

from collections.abc import Callable
from pathlib import Path

import pytest

from experiments import names
from experiments.errors import UserError
from experiments.planning import resources
from tests.support import harness
from tests.support.running import Preloaded

pytestmark = pytest.mark.filterwarnings("ignore")


def test_auto_is_one_rank_without_gpu_and_one_per_gpu_with(monkeypatch: pytest.MonkeyPatch) -> None:
    config = harness.composed("schedule.batch_size=12")
    for gpus, ranks in ((0, 1), (1, 1), (4, 4), (6, 6)):
        monkeypatch.setattr("torch.cuda.device_count", lambda gpus=gpus: gpus)
        assert resources.ranks_per_node(harness.typed(config)) == ranks


def test_gpus_that_cannot_share_the_batch_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 8)
    with pytest.raises(UserError, match=r"8 ranks cannot share schedule\.batch_size=12 .* 1, 2, 3, 4, 6, 12 of them"):
        resources.ranks_per_node(harness.settings("schedule.batch_size=12"))


def test_more_gpus_than_there_are_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    with pytest.raises(UserError, match=r"resources\.gpus=4 but 2 GPUs are visible here; choose 0 to 2, or auto"):
        resources.ranks_per_node(harness.settings("schedule.batch_size=12", "resources.gpus=4"))


@pytest.mark.long
def test_two_ranks_train_one_trial_on_the_cpu(preloaded: Preloaded, output_folder: Callable[[], Path]) -> None:
    """Through gloo: one run, one journal, each epoch once."""
    outputs = output_folder()
    done = preloaded.run(*harness.TINY, "resources.cpu_processes=2", f"output_dir={outputs}")
    (run,) = harness.runs(outputs)
    log = (harness.trial_folder(outputs, run) / "log.txt").read_text()
    assert (done.code, run.info.status) == (0, names.FINISHED), run.data.tags.get(names.REASON, log[-2000:])
    steps = [(name, step) for name, step, _, _ in harness.mlflow_metrics(outputs, run) if name == "bbox/AP"]
    assert steps == [("bbox/AP", 1), ("bbox/AP", 2)]
    assert "[2][8/8]" in log  # 16 images in steps of 2, one on each rank: as many steps as one process takes
