"""The ablation table: its numbers by hand, what has no number, and the two file formats."""

import csv
import io

import pandas as pd
import pytest

from analysis.read import captions, frames, rows
from analysis.read.metrics import COCO_NAMES
from analysis.read.runs import Run
from analysis.read.study import Part
from analysis.tables import ablation, formats
from experiments.factors import FACTORS
from tests.support.recorded import NEWER, OLDER, Recorder, metrics_of


@pytest.fixture(scope="session")
def older(recorder: Recorder, runs: list[Run]) -> ablation.Table:
    return table(recorder, runs, OLDER)


@pytest.fixture(scope="session")
def newer(recorder: Recorder, runs: list[Run]) -> ablation.Table:
    return table(recorder, runs, NEWER)


def table(recorder: Recorder, runs: list[Run], sweep: str) -> ablation.Table:
    trials = frames.trials_frame(frames.runs_frame(runs, sweep))
    part = Part(sweep, None, rows.rows_frame(sweep, trials, None))
    return ablation.ablation_table(part, metrics_of(recorder, trials))


def typed(trials: pd.DataFrame) -> Part:
    """Returns the table of finished trials of a typed sweep that have these ids, labels and seeds."""
    named = trials.assign(variant=trials["label"], variant_id=trials["label"], rows=None)
    known = named.assign(status="FINISHED", reason="", commit="c0", code="", started=0)
    return Part("s", None, rows.rows_frame("s", known.assign(**dict.fromkeys(FACTORS, "x")), None))


def small_table(*values: list[float]) -> ablation.Table:
    """Returns the table of one-seed variants v0, v1, ... whose last AP is given."""
    part = typed(pd.DataFrame([{"trial_id": f"t{i}", "label": f"v{i}", "seed": "0"} for i in range(len(values))]))
    points = [
        {"trial_id": f"t{i}", "epoch": e, "bbox/AP": v} for i, ap in enumerate(values) for e, v in enumerate(ap, 1)
    ]
    return ablation.ablation_table(part, pd.DataFrame(points).reindex(columns=["trial_id", "epoch", *COCO_NAMES]))


def test_values_are_means_over_the_finished_seeds_at_the_last_epoch(older: ablation.Table) -> None:
    by_label = {row.label: row for row in older.rows}
    assert by_label["single"].values["bbox/AP"] == pytest.approx((0.44 + 0.48 + 0.415) / 3, abs=1e-15)
    assert by_label["sum pre=conv5"].values["bbox/AP"] == pytest.approx(
        (0.50 + 0.53) / 2, abs=1e-15
    )  # not the failed one
    assert by_label["sum pre=conv5"].values["bbox/AP50"] == pytest.approx((0.70 + 0.73) / 2, abs=1e-15)
    assert [by_label["single"].n, by_label["single"].epoch, by_label["single"].state] == ["3", "3", ""]
    assert [by_label["random"].shown("bbox/AP"), by_label["random"].shown("bbox/APs")] == ["30.0", "15.0"]


def test_a_variant_without_results_shows_its_state_and_no_number(older: ablation.Table) -> None:
    by_label = {row.label: row for row in older.rows}
    assert [by_label["sum post=attention"].state, by_label["sum post=attention"].n] == ["running, epoch 2", "0 of 1"]
    assert by_label["concat"].state == "killed"
    for label in ("sum post=attention", "concat"):
        assert {by_label[label].shown(name) for name in COCO_NAMES} == {""}
        assert by_label[label].epoch == ""


def test_minus_one_shows_as_a_dash(older: ablation.Table) -> None:
    assert next(row for row in older.rows if row.label == "single").shown("bbox/APl") == "-"
    assert "bbox/APl" not in older.best


def test_one_seed_is_told_from_several_by_the_noise_of_theirs(older: ablation.Table) -> None:
    """The one with two seeds is not told from that with three, 6 AP below; the single one is, 20 AP below."""
    assert {row.label: row.finished for row in older.rows if row.finished} == {
        "random": 1,
        "single": 3,
        "sum pre=conv5": 2,
    }
    assert older.best["bbox/AP"] == {"single", "sum_pre=conv5"}


def test_values_that_print_alike_are_best_alike_and_a_single_one_is_not() -> None:
    close = small_table([0.41249], [0.41151], [0.30])
    assert [close.is_best(row, "bbox/AP") for row in close.rows] == [True, True, False]
    alone = small_table([0.5])
    assert not alone.is_best(alone.rows[0], "bbox/AP")


@pytest.mark.parametrize(
    ("others", "bold"),
    [
        ([0.40, 0.41, 0.42], [True, False]),  # one less than the best in each of three seeds
        ([0.52, 0.41, 0.30], [True, True]),  # as much less in the mean, but not in each seed
    ],
)
def test_what_the_seeds_cannot_tell_from_the_best_is_bold_too(others: list[float], bold: list[bool]) -> None:
    values = {"best": [0.43, 0.44, 0.45], "other": others, "far": [0.1, 0.11, 0.12]}
    trials = [(f"{variant}{seed}", variant, str(seed)) for variant in values for seed in range(3)]
    part = typed(pd.DataFrame(trials, columns=["trial_id", "label", "seed"]))
    numbers = [value for of_variant in values.values() for value in of_variant]
    metrics = pd.DataFrame({"trial_id": [trial for trial, *_ in trials], "epoch": 1, "bbox/AP": numbers})
    table = ablation.ablation_table(part, metrics.reindex(columns=["trial_id", "epoch", *COCO_NAMES]))
    assert [table.is_best(row, "bbox/AP") for row in table.rows] == [*bold, False]


def test_nothing_is_bold_where_the_seeds_tell_nothing_apart() -> None:
    assert small_table([0.41], [0.41], [0.41]).best == {}


def test_the_last_epoch_counts_not_the_best() -> None:
    assert small_table([0.1, 0.6, 0.4]).rows[0].shown("bbox/AP") == "40.0"


def test_a_mean_never_hides_a_seed_without_value() -> None:
    both = small_table([0.4], [float("nan")])
    part = typed(pd.DataFrame([{"trial_id": f"t{i}", "label": "v", "seed": str(i)} for i in range(2)]))
    metrics = pd.DataFrame({"trial_id": ["t0", "t1"], "epoch": [1, 2], "bbox/AP": [0.4, float("nan")]})
    row = ablation.ablation_table(part, metrics.reindex(columns=["trial_id", "epoch", *COCO_NAMES])).rows[0]
    assert (row.shown("bbox/AP"), row.epoch, row.n) == ("-", "1-2", "2")
    assert [row.shown("bbox/AP") for row in both.rows] == ["40.0", "N/A"]


def test_masks_are_a_second_block_only_where_runs_have_them(older: ablation.Table, newer: ablation.Table) -> None:
    assert list(older.blocks) == ["bbox"]
    assert list(newer.blocks) == ["bbox", "segm"]
    by_label = {row.label: row for row in newer.rows}
    assert by_label["mask_rcnn sum"].shown("segm/APl") == "25.0"  # .2 + .01 * 5
    assert by_label["single"].shown("segm/AP") == "N/A"
    assert by_label["sum"].shown("bbox/AP") == "55.0"


def test_the_caption_says_what_the_numbers_are_about(older: ablation.Table, newer: ablation.Table) -> None:
    shared = "profile demo, dataset {}, recipe paper, schedule short"
    assert older.caption == f"sweep {OLDER}, {shared.format('shapes')}, 4 seeds"
    assert newer.caption == f"sweep {NEWER}, {shared.format('shapes + coco')}, 1 seed"


def test_states_read_as_sentences() -> None:
    assert captions.state("RUNNING", "", None) == "running, no epoch yet"
    assert captions.state("KILLED", "time limit", 4) == "killed: time limit"
    assert captions.state("FINISHED", "", None) == "finished without metrics"
    assert captions.states({"0": "failed", "1": "", "2": "failed"}) == "seeds 0, 2 failed"


def test_markdown_holds_both_blocks_and_bold_best_values(newer: ablation.Table) -> None:
    lines = formats.markdown(newer).splitlines()
    assert lines[0] == f"**{newer.caption}**"
    assert "| box | AP | AP50 | AP75 | APs | APm | APl | n | epoch |" in lines
    assert "| sum | **55.0** | **75.0** | **55.0** | **27.5** | **27.5** | - | 1 | 2 |" in lines
    assert "| mask_rcnn sum | 20.0 | 21.0 | 22.0 | 23.0 | 24.0 | 25.0 | 1 | 2 |" in lines


def test_csv_can_be_computed_with(older: ablation.Table) -> None:
    by_label = {row["variant"]: row for row in csv.DictReader(io.StringIO(formats.comma_separated(older)))}
    assert float(by_label["single"]["bbox/AP"]) == pytest.approx(44.5, abs=1e-4)
    assert by_label["single"]["bbox/APl"] == ""
    assert (by_label["sum pre=conv5"]["n"], by_label["sum pre=conv5"]["seeds"]) == ("2", "3")
    assert (by_label["concat"]["state"], by_label["concat"]["bbox/AP"]) == ("killed", "")
    assert (by_label["random"]["sweep"], by_label["random"]["profile"]) == (OLDER, "demo")


def test_a_published_number_that_equals_our_best_is_not_best() -> None:
    ours = small_table([0.46], [0.3])
    published = ablation.Published("v0", {"bbox/AP": 46.0})
    assert published.shown("bbox/AP") == ours.rows[0].shown("bbox/AP")
    assert ours.is_best(ours.rows[0], "bbox/AP")
    assert not ours.is_best(published, "bbox/AP")


def test_a_typed_sweep_has_no_published_numbers(older: ablation.Table) -> None:
    assert ablation.with_published(older, None) == older
    assert older.rest == ""
