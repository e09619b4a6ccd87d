"""Rows that other code trained than the newest are marked, trials of several commits named, in all forms of a table."""

import json
from collections.abc import Mapping
from dataclasses import replace
from unittest.mock import Mock

import pytest

from analysis import terminal
from analysis.figures import curves as figures
from analysis.figures import styles
from analysis.read import source_versions
from analysis.read.runs import Run
from analysis.read.study import Study
from analysis.results import provenance, report
from analysis.statistics import compare
from analysis.tables import ablation, formats, full
from analysis.tables.costs import costs
from experiments import names
from tests.support.drawn import study as drawn
from tests.support.drawn import sure

CONV, SUM = "groie/processing.py", "groie/extractor.py"
BEGAN, WENT_ON = "1f2e3d4c5b6a", "3c4d5e6f7a8b-dirty"
TOLD = f"{BEGAN} (epochs 1-2), {WENT_ON} (epochs 3-12)"


@pytest.fixture
def of_table3() -> Study:
    """Six rows of two seeds; the attention's, row 5, are the newest."""
    return drawn("table3", seeds=(0, 1))


def runs_of(study: Study, word: str) -> list[Run]:
    """Returns the runs of the row with this override, the seeds in order."""
    return [run for run in study.runs if word in run.tags[names.VARIANT].split()]


def load(run: Run, files: Mapping[str, str]) -> None:
    run.tags[names.CODE] = json.dumps(files)


def labels(study: Study) -> list[str]:
    return list(dict.fromkeys(study.whole.lines["label"]))


def test_trials_without_recorded_files_are_not_marked(of_table3: Study) -> None:
    assert source_versions.sentences(of_table3.whole.lines) == ()
    assert not any(source_versions.SIGN in label for label in labels(of_table3))


def test_same_code_is_not_marked_whatever_else_a_row_loaded(of_table3: Study) -> None:
    for number, run in enumerate(of_table3.runs):
        load(run, {SUM: "a", f"mine/module_{number}.py": "x"})
    assert source_versions.sentences(of_table3.whole.lines) == ()


def test_row_that_loaded_another_version_than_the_newest_is_marked(of_table3: Study) -> None:
    for run in of_table3.runs:
        load(run, {SUM: "new"})
    for run in runs_of(of_table3, "pre=conv5"):
        load(run, {SUM: "old"})
    assert source_versions.sentences(of_table3.whole.lines) == (
        f"† trained by other code than the newest trial: {SUM} (conv 5x5).",
    )
    assert labels(of_table3) == ["baseline", "conv 1x1", "conv 3x3", "conv 5x5 †", "non-local", "attention"]


def test_one_seed_of_a_row_is_named(of_table3: Study) -> None:
    for run in of_table3.runs:
        load(run, {SUM: "new", CONV: "new"})
    load(runs_of(of_table3, "pre=attention")[0], {SUM: "new", CONV: "old"})
    assert source_versions.sentences(of_table3.whole.lines) == (
        f"† trained by other code than the newest trial: {CONV} (attention, seed 0).",
    )


def test_rows_differ_in_a_file_that_the_newest_of_all_never_loaded(of_table3: Study) -> None:
    """Of a file, the newest trial that loaded it counts."""
    for run in of_table3.runs:
        load(run, {SUM: "a"})
    for version, row in (("1", "pre=conv1"), ("2", "pre=conv5")):
        for run in runs_of(of_table3, row):
            load(run, {SUM: "a", CONV: version})
    (sentence,) = source_versions.sentences(of_table3.whole.lines)
    assert sentence.endswith(f"{CONV} (conv 1x1).")


def test_trial_of_several_sources_is_marked_and_compared_by_its_last(of_table3: Study) -> None:
    for run in of_table3.runs:
        load(run, {SUM: "new"})
    for run in runs_of(of_table3, "pre=attention"):  # the newest themselves
        load(run, {SUM: "old,new"})
    (sentence,) = source_versions.sentences(of_table3.whole.lines)
    assert sentence.endswith(f"{SUM} (attention).")


def test_many_rows_are_counted(of_table3: Study) -> None:
    more = drawn("paper", seeds=(0,))
    for run in more.runs:
        load(run, {SUM: "old"})
    load(more.runs[-1], {SUM: "new"})
    (sentence,) = source_versions.sentences(more.whole.lines)
    assert sentence.endswith(f"{SUM} (26 rows).")


def test_several_commits_are_named(of_table3: Study) -> None:
    runs_of(of_table3, "pre=conv3")[1].tags[names.COMMIT] = TOLD
    assert source_versions.sentences(of_table3.whole.lines) == (f"conv 3x3, seed 1, ran on several commits: {TOLD}.",)
    assert provenance.of(of_table3)["commit"] == f"{BEGAN}, {WENT_ON}"
    assert provenance.of(of_table3)["code"].startswith("conv 3x3, seed 1, ran on several commits")


def test_every_table_format_marks_rows_of_other_code(of_table3: Study, capsys: pytest.CaptureFixture[str]) -> None:
    for run in of_table3.runs:
        load(run, {SUM: "new"})
    for run in runs_of(of_table3, "pre=conv5"):
        load(run, {SUM: "old"})
    runs_of(of_table3, "pre=conv3")[1].tags[names.COMMIT] = TOLD
    part = of_table3.whole
    table = ablation.of(of_table3, part)
    wanted = source_versions.sentences(part.lines)
    assert len(wanted) == 2
    known = sure(of_table3, part)
    in_full = full.details(part, table, [known], costs(of_table3))
    curves = figures.curves(part, of_table3.metrics, "bbox/AP", styles.of([part]))
    terminal.print_table(table)
    texts = {
        "markdown": formats.WRITERS[".md"](table),
        "page": formats.WRITERS[".html"](table),
        "latex": formats.WRITERS[".tex"](table),
        "in full": full.WRITERS[".md"](in_full),
        "report": report.page(of_table3, [report.section(part, table, [known], [])], []),
        "figure": "\n".join(curves.remarks),
        "terminal": capsys.readouterr().out,
    }
    for form, text in texts.items():
        assert all(sentence in text for sentence in wanted), form
    sign = {"latex": r"conv 5x5 $\dagger$", "figure": curves.curves[2].label}
    assert all(sign.get(form, "conv 5x5 †") in text for form, text in texts.items() if form != "figure")
    assert "conv 5x5 †" in {curve.label for curve in curves.curves}


def test_a_marked_row_is_compared_under_its_own_name(of_table3: Study) -> None:
    """Studies are compared row by row: one may have the sign where the other has none."""
    known = {run.tags[names.TRIAL_ID]: {"bbox": Mock()} for run in of_table3.runs}
    plain = compare.rows(replace(of_table3, matches=known))
    for run in of_table3.runs:
        load(run, {SUM: "old" if run in runs_of(of_table3, "pre=conv5") else "new"})
    marked = replace(of_table3, matches=known)
    assert "conv 5x5 †" in labels(marked)
    assert compare.rows(marked) == plain
    assert compare.find(marked.whole, "conv 5x5", marked) == plain["conv 5x5"]
