"""The rows of a declared sweep: their order and names, what no run serves yet, what the file does not know."""

from pathlib import Path

import pandas as pd
import pytest

from analysis.read import declarations, frames, rows
from analysis.read.runs import Run
from experiments import declared, names
from tests.support.recorded import NEWER, OLDER, TYPED_MORE, Recorder, of_id

MINE = "mine"


def lines_of(runs: list[Run], sweep: str) -> pd.DataFrame:
    return rows.rows_frame(sweep, frames.trials_frame(frames.runs_frame(runs, sweep)), declarations.of_sweep(sweep))


def shown(lines: pd.DataFrame) -> list[tuple[str, str, str]]:
    """Returns label, seed and status of each line of the frame."""
    return list(lines[["label", names.SEED, "status"]].itertuples(index=False, name=None))


def declare(folder: Path, *row_names: str, sweep: str = MINE) -> None:
    listed = ", ".join(f"{{name: {name}, overrides: []}}" for name in row_names)
    (folder / f"{sweep}.yaml").write_text(f"{{purpose: Mine., rows: [{listed}]}}")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Returns the folder that stands in for sweeps/."""
    monkeypatch.setattr(declared, "FOLDER", tmp_path)
    return tmp_path


def served(recorder: Recorder, rows_of: dict[str, list[str] | None], sweep: str = MINE, **changes: str) -> list[Run]:
    """Returns finished runs of variants that serve these rows of a sweep that no other test reads."""
    found = [of_id(recorder, recorder.run(variant, 0, sweeps=(), **changes)) for variant in rows_of]
    for run, served in zip(found, rows_of.values(), strict=True):
        run.tags[names.SWEEP + names.sweep_key(sweep)] = sweep
        if served is not None:
            run.tags[names.ROWS + names.sweep_key(sweep)] = str(served).replace("'", '"')
    return found


def test_rows_come_as_the_file_has_them_whole_or_not(declared_runs: list[Run]) -> None:
    assert shown(lines_of(declared_runs, "table3")) == [
        ("baseline", "0", "FINISHED"),
        ("baseline", "1", "FINISHED"),
        ("conv 1x1", "0", "NOT RUN"),
        ("conv 1x1", "1", "NOT RUN"),
        ("conv 3x3", "0", "FAILED"),
        ("conv 3x3", "1", "NOT RUN"),
        *((row, seed, "NOT RUN") for row in ("conv 5x5", "non-local", "attention") for seed in "01"),
    ]


def test_a_line_that_is_not_run_has_no_trial_and_no_factors(declared_runs: list[Run]) -> None:
    lines = lines_of(declared_runs, "table3")
    lacking = lines.loc[lines["status"] == rows.NOT_RUN]
    assert set(lacking["trial_id"]) == {""}
    assert set(lacking["profile"]) == {""}
    assert list(lacking.loc[lacking["row"] == "conv 3x3", "variant_id"]) == ["faster_rcnn_sum_pre=conv3"]
    assert list(rows.recorded(lines)["trial_id"]) == [
        "faster_rcnn_single-s0",
        "faster_rcnn_single-s1",
        "faster_rcnn_sum_pre=conv3-s0",
    ]
    assert rows.what_runs_the_rest("table3", lines) == "python run.py -m sweep=table3 seed=0,1"


def test_the_paper_has_the_rows_of_its_files_under_their_names(declared_runs: list[Run]) -> None:
    lines = lines_of(declared_runs, "paper")
    asked = list(lines["row"].unique())
    assert len(asked) == 27
    assert asked[:5] == ["table1: baseline", "table1: random", "table1: sum", "table2: baseline", "table2: sum"]
    assert asked[-1] == "table5: GC-Net + GRoIE"
    one_trial = lines.loc[lines["trial_id"] == "faster_rcnn_sum_post=conv1-s0", "row"]
    assert list(one_trial) == ["table2: sum+", "table4: conv 1x1"]
    assert rows.recorded(lines)["trial_id"].is_unique


def test_variants_of_a_row_are_told_apart_by_what_differs(declared_runs: list[Run]) -> None:
    """One of each was recorded before recipe= was typed; the row that is half done has a line for the other half."""
    lines = lines_of(declared_runs, TYPED_MORE)
    assert shown(lines) == [
        ("baseline recipe=paper", "0", "FINISHED"),
        ("baseline recipe=upstream", "0", "FINISHED"),
        ("random recipe=paper", "0", "FINISHED"),
        ("random (1 more variant)", "0", "NOT RUN"),
        ("sum", "0", "NOT RUN"),
    ]
    assert list(lines["row"]) == ["baseline", "baseline", "random", "random", "sum"]
    assert list(lines["line"]) == [0, 1, 2, 3, 4]
    assert rows.what_runs_the_rest(TYPED_MORE, lines) == "python run.py -m sweep=table1 recipe=paper,upstream"


def test_variants_that_differ_in_a_value_show_it_and_those_that_read_alike_their_ids(
    declared_recorder: Recorder, folder: Path
) -> None:
    declare(folder, "a", "b")
    texts = {"sum schedule.epochs=1": ["a"], "sum schedule.epochs=2": ["a"], "concat": ["b"], "Concat": ["b"]}
    runs = served(declared_recorder, dict(texts))
    assert list(lines_of(runs, MINE)["label"]) == [
        "a schedule.epochs=1",
        "a schedule.epochs=2",
        "b [concat]",
        "b [Concat]",
    ]


def test_a_row_that_was_edited_keeps_its_old_trial_and_makes_no_other_row_incomplete(
    declared_recorder: Recorder, folder: Path
) -> None:
    declare(folder, "a", "b")
    runs = served(declared_recorder, {"old": ["a"], "new": ["a"], "other": ["b"]})
    lines = lines_of(runs, MINE)
    assert list(lines["label"]) == ["a [old]", "a [new]", "b"]
    assert rows.what_runs_the_rest(MINE, lines) == ""


def test_a_trial_that_serves_two_rows_is_in_both(declared_recorder: Recorder, folder: Path) -> None:
    declare(folder, "1x1", "concat", "sum+")
    lines = lines_of(served(declared_recorder, {"sum post=conv1": ["sum+", "1x1"], "concat": ["concat"]}), MINE)
    assert list(lines["label"]) == ["1x1", "concat", "sum+"]
    assert list(lines["trial_id"]) == ["sum_post=conv1-s0", "concat-s0", "sum_post=conv1-s0"]


def test_a_renamed_row_is_not_run_and_what_was_recorded_stands_below_with_a_remark(
    declared_recorder: Recorder, folder: Path
) -> None:
    runs = served(declared_recorder, {"sum": ["plain"], "concat": ["concat"]})
    declare(folder, "plain sum", "concat")
    lines = lines_of(runs, MINE)
    assert shown(lines) == [("plain sum", "0", "NOT RUN"), ("concat", "0", "FINISHED"), ("plain", "0", "FINISHED")]
    assert list(lines["remark"]) == ["", "", "not in sweeps/mine.yaml any more"]


def test_without_its_file_a_sweep_has_the_rows_that_were_recorded(declared_recorder: Recorder, folder: Path) -> None:
    runs = served(declared_recorder, {"sum": ["plain", "all"], "concat": None})
    lines = lines_of(runs, MINE)
    assert shown(lines) == [("plain", "0", "FINISHED"), ("all", "0", "FINISHED"), ("concat", "0", "FINISHED")]
    assert set(lines["remark"]) == {""}
    assert rows.what_runs_the_rest(MINE, lines) == ""


def test_a_trial_whose_row_is_not_recorded_stands_below_under_its_variant(
    declared_recorder: Recorder, folder: Path
) -> None:
    declare(folder, "plain")
    lines = lines_of(served(declared_recorder, {"sum": None}), MINE)
    assert shown(lines) == [("plain", "0", "NOT RUN"), ("sum", "0", "FINISHED")]


def test_the_run_that_counts_says_which_rows_it_serves_else_another_attempt_does(
    declared_recorder: Recorder, folder: Path
) -> None:
    declare(folder, "a", "b")
    (early,) = served(declared_recorder, {"x": ["a"]}, status="FAILED")
    (late,) = served(declared_recorder, {"x": ["b"]})
    assert list(rows.recorded(lines_of([early, late], MINE))["row"]) == ["b"]
    del late.tags[names.ROWS + MINE]
    assert list(rows.recorded(lines_of([early, late], MINE))["row"]) == ["a"]


def test_a_run_that_broke_off_before_its_seed_was_recorded_asks_for_no_other(
    declared_recorder: Recorder, folder: Path
) -> None:
    declare(folder, "a", "b")
    runs = served(declared_recorder, {"x": ["a"]})
    del runs[0].params[names.SEED]
    assert shown(lines_of(runs, MINE)) == [("a", "", "FINISHED"), ("b", "", "NOT RUN")]


@pytest.mark.parametrize("sweep", [OLDER, NEWER])
def test_a_typed_sweep_has_a_row_for_each_variant(runs: list[Run], sweep: str) -> None:
    trials = frames.trials_frame(frames.runs_frame(runs, sweep))
    lines = lines_of(runs, sweep)
    pd.testing.assert_frame_equal(lines[list(trials.columns)], trials)
    assert list(lines["row"]) == list(trials["label"])
    assert rows.what_runs_the_rest(sweep, lines) == ""
