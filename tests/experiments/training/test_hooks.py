"""What the trial's hook does in an epoch: numbers into the journal, a whole checkpoint first, the best one marked."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from experiments.paths import TrialPaths
from experiments.training import hooks, samples
from experiments.trial import checkpoints, journal

AP = "coco/bbox/AP"  # MMEngine puts the metric's prefix before each name


@pytest.fixture
def paths(tmp_path: Path) -> TrialPaths:
    return TrialPaths(tmp_path)


class FakeLoader(list):
    """Batches, and the data set that they come from."""

    dataset = SimpleNamespace(epoch=torch.zeros((), dtype=torch.int64))
    batch_sampler = SimpleNamespace(batch_size=4)


class FakeRunner(SimpleNamespace):
    """What the hook asks of MMEngine's runner."""

    def __init__(self, epoch: int = 0, iterations: int = 2) -> None:
        batches = FakeLoader([0] * iterations)
        super().__init__(epoch=epoch, iter=0, max_epochs=9, train_dataloader=batches, val_dataloader=[0])
        self.train_loop = SimpleNamespace(stop_training=False)
        self.optim_wrapper = SimpleNamespace(get_lr=lambda: {"lr": [0.01 * (self.iter + 1)]})

    def save_checkpoint(self, folder: str, name: str, meta: dict[str, Any]) -> None:
        torch.save({"meta": meta}, Path(folder) / name)


def epoch(hook: hooks.TrialHook, runner: Any, losses: list[float], precision: float = 0.5) -> None:
    """What MMEngine calls in an epoch."""
    hook.before_train_epoch(runner)
    for index, loss in enumerate(losses):
        hook.before_train_iter(runner, index)
        hook.after_train_iter(runner, index, None, {"loss": torch.tensor(loss)})
        runner.iter += 1
    hook.after_train_epoch(runner)
    runner.epoch += 1
    hook.after_val_epoch(runner, {AP: precision, "coco/segm/APl": -1.0})


def test_each_epoch_is_one_record_under_our_names(paths: TrialPaths) -> None:
    hook, runner = hooks.TrialHook(str(paths.root), 0), FakeRunner()
    epoch(hook, runner, [1.0, 2.0], 0.123456789)
    epoch(hook, runner, [4.0, 8.0])
    records = [record for record in journal.Reader(paths.journal).new_records() if "metrics" in record]
    assert [(record["step"], record["metrics"]["epoch/loss"]) for record in records] == [(1, 1.5), (2, 6.0)]
    assert (records[0]["metrics"]["bbox/AP"], records[0]["metrics"]["segm/APl"]) == (0.123456789, -1.0)
    seconds = [record["metrics"][f"epoch/{phase}_seconds"] for record in records for phase in ("train", "val")]
    assert all(0 <= one < 10 for one in seconds)


def test_steps_are_sampled_with_their_epoch(paths: TrialPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 5 steps an epoch every 2nd, so that there are at most 3; step numbers run over the whole training."""
    monkeypatch.setattr(samples, "PER_EPOCH", 3)
    hook, runner = hooks.TrialHook(str(paths.root), 0), FakeRunner(iterations=5)
    epoch(hook, runner, [1.0, 2.0, 3.0, 4.0, 5.0])
    epoch(hook, runner, [6.0, 7.0, 8.0, 9.0, 10.0])
    taken = [one for record in journal.complete_epochs(paths.journal).values() for one in record["samples"]]
    assert [(one["step"], one["metrics"]["train/loss"]) for one in taken] == [(2, 2.0), (4, 4.0), (7, 7.0), (9, 9.0)]
    assert [one["metrics"]["train/lr"] for one in taken] == pytest.approx([0.02, 0.04, 0.07, 0.09])
    assert all(one["metrics"]["train/images_per_second"] > 0 for one in taken)
    assert all(0.01 < one["metrics"]["system/memory_gib"] < 100 for one in taken)


def test_progress_is_recorded_within_an_epoch(paths: TrialPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    hook, runner = hooks.TrialHook(str(paths.root), 0), FakeRunner(epoch=4, iterations=3)
    monkeypatch.setattr(hooks, "PROGRESS_SECONDS", 0.0)
    epoch(hook, runner, [1.0, 2.0, 3.0])
    hook.after_val_iter(runner, 0)
    told = [record for record in journal.Reader(paths.journal).new_records() if "iteration" in record]
    assert [(r["epoch"], r["iteration"], r["iterations"], r.get("loss")) for r in told] == [
        (5, 1, 3, 1.0),
        (5, 2, 3, 2.0),
        (5, 3, 3, 3.0),
        (5, 1, 1, None),
    ]


def test_no_record_without_its_checkpoint(paths: TrialPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    hook, runner = hooks.TrialHook(str(paths.root), 0), FakeRunner()

    def full(*arguments: Any, **more: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(runner, "save_checkpoint", full)
    with pytest.raises(OSError, match="No space"):
        epoch(hook, runner, [1.0])
    assert journal.complete_epochs(paths.journal) == {}
    assert list(paths.work.iterdir()) == []


def test_two_checkpoints_and_the_best_are_kept(paths: TrialPaths) -> None:
    """The first of two that are equally good stays the best."""
    hook, runner = hooks.TrialHook(str(paths.root), 0), FakeRunner()
    for precision in (0.1, 0.3, 0.2, 0.3, 0.25):
        epoch(hook, runner, [1.0], precision)
    assert sorted(path.name for path in paths.work.glob("*.p*")) == ["best.pth", "epoch_4.pth", "epoch_5.pth"]
    assert torch.load(paths.work / checkpoints.BEST)["meta"]["epoch"] == 2


def test_checkpoints_that_were_passed_over_cost_no_later_epoch(paths: TrialPaths) -> None:
    """Both of a trial are torn, so that it begins from scratch: they do not push out the new ones."""
    paths.work.mkdir()
    for number in (4, 5):
        (paths.work / f"epoch_{number}.pth").write_text("torn")
        (paths.work / f"epoch_{number}.sha256").write_text("of the whole")
    assert checkpoints.newest(paths.work) is None
    hook, runner = hooks.TrialHook(str(paths.root), 0), FakeRunner()
    for number in (1, 2):
        epoch(hook, runner, [1.0])
        assert checkpoints.newest(paths.work) == paths.work / f"epoch_{number}.pth"
    assert {path.name for path in paths.work.glob("epoch_*")} == {
        f"epoch_{number}.{kind}" for number in (1, 2) for kind in ("pth", "sha256")
    }


def evaluated(paths: TrialPaths, content: str) -> None:
    """What an evaluation leaves."""
    paths.work.mkdir(exist_ok=True)
    for file in paths.evaluated:
        paths.fresh(file).write_text(content)


def test_files_of_an_evaluation_are_of_the_last_recorded_epoch(
    paths: TrialPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not of one that was evaluated and then not saved."""
    hook, runner = hooks.TrialHook(str(paths.root), 0), FakeRunner()
    evaluated(paths, "first")
    epoch(hook, runner, [1.0])
    assert [file.read_text() for file in paths.evaluated] == ["first", "first"]
    evaluated(paths, "second")
    monkeypatch.setattr(checkpoints, "save", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        epoch(hook, runner, [1.0])
    assert list(journal.complete_epochs(paths.journal)) == [1]
    assert [file.read_text() for file in paths.evaluated] == ["first", "first"]


def test_stop_between_saving_and_recording_loses_nothing_that_was_evaluated(
    paths: TrialPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever it comes: before the files are the trial's, between the two, or after both."""
    for stop in range(3):
        here = TrialPaths(paths.root / str(stop))
        here.root.mkdir()
        hook, runner = hooks.TrialHook(str(here.root), 0), FakeRunner()
        evaluated(here, "kept")
        with monkeypatch.context() as patch:
            patch.setattr(hook, "_record", lambda record: None)
            epoch(hook, runner, [1.0])
        for file in here.evaluated[:stop]:
            here.fresh(file).replace(file)
        again = hooks.TrialHook(str(here.root), 0)
        again.after_load_checkpoint(runner, {"meta": {"records": hook.records}})
        again.before_train(runner)
        assert list(journal.complete_epochs(here.journal)) == [1]
        assert [file.read_text() for file in here.evaluated] == ["kept", "kept"]


def test_epoch_that_is_repeated_stays_as_it_was_recorded(paths: TrialPaths) -> None:
    """Its checkpoint was torn. On a GPU the second time differs in the last bits: all keep the first."""
    first, runner = hooks.TrialHook(str(paths.root), 0), FakeRunner()
    evaluated(paths, "first")
    epoch(first, runner, [1.0], precision=0.25)
    again = hooks.TrialHook(str(paths.root), 0)
    evaluated(paths, "second")
    epoch(again, FakeRunner(), [1.0], precision=0.26)
    (record,) = journal.complete_epochs(paths.journal).values()
    assert record["metrics"]["bbox/AP"] == 0.25
    assert [file.read_text() for file in paths.evaluated] == ["first", "first"]
    assert torch.load(paths.work / "epoch_1.pth")["meta"]["records"] == [record]
    assert checkpoints.records(paths.work / "epoch_1.pth") == [record]


def test_stop_file_ends_the_training_after_the_epoch(paths: TrialPaths) -> None:
    hook, runner = hooks.TrialHook(str(paths.root), 0), FakeRunner()
    epoch(hook, runner, [1.0])
    assert not runner.train_loop.stop_training
    paths.stop.write_text("drain")
    epoch(hook, runner, [1.0])
    assert runner.train_loop.stop_training
    assert list(journal.complete_epochs(paths.journal)) == [1, 2]
