"""Tables of declared sweeps: every row of the file, its columns, and the published numbers beside ours."""

import csv
import io

import pytest

from analysis.read import declarations, frames, rows
from analysis.read.metrics import COCO_NAMES
from analysis.read.runs import Run
from analysis.read.study import Part
from analysis.tables import ablation, formats
from experiments import names
from tests.support.recorded import MASK, TYPED_MORE, Recorder, metrics_of, of_id

PUBLISHED = "published (COCO, 1 run)"


def declared_table(recorder: Recorder, runs: list[Run], sweep: str) -> ablation.Table:
    """Returns the table of a declared sweep with the published numbers."""
    trials = frames.trials_frame(frames.runs_frame(runs, sweep))
    declaration = declarations.of_sweep(sweep)
    part = Part(sweep, declaration, rows.rows_frame(sweep, trials, declaration))
    return ablation.with_published(ablation.ablation_table(part, metrics_of(recorder, trials)), declaration)


@pytest.fixture(scope="session")
def table2(declared_recorder: Recorder, declared_runs: list[Run]) -> ablation.Table:
    return declared_table(declared_recorder, declared_runs, "table2")


@pytest.fixture(scope="session")
def table5(declared_recorder: Recorder, declared_runs: list[Run]) -> ablation.Table:
    return declared_table(declared_recorder, declared_runs, "table5")


def test_a_declared_table_has_every_row_of_its_file(table2: ablation.Table) -> None:
    told = [(row.label, row.shown("bbox/AP"), row.n, row.state) for row in table2.rows]
    assert told == [
        ("baseline", "41.0", "2", ""),
        ("sum", "46.0", "1 of 2", "seed 1 running, epoch 1"),
        ("sum+", "39.0", "1 of 2", "seed 1 not run"),
        ("concat", "", "0 of 2", "not run"),
    ]
    assert table2.rest == "`python run.py -m sweep=table2 seed=0,1` runs what is not run yet."


def test_the_heading_is_the_files_and_says_what_the_numbers_are_about(
    declared_recorder: Recorder, declared_runs: list[Run], table2: ablation.Table
) -> None:
    about = "profile demo, dataset shapes, recipe paper, schedule short, 2 seeds"
    assert table2.caption == f"Table II: Ablation on aggregation (sweep table2, {about})"
    paper = declared_table(declared_recorder, declared_runs, "paper")
    words = "The paper's whole study, each variant once however many tables show it"
    assert paper.caption == f"{words} (sweep paper, {about})"


def test_the_declared_columns_are_the_blocks_whatever_was_measured(
    declared_recorder: Recorder, declared_runs: list[Run], table2: ablation.Table, table5: ablation.Table
) -> None:
    assert list(table2.blocks) == ["bbox"]
    assert list(table5.blocks) == ["bbox", "segm"]
    by_label = {row.label: row for row in table5.rows}
    assert by_label["Faster R-CNN"].shown("segm/AP") == "N/A"
    assert by_label["Mask R-CNN"].shown("segm/APl") == "25.0"
    assert by_label["GC-Net"].shown("segm/AP") == ""
    # Of table 5 only boxes were measured, of table 1 masks too.
    boxes_alone = [run for run in declared_runs if not any(name in run.metrics for name in MASK)]
    assert list(declared_table(declared_recorder, boxes_alone, "table5").blocks) == ["bbox", "segm"]
    masked = of_id(
        declared_recorder,
        declared_recorder.run("m", 0, points={name: [0.2] for name in MASK}, rows={"table1 x=y": ["sum"]}, sweeps=()),
    )
    assert list(declared_table(declared_recorder, [masked], "table1 x=y").blocks) == ["bbox"]


def test_published_numbers_are_lines_below_their_rows_and_no_part_of_the_comparison(table2: ablation.Table) -> None:
    labels = [line.label for line in table2.lines]
    assert labels == [text for row in ("baseline", "sum", "sum+", "concat") for text in (row, PUBLISHED)]
    published = [line for line in table2.lines if isinstance(line, ablation.Published)]
    assert [line.shown("bbox/AP50") for line in published] == ["58.4", "59.0", "57.9", "58.0"]
    assert {line.n + line.epoch + line.state for line in published} == {""}
    # Of ours one row alone has two seeds, which tell too little of noise; the highest published number is no best.
    assert table2.best == {}
    assert not any(table2.is_best(line, name) for line in published for name in COCO_NAMES)


def test_published_numbers_of_masks_stand_among_the_masks(table5: ablation.Table) -> None:
    published = {line.name: line for line in table5.lines if isinstance(line, ablation.Published)}
    assert [published["Mask R-CNN"].shown(name) for name in MASK] == ["34.1", "55.5", "36.1", "18.0", "37.6", "46.7"]
    assert {published["Grid R-CNN"].shown(name) for name in MASK} == {"N/A"}


def test_a_row_of_several_variants_has_its_published_numbers_once_below_them(
    declared_recorder: Recorder, declared_runs: list[Run]
) -> None:
    lines = declared_table(declared_recorder, declared_runs, TYPED_MORE).lines
    assert [line.label for line in lines] == [
        "baseline recipe=paper", "baseline recipe=upstream", PUBLISHED,
        "random recipe=paper", "random (1 more variant)", PUBLISHED,
        "sum", PUBLISHED,
    ]  # fmt: skip


def test_one_variant_in_many_rows_is_not_the_best_of_them(
    declared_recorder: Recorder, declared_runs: list[Run]
) -> None:
    alone = [run for run in declared_runs if run.tags[names.VARIANT] == "faster_rcnn single"]
    paper = declared_table(declared_recorder, alone, "paper")
    assert [row.shown("bbox/AP") for row in paper.rows].count("41.0") == 5
    assert paper.best == {}


def test_markdown_marks_published_lines_and_ends_with_the_command(table2: ablation.Table) -> None:
    text = formats.markdown(table2)
    assert "| sum | 46.0 | 66.0 | 46.0 | 23.0 | 23.0 | - | 1 of 2 | 2 | seed 1 running, epoch 1 |" in text
    assert f"| {PUBLISHED} | 36.8 | 59.0 | 39.5 | 22.0 | 41.0 | 47.2 |  |  |  |" in text
    assert "| concat |  |  |  |  |  |  | 0 of 2 |  | not run |" in text
    assert f"\n\n{table2.rest}\n\n{ablation.NOTE} {ablation.OF_PUBLISHED}\n" in text


def test_csv_keeps_published_lines_apart_by_their_source(table5: ablation.Table) -> None:
    found = list(csv.DictReader(io.StringIO(formats.comma_separated(table5))))
    assert [(line["row"], line["source"]) for line in found[:3]] == [
        ("Faster R-CNN", "measured"),
        ("Faster R-CNN", PUBLISHED),
        ("Faster R-CNN + GRoIE", "measured"),
    ]
    published = {line["row"]: line for line in found if line["source"] == PUBLISHED}
    assert float(published["GC-Net + GRoIE"]["segm/AP"]) == 37.2
    assert published["Faster R-CNN"]["segm/AP"] == ""
    assert {line[column] for line in published.values() for column in ("variant", "n", "seeds", "profile")} == {""}
    not_run = next(line for line in found if line["row"] == "GC-Net")
    assert [not_run[column] for column in ("variant", "bbox/AP", "n", "seeds", "state")] == [
        "GC-Net",
        "",
        "0",
        "2",
        "not run",
    ]
