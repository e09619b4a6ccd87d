"""A study is read once, and a few plain files hold all of it."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from recorded import DECLARED, NEWER, TYPED_MORE, Recorder

from analysis import study
from analysis.errors import AnalysisError
from analysis.study import Study
from experiments import matches, names
from experiments.matches import Matches

STEPS: list[tuple[str, int]] = []


@contextmanager
def counting(text: str, steps: int) -> Iterator[Callable[[], None]]:
    done: list[None] = []
    yield lambda: done.append(None)
    assert len(done) == steps
    STEPS.append((text, steps))


@pytest.fixture(scope="module")
def decided() -> Matches:
    """One image with one object, found by one detection."""
    whole = np.uint16(2**matches.THRESHOLDS - 1)
    return Matches(
        image_ids=np.array([7]),
        class_ids=np.array([1]),
        image=np.zeros(1, np.int32),
        category=np.zeros(1, np.int16),
        score=np.array([0.5]),
        matched=np.array([[whole, 0, 0, whole]], np.uint16),
        ignored=np.array([[0, whole, whole, 0]], np.uint16),
        object_image=np.zeros(1, np.int32),
        object_category=np.zeros(1, np.int16),
        objects=np.array([[1, 0, 0, 1]], np.int32),
    )


@pytest.fixture(scope="module")
def of_paper(declared_recorder: Recorder, decided: Matches, tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = tmp_path_factory.mktemp("artifacts")
    matches.save(folder / "matches.npz", {"bbox": decided})
    (run,) = declared_recorder.client.search_runs(
        [declared_recorder.experiment_id], f"tags.{names.TRIAL_ID} = 'faster_rcnn_single-s1'"
    )
    declared_recorder.client.log_artifact(run.info.run_id, str(folder / "matches.npz"))
    STEPS.clear()
    return study.read(declared_recorder.client, DECLARED, declared_recorder.uri, "paper", counting)


def test_tables_are_those_of_the_included_sweeps(of_paper: Study) -> None:
    assert [part.name for part in of_paper.parts] == ["table1", "table2", "table3", "table4", "table5"]
    table1 = of_paper.parts[0]
    assert list(table1.lines["row"].unique()) == ["baseline", "random", "sum"]
    assert table1.declaration is not None
    assert table1.declaration.figures == {"2": "bbox"}


def test_only_finished_trials_have_matches(of_paper: Study, decided: Matches) -> None:
    assert list(of_paper.matches) == ["faster_rcnn_single-s1"]
    assert of_paper.matches["faster_rcnn_single-s1"]["bbox"].score == decided.score
    assert [text for text, _ in STEPS] == ["reading metrics", "reading detections"]
    assert STEPS[1][1] == 5  # trials that finished


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
    assert [str(file) for file in files] == [
        "matches/faster_rcnn_single-s1.npz", "metrics.csv", "runs.jsonl", "study.json", "surroundings.json"
    ]  # fmt: skip
    for file in files:
        assert (tmp_path / "again" / file).read_bytes() == (tmp_path / "data" / file).read_bytes()


def test_a_typed_sweep_is_one_table(recorder: Recorder) -> None:
    found = study.read(recorder.client, names.EXPERIMENT, recorder.uri, NEWER, counting)
    assert [part.sweep for part in found.parts] == [NEWER]
    assert re.fullmatch(r"masks_two_heads-[0-9a-f]{8}", found.parts[0].name)
    assert found.parts[0].declaration is None


def test_what_was_typed_beside_the_name_stays_with_each_table(declared_recorder: Recorder) -> None:
    found = study.read(declared_recorder.client, DECLARED, declared_recorder.uri, TYPED_MORE, counting)
    assert [part.sweep for part in found.parts] == [TYPED_MORE]
    assert len(found.parts[0].lines) == 5  # two recipes of the baseline, random, and what is not run


@pytest.mark.parametrize(
    ("file", "content", "told"),
    [
        ("study.json", None, "holds no study; give the folder that `python -m analysis paper` wrote, the one that"),
        ("study.json", "{", "Expecting property name"),
        ("study.json", '{"format": 99, "sweep": "x"}', "has format 99; this version reads 2"),
        ("study.json", '{"format": 2}', "study.json names no sweep"),
        (
            "study.json",
            '{"format": 2, "sweep": "x"}',
            "no run is of the sweep 'x' that study.json names, but of paper, ",
        ),
        ("study.json", "[]", "list indices must be integers"),
        ("runs.jsonl", '{"run": 1}\n', "unexpected keyword argument 'run'"),
        ("metrics.csv", "a,b\n", "metrics.csv begins with ['a', 'b']"),
        ("metrics.csv", "run_id,metric,step,timestamp,value\nx,y,1,2,three\n", "could not convert string to float"),
        ("metrics.csv", "run_id,metric,step,timestamp,value\nx,bbox/AP\n", "line 2 of metrics.csv has 2 columns of 5"),
        ("metrics.csv", "run_id,metric,step,timestamp,value\nx,y,1,2,0.3", "the last line of metrics.csv is cut off"),
        ("metrics.csv", "run_id,metric,step,timestamp,value\n", "metrics.csv lacks lines of bbox/AP of run "),
        ("matches/faster_rcnn_single-s1.npz", "no", "is not a whole npz file"),
    ],
)
def test_a_folder_that_holds_no_study_is_told(
    of_paper: Study, file: str, content: str | None, told: str, tmp_path: Path
) -> None:
    study.save(of_paper, tmp_path)
    if content is None:
        (tmp_path / file).unlink()
    else:
        (tmp_path / file).write_text(content)
    with pytest.raises(AnalysisError) as error:
        study.load(tmp_path)
    assert told in str(error.value)


@pytest.mark.parametrize("lost", [1, 2, 20, 40])
def test_a_study_that_lost_its_last_lines_is_told(recorder: Recorder, lost: int, tmp_path: Path) -> None:
    found = study.read(recorder.client, names.EXPERIMENT, recorder.uri, NEWER, counting)
    study.save(found, tmp_path)
    lines = (tmp_path / "metrics.csv").read_text().splitlines(keepends=True)
    (tmp_path / "metrics.csv").write_text("".join(lines[:-lost]))
    with pytest.raises(AnalysisError, match=r"holds no whole study \(metrics.csv lacks lines of "):
        study.load(tmp_path)


def test_a_table_of_which_nothing_ran_has_its_rows(recorder: Recorder) -> None:
    own = Recorder(recorder.folder, "one table")
    own.run(
        "single", 1, points={"bbox/AP": [0.4]}, sweeps=(), rows={"paper": ["table1: baseline"], "table1": ["baseline"]}
    )
    found = study.read(own.client, "one table", own.uri, "paper", counting)
    table5 = found.parts[4]
    assert list(table5.lines["status"].unique()) == ["NOT RUN"]
    assert table5.lines["row"].iloc[0] == "Faster R-CNN"
    assert len(table5.lines) == 8
