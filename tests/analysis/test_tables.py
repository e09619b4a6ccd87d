"""The ablation table: its numbers by hand, what has no number, and the two file formats."""

import csv
import io

import pandas as pd
import pytest
from mlflow.entities import Run
from recorded import NEWER, OLDER, Recorder

from analysis import formats, frames, tables, wording
from analysis.metrics import COCO_NAMES
from experiments import names


@pytest.fixture(scope="session")
def older(recorder: Recorder, runs: list[Run]) -> tables.Table:
    return table(recorder, runs, OLDER)


@pytest.fixture(scope="session")
def newer(recorder: Recorder, runs: list[Run]) -> tables.Table:
    return table(recorder, runs, NEWER)


def table(recorder: Recorder, runs: list[Run], sweep: str) -> tables.Table:
    trials = frames.trials_frame(frames.runs_frame(runs, sweep))
    return tables.ablation_table(sweep, trials, frames.metrics_frame(recorder.client, trials, COCO_NAMES))


def small_table(*values: list[float]) -> tables.Table:
    """Returns the table of one-seed variants v0, v1, ... whose last AP is given."""
    trials = pd.DataFrame(
        [
            {"trial_id": f"t{i}", "label": f"v{i}", "status": "FINISHED", "reason": "", "seed": "0"}
            | dict.fromkeys(names.FACTORS, "x")
            for i in range(len(values))
        ]
    )
    rows = [{"trial_id": f"t{i}", "epoch": e, "bbox/AP": v} for i, ap in enumerate(values) for e, v in enumerate(ap, 1)]
    return tables.ablation_table("s", trials, pd.DataFrame(rows).reindex(columns=["trial_id", "epoch", *COCO_NAMES]))


def test_values_are_means_over_the_finished_seeds_at_the_last_epoch(older: tables.Table) -> None:
    rows = {row.label: row for row in older.rows}
    assert rows["single"].values["bbox/AP"] == pytest.approx((0.44 + 0.48 + 0.415) / 3, abs=1e-15)
    assert rows["sum pre=conv5"].values["bbox/AP"] == pytest.approx((0.50 + 0.53) / 2, abs=1e-15)  # not the failed one
    assert rows["sum pre=conv5"].values["bbox/AP50"] == pytest.approx((0.70 + 0.73) / 2, abs=1e-15)
    assert [rows["single"].n, rows["single"].epoch, rows["single"].state] == ["3", "3", ""]
    assert [rows["random"].shown("bbox/AP"), rows["random"].shown("bbox/APs")] == ["30.0", "15.0"]


def test_a_variant_with_some_seeds_finished_says_so(older: tables.Table) -> None:
    row = next(row for row in older.rows if row.label == "sum pre=conv5")
    assert (row.n, row.state) == ("2 of 3", "seed 2 failed: CUDA out of memory")


def test_a_variant_without_results_shows_its_state_and_no_number(older: tables.Table) -> None:
    rows = {row.label: row for row in older.rows}
    assert [rows["sum post=attention"].state, rows["sum post=attention"].n] == ["running, epoch 2", "0 of 1"]
    assert rows["concat"].state == "killed"
    for label in ("sum post=attention", "concat"):
        assert {rows[label].shown(name) for name in COCO_NAMES} == {""}
        assert rows[label].epoch == ""


def test_minus_one_shows_as_a_dash(older: tables.Table) -> None:
    assert next(row for row in older.rows if row.label == "single").shown("bbox/APl") == "-"
    assert "bbox/APl" not in older.best


def test_best_is_per_column_and_among_finished_variants(older: tables.Table) -> None:
    best = [row.label for row in older.rows if older.is_best(row, "bbox/AP")]
    assert best == ["sum pre=conv5"]  # a failed first attempt recorded .9 and a running one .8


def test_values_that_print_alike_are_best_alike_and_a_single_one_is_not() -> None:
    close = small_table([0.41249], [0.41151], [0.30])
    assert [close.is_best(row, "bbox/AP") for row in close.rows] == [True, True, False]
    alone = small_table([0.5])
    assert not alone.is_best(alone.rows[0], "bbox/AP")


def test_the_last_epoch_counts_not_the_best() -> None:
    assert small_table([0.1, 0.6, 0.4]).rows[0].shown("bbox/AP") == "40.0"


def test_a_mean_never_hides_a_seed_without_value() -> None:
    both = small_table([0.4], [float("nan")])
    trials = pd.DataFrame(
        [{"trial_id": f"t{i}", "label": "v", "status": "FINISHED", "reason": "", "seed": str(i)} for i in range(2)]
    ).assign(**dict.fromkeys(names.FACTORS, "x"))
    metrics = pd.DataFrame({"trial_id": ["t0", "t1"], "epoch": [1, 2], "bbox/AP": [0.4, float("nan")]})
    row = tables.ablation_table("s", trials, metrics.reindex(columns=["trial_id", "epoch", *COCO_NAMES])).rows[0]
    assert (row.shown("bbox/AP"), row.epoch, row.n) == ("-", "1-2", "2")
    assert [row.shown("bbox/AP") for row in both.rows] == ["40.0", "-"]


def test_masks_are_a_second_block_only_where_runs_have_them(older: tables.Table, newer: tables.Table) -> None:
    assert list(older.blocks) == ["bbox"]
    assert list(newer.blocks) == ["bbox", "segm"]
    rows = {row.label: row for row in newer.rows}
    assert rows["mask_rcnn sum"].shown("segm/APl") == "25.0"  # .2 + .01 * 5
    assert rows["single"].shown("segm/AP") == "-"
    assert rows["sum"].shown("bbox/AP") == "55.0"


def test_the_caption_says_what_the_numbers_are_about(older: tables.Table, newer: tables.Table) -> None:
    shared = "profile demo, dataset {}, recipe paper, schedule short"
    assert older.caption == f"sweep {OLDER}, {shared.format('shapes')}, 4 seeds"
    assert newer.caption == f"sweep {NEWER}, {shared.format('shapes + coco')}, 1 seed"


def test_states_read_as_sentences() -> None:
    assert wording.state("RUNNING", "", None) == "running, no epoch yet"
    assert wording.state("KILLED", "time limit", 4) == "killed: time limit"
    assert wording.state("FINISHED", "", None) == "finished without metrics"
    assert wording.states({"0": "failed", "1": "", "2": "failed"}) == "seeds 0, 2 failed"


def test_markdown_holds_both_blocks_and_bold_best_values(newer: tables.Table) -> None:
    lines = formats.markdown(newer).splitlines()
    assert lines[0] == f"**{newer.caption}**"
    assert "| box | AP | AP50 | AP75 | APs | APm | APl | n | epoch |" in lines
    assert "| sum | **55.0** | **75.0** | **55.0** | **27.5** | **27.5** | - | 1 | 2 |" in lines
    assert "| mask_rcnn sum | 20.0 | 21.0 | 22.0 | 23.0 | 24.0 | 25.0 | 1 | 2 |" in lines


def test_markdown_names_the_state_where_one_is_to_tell(older: tables.Table) -> None:
    assert "| sum post=attention |  |  |  |  |  |  | 0 of 1 |  | running, epoch 2 |" in formats.markdown(older)


def test_csv_can_be_computed_with(older: tables.Table) -> None:
    rows = {row["variant"]: row for row in csv.DictReader(io.StringIO(formats.comma_separated(older)))}
    assert float(rows["single"]["bbox/AP"]) == pytest.approx(44.5, abs=1e-4)
    assert rows["single"]["bbox/APl"] == ""
    assert (rows["sum pre=conv5"]["n"], rows["sum pre=conv5"]["seeds"]) == ("2", "3")
    assert (rows["concat"]["state"], rows["concat"]["bbox/AP"]) == ("killed", "")
    assert (rows["random"]["sweep"], rows["random"]["profile"]) == (OLDER, "demo")
