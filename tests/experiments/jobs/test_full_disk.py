"""A disk that fills up in the middle of a trial: a real one, of a size that holds one checkpoint and not two."""

import subprocess
from pathlib import Path

import pytest

from experiments.trial import checkpoints
from tests.support import harness
from tests.support.running import Preloaded

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.long
@pytest.mark.parametrize("small_disk", ["56m"], indirect=True)
def test_full_disk_ends_the_trial_with_that_reason_and_nothing_is_torn(preloaded: Preloaded, small_disk: Path) -> None:
    outputs = small_disk / "outputs"
    arguments = (*harness.TINY, f"output_dir={outputs}")
    refused = preloaded.run(*arguments)
    assert refused.code == 2
    assert "less than resources.free_gib=1; make room, or lower resources.free_gib" in refused.stderr
    assert not (outputs / "trials").exists()

    failed = preloaded.run(*arguments, "resources.free_gib=0")
    (trial,) = outputs.glob("trials/*")
    (attempt,) = harness.attempts(trial)
    assert failed.code == 1
    assert (attempt["status"], attempt["reason"]) == ("KILLED", f"no space left in {trial}")
    assert f"interrupted  {trial.name}: no space left in {trial}\nthe same command resumes" in failed.stdout
    assert [path.name for path in checkpoints.by_epoch(trial / "work")] == ["epoch_1.pth"]
    assert checkpoints.is_whole(trial / "work" / "epoch_1.pth")
    assert list(trial.rglob("*.part")) == []
    assert {step for name, step, _, _ in harness.journal_metrics(trial) if name == "bbox/AP"} == {1}

    subprocess.run(["mount", "-o", "remount,size=400m", str(small_disk)], check=True)
    again = preloaded.run(*arguments, "resources.free_gib=0")
    assert (again.code, again.stderr) == (0, "")
    assert {step for name, step, _, _ in harness.journal_metrics(trial) if name == "bbox/AP"} == {1, 2}
    (run,) = harness.runs(outputs)
    assert run.info.status == "FINISHED"
