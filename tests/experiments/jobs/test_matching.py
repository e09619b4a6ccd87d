"""Matches that could not be made after a trial's last epoch: no epoch is lost, and the same command makes them."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from experiments import names
from experiments.paths import TrialPaths
from tests.support import faults, forged, harness, transferred
from tests.support.matched import MADE, again, artifacts, assert_complete, folder, run_of, trained
from tests.support.running import Command, Preloaded, Swept

pytestmark = pytest.mark.filterwarnings("ignore")

EARLIER = ("errors.json", "journal.jsonl", "attempts/0001.json")  # what an earlier version wrote otherwise


@dataclass(frozen=True)
class Failed:
    """A real trial, whose training went well and whose matches could not be made."""

    outputs: Path
    arguments: tuple[str, ...]
    command: Command

    @property
    def trial(self) -> Path:
        return folder(self.outputs)


@pytest.fixture(scope="module")
def failed(preloaded: Preloaded, output_folder: Callable[[], Path], tmp_path_factory: pytest.TempPathFactory) -> Failed:
    outputs = output_folder()
    arguments = ("pre=none", "post=attention", *harness.TINY, f"output_dir={outputs}")
    environment = faults.make(tmp_path_factory.mktemp("error") / "faults", "error")
    return Failed(outputs, arguments, preloaded.run(*arguments, "fail_fast=true", environment=environment))


@pytest.mark.long
def test_error_after_the_last_epoch_costs_no_epoch(failed: Failed, swept: Swept) -> None:
    """The trial is FINISHED with its AP and its detections, and says in one line what is lacking."""
    twin = swept.outputs / "trials" / failed.trial.name
    run = run_of(failed.outputs, failed.trial)
    assert (run.info.status, run.data.tags[names.UNMATCHED]) == ("FINISHED", "ValueError: boom")
    points = harness.repeatable(harness.mlflow_metrics(failed.outputs, run))
    expected = harness.repeatable(harness.journal_metrics(twin))
    assert points == [point for point in expected if "_errors/" not in point[0]]
    ((attempt),) = harness.attempts(failed.trial)
    assert (attempt["status"], attempt["reason"]) == ("FINISHED", None)
    assert (failed.trial / "detections.npz").read_bytes() == (twin / "detections.npz").read_bytes()
    assert {path.name for path in failed.trial.glob("work/*.pth")} == {"best.pth", "epoch_2.pth"}
    assert artifacts(failed.outputs, failed.trial) & {"detections.npz", "by_class.json", *MADE} == {
        "detections.npz",
        "by_class.json",
    }


def test_error_after_the_last_epoch_is_printed(failed: Failed, capsys: pytest.CaptureFixture[str]) -> None:
    assert failed.command.code == 1  # something that was asked for is lacking
    out = failed.command.stdout
    remedy = "the same command makes it, without training"
    line = f" s0: finished, but without matches.npz (ValueError: boom); {remedy}; see {failed.trial / 'log.txt'}\n"
    assert line in out
    assert "1 of 1 trials finished\n" in out
    assert f"  finished  {failed.trial.name}, without matches.npz: ValueError: boom\n" in out
    assert "ValueError: boom\nand more of it\n" in (failed.trial / "log.txt").read_text()
    code, told, _ = transferred.tell(capsys, "status", outputs=failed.outputs)
    assert code == 0
    assert "finished" in told
    assert "without matches.npz (ValueError: boom); its command makes it, without training" in " ".join(told.split())
    assert harness.processes_of(failed.outputs) == []


def test_same_command_makes_the_matches_alone(
    failed: Failed, preloaded: Preloaded, swept: Swept, tmp_path: Path
) -> None:
    """No epoch is trained and no checkpoint changes."""
    before = trained(failed.trial)
    dry = preloaded.run(*failed.arguments, "dry_run=true")
    assert "1 unique trials, 1 to run\n" in dry.stdout
    (file,) = failed.outputs.glob("plans/*.json")
    (planned,) = json.loads(file.read_text())["trials"]
    assert (planned["state"], planned["why"]) == ("finished", "makes only matches.npz (ValueError: boom)")
    assert (planned["to_run"], planned["device_hours"]) == (True, 0.0)
    again = preloaded.run(*failed.arguments)
    assert (again.code, again.stderr) == (0, "")
    assert trained(failed.trial) == before
    assert_complete(failed.outputs, failed.trial, swept)
    third = preloaded.run(*failed.arguments)
    assert (third.code, "0 to run" in third.stdout) == (0, True)
    assert trained(failed.trial) == before


def test_detections_of_another_epoch_are_refused(preloaded: Preloaded, swept: Swept, bare: Path) -> None:
    """Brought back from an old copy, say: their AP is not the recorded one."""
    trial, other = folder(bare, "none"), folder(bare, "conv1")
    shutil.copy(trial / "detections.npz", other / "detections.npz")
    done = again(preloaded, swept, bare).wait()
    assert done.code == 1
    assert_complete(bare, trial, swept)
    why = f"ValueError: the detections in {other / 'detections.npz'} have bbox/AP 0."
    assert f"without matches.npz ({why}" in done.stdout
    assert not (other / "matches.npz").exists()
    assert not (other / "errors.json").exists()


def test_trial_of_an_earlier_version_has_nothing_to_make(preloaded: Preloaded, swept: Swept, copied: Path) -> None:
    """Its errors are in the journal, with the metrics of the last epoch, and its attempt knows no digest."""
    as_earlier(copied)
    (copied / "mlflow.db").unlink()
    for trial in copied.glob("trials/*"):
        paths = TrialPaths(trial)
        last = json.loads(paths.journal.read_text().splitlines()[-1])
        assert "bbox_errors/Cls" in last["metrics"]
    done = preloaded.run(*swept.arguments, f"output_dir={copied}")
    assert (done.code, "0 to run" in done.stdout) == (0, True)
    for trial in copied.glob("trials/*"):
        twin = swept.outputs / "trials" / trial.name
        points = harness.repeatable(harness.mlflow_metrics(copied, run_of(copied, trial)))
        assert points == harness.repeatable(harness.journal_metrics(twin))


def as_earlier(outputs: Path) -> None:
    for trial in outputs.glob("trials/*"):
        files = {f"T/{name}": (trial / name).read_bytes() for name in EARLIER}
        forged.as_earlier(files)
        (trial / "errors.json").unlink()
        for name, content in files.items():
            (trial / name.removeprefix("T/")).write_bytes(content)


def test_matches_made_later_are_imported_later(
    preloaded: Preloaded,
    swept: Swept,
    bare: Path,
    output_folder: Callable[[], Path],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    """A study that was sent without them gets them with the next export; an older export then changes nothing."""
    target, files = output_folder(), [tmp_path / "without.zip", tmp_path / "with.zip"]
    assert transferred.tell(capsys, "export", "all", files[0], outputs=bare)[0] == 0
    assert transferred.tell(capsys, "import", files[0], outputs=target)[0] == 0
    assert again(preloaded, swept, bare).wait().code == 0
    assert transferred.tell(capsys, "export", "all", files[1], outputs=bare)[0] == 0
    code, out, _ = transferred.tell(capsys, "import", files[1], outputs=target)
    assert (code, f"2 trials for {target}: 2 further than before" in out) == (0, True)
    code, out, _ = transferred.tell(capsys, "import", files[0], outputs=target)
    assert (code, f"2 trials for {target}: 2 there already" in out) == (0, True)
    for trial in target.glob("trials/*"):
        assert_complete(target, trial, swept)
