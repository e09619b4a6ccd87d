"""What follows a trial's last epoch may fail, hang or be killed: it costs no epoch, and is made again by itself."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from mlflow.entities import Run

from analysis.__main__ import main as analysis
from experiments import names
from experiments.paths import TrialPaths
from tests.support import faults, harness, transferred
from tests.support.running import Command, Preloaded, Swept, wait_for

pytestmark = pytest.mark.filterwarnings("ignore")

MADE = ("matches.npz", "errors.json")


def folder(outputs: Path, pre: str = "none") -> Path:
    (found,) = outputs.glob(f"trials/*-{pre}-attention-*")
    return found


def run_of(outputs: Path, trial: Path) -> Run:
    (run,) = (run for run in harness.runs(outputs) if run.data.tags[names.TRIAL_ID] == trial.name)
    return run


def artifacts(outputs: Path, trial: Path) -> set[str]:
    return {file.path for file in harness.client(outputs).list_artifacts(run_of(outputs, trial).info.run_id)}


def assert_complete(outputs: Path, trial: Path, swept: Swept) -> None:
    """A trial has what its undisturbed twin has, to the last bit, in its folder and in MLflow, each value once."""
    twin = swept.outputs / "trials" / trial.name
    expected = harness.repeatable(harness.journal_metrics(twin))
    points = harness.mlflow_metrics(outputs, run_of(outputs, trial))
    assert points == harness.journal_metrics(trial)
    assert harness.repeatable(points) == expected
    assert {(name, step) for name, step, _ in expected} >= {("bbox_errors/Cls", 2), ("bbox_errors/FalseNeg", 2)}
    assert (trial / "matches.npz").read_bytes() == (twin / "matches.npz").read_bytes()
    assert {"matches.npz", "errors.json", "detections.npz"} <= artifacts(outputs, trial)
    assert not (trial / "unmatched.txt").exists()
    assert list(trial.glob("*.part")) == []
    run = run_of(outputs, trial)
    assert (run.info.status, run.data.tags[names.UNMATCHED]) == ("FINISHED", "")


def trained(trial: Path) -> tuple[Any, ...]:
    """What a training would change."""
    log = (trial / "log.txt").read_text()
    kept = {path.name: path.stat().st_mtime_ns for path in trial.glob("work/*.pth")}
    return log.count("Epoch(train)"), kept, (trial / "journal.jsonl").read_bytes(), harness.attempts(trial)


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


def test_error_after_the_last_epoch_is_said(failed: Failed, capsys: pytest.CaptureFixture[str]) -> None:
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


def test_tables_have_its_precision(failed: Failed, tmp_path: Path) -> None:
    written = tmp_path / "table.csv"
    assert analysis(["table", "--tracking-uri", harness.store(failed.outputs), "--out", str(written)]) == 0
    with written.open(newline="") as file:
        (row,) = csv.DictReader(file)
    last = run_of(failed.outputs, failed.trial).data.metrics["bbox/AP"]
    assert float(row["bbox/AP"]) == pytest.approx(100 * last, abs=1e-4)


def test_same_command_makes_the_matches_alone(
    failed: Failed, preloaded: Preloaded, swept: Swept, tmp_path: Path
) -> None:
    """A study that is not to be changed goes on in a copy of the folder."""
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


@pytest.fixture
def bare(copied: Path, empty_store: Path) -> Path:
    """The two trials as if their commands had ended before they made matches and errors, and MLflow had been away."""
    shutil.copy(empty_store, copied)
    for trial in copied.glob("trials/*"):
        for name in MADE:
            (trial / name).unlink()
    return copied


def again(
    preloaded: Preloaded, swept: Swept, outputs: Path, fault: Path | None = None, kind: str = "", *more: str
) -> Command:
    """Starts the command that trained them once more, with a fault if one is named."""
    environment = faults.make(fault, kind) if fault else {}
    return preloaded.start(*swept.arguments, *more, f"output_dir={outputs}", environment=environment)


@pytest.mark.long
@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("crash", "its process was ended by SIGSEGV"),
        ("hang", "hung: no sign of life for 3 s (resources.patience)"),
        ("deaf hang", "hung: no sign of life for 3 s (resources.patience)"),
        ("shot before the errors", "its process was ended by SIGKILL (out of memory?)"),
        ("shot before the matches", "its process was ended by SIGKILL (out of memory?)"),
    ],
)
def test_whatever_becomes_of_the_process_the_same_command_makes_up_for_it(
    preloaded: Preloaded, swept: Swept, bare: Path, tmp_path: Path, fault: str, reason: str
) -> None:
    trials = [folder(bare, "none"), folder(bare, "conv1")]
    before = [trained(trial) for trial in trials]
    first = again(preloaded, swept, bare, tmp_path / "faults", fault, "resources.patience=3").wait()
    assert first.code == 1
    assert first.stdout.count(f"finished, but without matches.npz ({reason}); ") == 2
    assert "2 of 2 trials finished\n" in first.stdout
    assert harness.processes_of(bare / "trials") == []
    assert [run_of(bare, trial).data.tags[names.UNMATCHED] for trial in trials] == [reason] * 2
    second = again(preloaded, swept, bare).wait()
    assert (second.code, second.stderr) == (0, "")
    assert [trained(trial) for trial in trials] == before
    for trial in trials:
        assert_complete(bare, trial, swept)


def test_command_that_was_shot_leaves_no_process_and_is_made_up_for(
    preloaded: Preloaded, swept: Swept, bare: Path, tmp_path: Path
) -> None:
    """By another command, which another fault does not keep from killing what hangs without heeding anything."""
    first = again(preloaded, swept, bare, tmp_path / "faults", "deaf hang")
    wait_for((tmp_path / "faults" / "begun").exists)
    (hung,) = harness.processes_of(bare / "trials")
    first.signal(signal.SIGKILL)
    first.wait()
    second = again(preloaded, swept, bare).wait()
    assert (second.code, second.stderr) == (0, "")
    assert not Path(f"/proc/{hung}").exists()
    for trial in bare.glob("trials/*"):
        assert_complete(bare, trial, swept)


def test_two_commands_at_once_share_it(preloaded: Preloaded, swept: Swept, bare: Path, tmp_path: Path) -> None:
    """The second leaves to the first what that makes, and waits for it; no new training begins meanwhile."""
    fault = tmp_path / "faults"
    first = again(preloaded, swept, bare, fault, "slow")
    wait_for((fault / "begun").exists)
    second = again(preloaded, swept, bare)
    wait_for(lambda: "another command makes its matches; this command skips it\n" in second.stdout)
    refused = again(preloaded, swept, bare, None, "", "rerun=true").wait()
    assert refused.code == 2
    assert "error: another command is making the matches of " in refused.stderr
    (fault / "go").touch()
    for command in (first, second):
        assert command.wait().code == 0, command.stdout + command.stderr
    assert second.stdout.count("another command makes its matches; this command skips it\n") <= 2
    for trial in bare.glob("trials/*"):
        assert_complete(bare, trial, swept)
        assert len(harness.attempts(trial)) == 1


@pytest.mark.long
@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_lets_it_end_and_a_second_ends_it(
    preloaded: Preloaded, swept: Swept, bare: Path, tmp_path: Path, times: int
) -> None:
    fault = tmp_path / "faults"
    command = again(preloaded, swept, bare, fault, "slow")
    wait_for((fault / "begun").exists)
    for number in range(times):
        command.signal(signal.SIGINT)
        wait_for(lambda wanted=number + 1: command.stdout.count("\nstopping ") == wanted)
    if times == 1:
        (fault / "go").touch()
    assert command.wait().code == 130
    assert "2 of 2 trials finished\n" in command.stdout
    assert len([*bare.glob("trials/*/matches.npz")]) == (1 if times == 1 else 0)  # the other was not begun
    assert ("(stopped as asked)" in command.stdout) == (times == 2)
    assert harness.processes_of(bare / "trials") == []
    assert again(preloaded, swept, bare).wait().code == 0
    for trial in bare.glob("trials/*"):
        assert_complete(bare, trial, swept)


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
        *lines, last = (trial / "journal.jsonl").read_text().splitlines()
        record = json.loads(last)
        record["metrics"] |= json.loads((trial / "errors.json").read_text())["metrics"]
        (trial / "journal.jsonl").write_text("\n".join([*lines, json.dumps(record), ""]))
        (trial / "errors.json").unlink()
        (attempt,) = trial.glob("attempts/*.json")
        facts = json.loads(attempt.read_text())
        del facts["journal"]
        attempt.write_text(json.dumps(facts))


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


def test_orphan_ends_with_its_command(tmp_path: Path, bare: Path) -> None:
    """It watches who started it, as ranks do: nobody has to come and end it."""
    trial, environment = folder(bare), faults.make(tmp_path / "faults", "hang")
    os.utime(trial / "attempts" / "0001.json")
    launcher = "import subprocess, sys; subprocess.run([sys.executable, '-m', *sys.argv[1:]])"
    process = subprocess.Popen(
        [sys.executable, "-c", launcher, "experiments.training.decisions", str(trial), "1"],
        cwd=harness.ROOT,
        env=harness.of_nobody() | {"PYTHONPATH": f"{harness.ROOT}:{environment['PYTHONPATH']}"},
    )
    wait_for((tmp_path / "faults" / "begun").exists)
    process.kill()
    process.wait()
    wait_for(lambda: not harness.processes_of(trial))
