"""A finished trial's journal that lost or changed a line is noticed and repaired from a checkpoint or not delivered."""

import json
import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir

from experiments import files, names
from experiments.paths import TrialPaths
from experiments.planning import plan
from experiments.planning.sweep import Request
from experiments.reading import DamagedError
from experiments.trial import attempts, completeness, journal
from tests.support import harness, prepared, transferred
from tests.support.running import Fake

pytestmark = pytest.mark.filterwarnings("ignore")

LAST = prepared.EPOCHS
OVERRIDES = (f"schedule.epochs={LAST}",)
Edit = Callable[[list[str]], list[str]]


def with_value(lines: list[str], step: int, value: float) -> str:
    record = json.loads(lines[step - 1])
    record["metrics"]["bbox/AP"] = value
    return json.dumps(record)


# By what was done to the lines of a journal of twelve epochs: the sentence that says so.
FLAWS: dict[str, tuple[Edit, str]] = {
    "an old copy": (lambda lines: lines[:1], "lacks epochs 2 to 12 of 12"),
    "the last line is torn": (lambda lines: [*lines[:-1], lines[-1][:90]], "line 12 is damaged"),
    "the last line is lost": (lambda lines: lines[:-1], "lacks epoch 12 of 12"),
    "gaps": (lambda lines: [lines[0], *lines[2:6], *lines[7:]], "lacks epochs 2, 7 of 12"),
    "empty": (lambda lines: [], "lacks epochs 1 to 12 of 12"),
    "a line of dirt": (lambda lines: [*lines[:4], '"step" \x00', *lines[4:]], "line 5 is damaged"),
    "an epoch twice": (lambda lines: [*lines, with_value(lines, 3, 0.9)], "line 13 is a second record of epoch 3"),
    "one epoch more": (lambda lines: [*lines, lines[-1].replace('"step": 12', '"step": 13')], "has epoch 13 of 12"),
    "an edited value": (
        lambda lines: [*lines[:-1], with_value(lines, 12, 0.9)],
        "was changed since the trial finished",
    ),
}


@pytest.fixture
def trial(tmp_path: Path, empty_store: Path) -> TrialPaths:
    """A finished trial of twelve epochs, without checkpoints, which no store has yet."""
    shutil.copy(empty_store, tmp_path)
    paths = prepared.finished(tmp_path, *OVERRIDES)
    digest = journal.digest(journal.complete_epochs(paths.journal).values())
    transferred.edit_json(paths.root / "attempts" / "0001.json", journal=digest)
    return paths


def damage(paths: TrialPaths, edit: Edit) -> None:
    lines = paths.journal.read_text().splitlines()
    paths.journal.write_text("".join(f"{line}\n" for line in edit(lines)))


def keep_checkpoint(paths: TrialPaths, name: str = f"epoch_{LAST}.pth", **changes: Any) -> Path:
    """Keeps a checkpoint with the journal's records."""
    records = [json.loads(line) for line in paths.journal.read_text().splitlines()]
    meta = {"epoch": LAST, "iter": 1, "records": records, **changes}
    paths.work.mkdir(exist_ok=True)
    file = paths.work / name
    torch.save({"meta": meta, "state_dict": {"weight": torch.ones(3)}}, file)
    file.with_suffix(".sha256").write_text(files.digest(file))
    return file


def make_plan(paths: TrialPaths, *more: str) -> plan.Entry:
    request = Request("test", (*OVERRIDES, "seed=0", f"output_dir={paths.root.parents[1]}", *more))
    with initialize_config_dir(str(harness.ROOT / "conf"), version_base="1.3"):
        (entry,) = plan.make([request], partial(compose, "config")).entries
    assert entry.trial.trial_id == paths.root.name
    return entry


@pytest.fixture
def tell(trial: TrialPaths, capsys: pytest.CaptureFixture[str]) -> Callable[..., transferred.Told]:
    """Runs `python -m experiments` on the trial's folder."""
    outputs = trial.root.parents[1]
    return lambda *arguments: transferred.tell(capsys, *arguments, outputs=outputs)


def precisions(paths: TrialPaths) -> list[tuple[int, float]]:
    (run,) = harness.runs(paths.root.parents[1])
    assert run.info.status == "FINISHED"
    points = harness.mlflow_metrics(paths.root.parents[1], run)
    return [(step, value) for name, step, value, _ in points if name == "bbox/AP"]


@pytest.mark.parametrize("flaw", FLAWS)
def test_journal_is_mended_before_it_is_delivered(
    trial: TrialPaths, tell: Callable[..., transferred.Told], flaw: str
) -> None:
    edit, sentence = FLAWS[flaw]
    whole_journal = trial.journal.read_bytes()
    keep_checkpoint(trial)
    damage(trial, edit)
    told = " ".join(tell("status")[1].split())
    assert f"journal.jsonl {sentence}; its command, or sync, repairs it if a checkpoint of the last epoch" in told
    assert make_plan(trial).why == f"journal.jsonl {sentence}: repaired from epoch_12.pth"
    assert trial.journal.read_bytes() != whole_journal  # looking changes nothing
    code, out, err = tell("sync")
    assert (code, err) == (0, "")
    assert f"{trial.root.name}: journal.jsonl {sentence}: repaired from epoch_12.pth\n" in out
    assert trial.journal.read_bytes() == whole_journal
    assert precisions(trial) == [(epoch, prepared.record(epoch, 0.4)["metrics"]["bbox/AP"]) for epoch in range(1, 13)]
    assert "repaired from" not in tell("sync")[1]
    assert make_plan(trial).why == ""
    assert "journal.jsonl" not in tell("status")[1]


@pytest.mark.long
@pytest.mark.parametrize("flaw", FLAWS)
def test_trial_that_cannot_be_mended_is_not_delivered(
    trial: TrialPaths, tell: Callable[..., transferred.Told], flaw: str, tmp_path: Path
) -> None:
    """Nor exported, nor passed over by a plan. Another trial of the folder is delivered and exported."""
    edit, sentence = FLAWS[flaw]
    other = prepared.finished(tmp_path, *OVERRIDES, seed=1)
    damage(trial, edit)
    why = (
        f"{trial.journal} {sentence}, and {trial.work} has no checkpoint with the records of all epochs to repair it "
        f"from; restore the file from a copy, or train the trial again: python run.py {OVERRIDES[0]} seed=0 "
        "rerun=true"
    )
    code, out, err = tell("sync")
    assert (code, err) == (2, f"error: 1 trials were not delivered: {why}\n")
    assert out == f"1 trials in MLflow match their folders: {harness.store(tmp_path)}\n"
    assert [run.data.tags[names.TRIAL_ID] for run in harness.runs(tmp_path)] == [other.root.name]
    code, _, err = tell("export", "all", tmp_path / "all.zip")
    assert (code, err) == (2, f"error: 1 were left out: {why}\n")
    packed = transferred.contents(tmp_path / "all.zip")
    assert {name.split("/")[1] for name in packed if "/" in name} == {other.root.name}
    entry = make_plan(trial)
    assert (entry.state, entry.runs, entry.why) == ("damaged", False, why)
    assert make_plan(trial, "rerun=true").replaces
    row = " ".join(tell("status")[1].split())
    assert f" finished {len(journal.complete_epochs(trial.journal))}/12 journal.jsonl {sentence}; " in row  # without AP


def test_journal_that_no_longer_exists(trial: TrialPaths, tell: Callable[..., transferred.Told]) -> None:
    trial.journal.unlink()
    assert tell("sync")[2].startswith(
        f"error: 1 trials were not delivered: {trial.journal} lacks epochs 1 to 12 of 12, and "
    )


def test_trial_of_an_earlier_version_has_all_epochs_or_is_mended(
    trial: TrialPaths, tell: Callable[..., transferred.Told]
) -> None:
    """Its attempt knows no digest: what was lost is noticed, a value that was edited is not."""
    transferred.edit_json(trial.root / "attempts" / "0001.json", journal=None)
    keep_checkpoint(trial)
    damage(trial, FLAWS["an edited value"][0])
    assert completeness.of(trial) == completeness.Lacks(None, None)
    damage(trial, FLAWS["an old copy"][0])
    assert "repaired from epoch_12.pth" in tell("sync")[1]
    assert precisions(trial)[-1] == (12, prepared.record(12, 0.4)["metrics"]["bbox/AP"])


def test_run_that_was_delivered_whole_stays_as_it_is(trial: TrialPaths, tell: Callable[..., transferred.Told]) -> None:
    assert tell("sync")[0] == 0
    before = precisions(trial)
    damage(trial, FLAWS["an old copy"][0])
    assert tell("sync")[0] == 2
    assert precisions(trial) == before


def test_best_checkpoint_serves_where_it_is_of_the_last_epoch(
    trial: TrialPaths, tell: Callable[..., transferred.Told]
) -> None:
    keep_checkpoint(trial, "best.pth")
    damage(trial, FLAWS["gaps"][0])
    assert "repaired from best.pth" in tell("sync")[1]


def cut(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


UNFIT: dict[str, Callable[[TrialPaths], object]] = {
    "best of an earlier epoch": lambda paths: keep_checkpoint(
        paths, "best.pth", records=[prepared.record(epoch, 0.4) for epoch in range(1, 9)]
    ),
    "other values": lambda paths: keep_checkpoint(
        paths, records=[prepared.record(epoch, 0.5) for epoch in range(1, 13)]
    ),
    "torn": lambda paths: cut(keep_checkpoint(paths)),
    "best, torn": lambda paths: cut(keep_checkpoint(paths, "best.pth")),
}


@pytest.mark.parametrize("kind", UNFIT)
def test_checkpoint_that_does_not_serve(trial: TrialPaths, tell: Callable[..., transferred.Told], kind: str) -> None:
    UNFIT[kind](trial)
    damage(trial, FLAWS["the last line is lost"][0])
    left = trial.journal.read_bytes()
    assert tell("sync")[2].startswith(f"error: 1 trials were not delivered: {trial.journal} lacks epoch 12 of 12, and ")
    assert trial.journal.read_bytes() == left


def test_journal_that_lost_lines_while_training_is_mended_at_the_end(trial: TrialPaths) -> None:
    """Before checkpoints go that nobody wants to keep."""
    digest = journal.digest(journal.complete_epochs(trial.journal).values())
    keep_checkpoint(trial)
    damage(trial, FLAWS["gaps"][0])
    assert completeness.seal(trial) == digest
    assert list(journal.complete_epochs(trial.journal)) == list(range(1, 13))
    shutil.rmtree(trial.work)
    damage(trial, FLAWS["gaps"][0])
    with pytest.raises(DamagedError, match=r"lacks epochs 2, 7 of 12, and "):
        completeness.seal(trial)


def test_finished_attempt_knows_its_records(fake: Fake) -> None:
    assert fake.run({150: "finish"}).code == 0
    (attempt,) = harness.attempts(fake.folder(150))
    records = [json.loads(line) for line in (fake.folder(150) / "journal.jsonl").read_text().splitlines()]
    assert attempt["journal"] == journal.digest(records)
    assert attempts.last(fake.folder(150)).journal == attempt["journal"]  # type: ignore[union-attr]


def test_attempt_that_ends_with_a_shortened_journal_has_failed(fake: Fake) -> None:
    """Where no checkpoint mends it: a fake training has none."""
    failed = fake.run({151: "forget"})
    assert failed.code == 1
    ((status, reason),) = fake.attempts(151)
    assert status == "FAILED"
    assert reason.startswith(f"{fake.folder(151) / 'journal.jsonl'} lacks epoch 1 of 2, and ")
    assert fake.statuses(151) == [(151, "FAILED")]


def test_damaged_line_of_an_interrupted_trial_is_left_out(fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    """It is said; the epochs before and after count."""
    assert fake.run({152: "memory"}, "retry.attempts=1").code == 1
    path = fake.folder(152) / "journal.jsonl"
    path.write_text('{"step": 1, "tim\n' + path.read_text())
    told = " ".join(transferred.tell(capsys, "status", outputs=fake.outputs)[1].split())
    assert "journal.jsonl line 1 is damaged; the next attempt removes it" in told
    done = fake.run({152: "finish"})
    assert done.code == 0, done.stdout
    assert fake.planned(152)[2].endswith("; resumes after epoch 1")
    assert f"{path} had 1 damaged lines, which were removed\n" in done.stdout
    fake.assert_each_epoch_once(152)
