"""A study is read once, and a few plain files hold all of it."""

import hashlib
import json
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from analysis.read import study
from analysis.read.study import Study
from experiments import names
from experiments.errors import UserError
from experiments.trial import matches
from tests.support.drawn import detector
from tests.support.recorded import NEWER, TYPED_MORE, Recorder, box, read, silent

FILES = ("study.json", "runs.jsonl", "metrics.csv", "surroundings.json", "matches/faster_rcnn_single-s1.npz")
STEPS: list[tuple[str, int]] = []


@contextmanager
def counting(text: str, steps: int) -> Iterator[Callable[[], None]]:
    done: list[None] = []
    yield lambda: done.append(None)
    assert len(done) == steps
    STEPS.append((text, steps))


DECIDED = detector(1.0, 0, images=1)


@pytest.fixture(scope="module")
def of_paper(declared_recorder: Recorder, tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = tmp_path_factory.mktemp("artifacts")
    matches.save(folder / "matches.npz", {"bbox": DECIDED})
    (run,) = declared_recorder.client.search_runs(
        [declared_recorder.experiment_id], f"tags.{names.TRIAL_ID} = 'faster_rcnn_single-s1'"
    )
    declared_recorder.client.log_artifact(run.info.run_id, str(folder / "matches.npz"))
    STEPS.clear()
    return read(declared_recorder, "paper", counting)


def test_tables_are_those_of_the_included_sweeps(of_paper: Study) -> None:
    assert [part.name for part in of_paper.parts] == ["table1", "table2", "table3", "table4", "table5"]
    table1 = of_paper.parts[0]
    assert list(table1.lines["row"].unique()) == ["baseline", "random", "sum"]
    assert table1.declaration is not None
    assert table1.declaration.figures == {"2": "bbox"}


def test_only_finished_trials_have_matches(of_paper: Study) -> None:
    assert list(of_paper.matches) == ["faster_rcnn_single-s1"]
    assert of_paper.matches["faster_rcnn_single-s1"]["bbox"].score == DECIDED.score
    assert [text for text, _ in STEPS] == ["reading metrics", "reading detections"]
    assert STEPS[1][1] == 5  # trials that finished


def test_matches_that_cannot_be_read_are_noted(recorder: Recorder, tmp_path: Path) -> None:
    own = Recorder(recorder.folder, "damaged")
    (tmp_path / "matches.npz").write_bytes(b"no archive")
    own.client.log_artifact(own.run("sum", 0, points=box([0.1]), sweeps=("mine",)), str(tmp_path / "matches.npz"))
    notes: list[str] = []
    found = study.read(own.client, own.experiment, own.uri, "mine", silent, notes.append)
    assert found.matches == {}
    (note,) = notes
    assert note.startswith("sum-s0 counts as a trial without matches: ")
    assert "matches.npz" in note


def test_what_was_saved_is_what_is_loaded(of_paper: Study, tmp_path: Path) -> None:
    study.save(of_paper, tmp_path / "data")
    again = study.load(tmp_path / "data")
    assert (again.sweep, again.runs, again.histories) == (of_paper.sweep, of_paper.runs, of_paper.histories)
    pd.testing.assert_frame_equal(again.metrics, of_paper.metrics, check_exact=True)
    for ours, theirs in zip(again.parts, of_paper.parts, strict=True):
        pd.testing.assert_frame_equal(ours.lines, theirs.lines)
    assert list(again.matches) == list(of_paper.matches)
    study.save(again, tmp_path / "again")
    files = sorted(path.relative_to(tmp_path / "data") for path in (tmp_path / "data").rglob("*") if path.is_file())
    assert {str(file) for file in files} == {*FILES, "SHA256SUMS"}
    for file in files:
        assert (tmp_path / "again" / file).read_bytes() == (tmp_path / "data" / file).read_bytes()


def test_a_typed_sweep_is_one_table(recorder: Recorder) -> None:
    found = read(recorder, NEWER, counting)
    assert [part.sweep for part in found.parts] == [NEWER]
    assert re.fullmatch(r"masks_two_heads-[0-9a-f]{8}", found.parts[0].name)
    assert found.parts[0].declaration is None


def test_overrides_of_a_declared_sweep_stay_with_its_table(declared_recorder: Recorder) -> None:
    found = read(declared_recorder, TYPED_MORE, counting)
    assert [part.sweep for part in found.parts] == [TYPED_MORE]
    assert len(found.parts[0].lines) == 5  # two recipes of the baseline, random, and what is not run


REMEDY = "restore the files that `python -m analysis paper` wrote there"


@pytest.fixture
def saved(of_paper: Study, tmp_path: Path) -> Path:
    study.save(of_paper, tmp_path)
    return tmp_path


def complaint(folder: Path) -> str:
    with pytest.raises(UserError) as error:
        study.load(folder)
    return str(error.value)


@pytest.mark.parametrize("file", FILES)
def test_changed_file_is_refused(saved: Path, file: str) -> None:
    content = (saved / file).read_bytes()
    for other in (b"", content[:-1], content + b"\n", content[:1] + bytes([content[1] ^ 1]) + content[2:]):
        (saved / file).write_bytes(other)
        assert complaint(saved) == f"{saved} holds an incomplete study ({file} was changed); {REMEDY}"


@pytest.mark.parametrize("file", [*FILES[1:], "SHA256SUMS"])
def test_missing_file_is_refused(saved: Path, file: str) -> None:
    (saved / file).unlink()
    assert complaint(saved) == f"{saved} holds an incomplete study ({file} is missing); {REMEDY}"


@pytest.mark.parametrize("line", range(len(FILES)))
def test_checksums_without_a_file_are_refused(saved: Path, line: int) -> None:
    lines = (saved / "SHA256SUMS").read_text().splitlines(keepends=True)
    (saved / "SHA256SUMS").write_text("".join(lines[:line] + lines[line + 1 :]))
    assert f"({FILES[line]} was changed)" in complaint(saved)


def test_sums_are_what_sha256sum_reads(saved: Path) -> None:
    done = subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=saved, text=True, capture_output=True)
    assert (done.returncode, done.stdout.splitlines()) == (0, [f"{file}: OK" for file in FILES])


@pytest.mark.parametrize("others", [True, False])
def test_study_of_another_format_is_refused(saved: Path, others: bool) -> None:
    (saved / "study.json").write_text('{"format": 2, "sweep": "x"}')
    if others:
        (saved / "SHA256SUMS").unlink()
    remedy = "write it again from MLflow with `python -m analysis paper`"
    assert complaint(saved) == f"{saved} has format 2; this version reads 3: {remedy}"


def test_a_table_of_which_nothing_ran_has_its_rows(recorder: Recorder) -> None:
    own = Recorder(recorder.folder, "one table")
    own.run(
        "single", 1, points={"bbox/AP": [0.4]}, sweeps=(), rows={"paper": ["table1: baseline"], "table1": ["baseline"]}
    )
    found = read(own, "paper", counting)
    table5 = found.parts[4]
    assert list(table5.lines["status"].unique()) == ["NOT RUN"]
    assert table5.lines["row"].iloc[0] == "Faster R-CNN"
    assert len(table5.lines) == 8


def summed(folder: Path) -> None:
    """Gives the files of a saved study the sums that they have now."""
    lines = (folder / "SHA256SUMS").read_text().splitlines()
    found = [line.partition("  ")[2] for line in lines]
    sums = [f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in found]
    (folder / "SHA256SUMS").write_text("".join(sums))


WRONG = {"empty": b"", "garbage": b"\xff\x00", "a list": b"[1]\n", "a mapping": b"{}\n", "deep": b"[" * 100_000}


@pytest.mark.parametrize("kind", WRONG)
@pytest.mark.parametrize("file", FILES)
def test_malformed_file_with_matching_checksum_is_refused(saved: Path, file: str, kind: str) -> None:
    (saved / file).write_bytes(WRONG[kind])
    summed(saved)
    found = complaint(saved)
    assert str(saved / file) in found or file in found
    assert "Traceback" not in found


@pytest.mark.parametrize(
    "changes",
    [
        {"tags": {}},
        {"tags": {"trial_id": "a", "rows.x": "{"}},
        {"tags": {"trial_id": "a", "place.x": "first"}},
        {"tags": {"trial_id": "a", "code": "[]"}},
        {"tags": {"trial_id": "a", "overrides": "'"}},
        {"metrics": {"bbox/AP": "x"}},
        {"params": 5},
        {"started": "now"},
    ],
    ids=str,
)
def test_malformed_run_is_refused(saved: Path, changes: dict[str, Any]) -> None:
    first, *others = (saved / "runs.jsonl").read_text().splitlines()
    run = {**json.loads(first), **changes}
    (saved / "runs.jsonl").write_text("\n".join([json.dumps(run), *others]) + "\n")
    summed(saved)
    assert complaint(saved).startswith(f"{saved / 'runs.jsonl'} is damaged (")
