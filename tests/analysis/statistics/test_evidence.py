"""Differences from the baseline that a row declares, over its seeds, and no claim where the seeds cannot make one."""

import dataclasses

import numpy as np
import pytest

from analysis.read import baselines, declarations
from analysis.read.study import Study
from analysis.statistics import caveats, evidence, numbers
from analysis.statistics.means import Interval
from analysis.statistics.row_evidence import NONE_THAT_MATTERS
from experiments import names
from tests.support.drawn import detector, sure, typed
from tests.support.recorded import NEWER, Recorder, read, silent


@pytest.fixture(scope="module")
def of_paper(declared_recorder: Recorder) -> Study:
    return read(declared_recorder, "paper")


def with_matches(found: Study, share: dict[str, float]) -> Study:
    """Returns the study as if each finished trial of a variant had found this share of all objects."""
    decided = {
        run.tags[names.TRIAL_ID]: {"bbox": detector(share[run.tags[names.VARIANT]], place)}
        for place, run in enumerate(found.runs)
        if run.status == names.FINISHED and run.tags[names.VARIANT] in share
    }
    return Study(found.sweep, found.runs, found.histories, decided, [])


SHARE = {"faster_rcnn single": 0.3, "faster_rcnn sum": 0.9, "faster_rcnn sum post=conv1": 0.3, "mask_rcnn single": 0.5}


def test_one_seed_finds_no_difference_however_large(of_paper: Study) -> None:
    found = sure(with_matches(of_paper, SHARE))
    baseline, summed = found.lines
    assert (baseline.label, baseline.difference, baseline.baseline) == ("baseline", None, "")
    assert (summed.label, summed.baseline) == ("sum", "baseline")
    assert summed.difference is not None
    assert summed.difference.low > 0.2
    assert summed.better > 0.98  # from the noise of other rows
    assert found.cells[1][7:9] == ("", "99 %")
    assert summed.significant is None
    assert caveats.OF_ONE in found.note
    assert found.detectable is None  # no row but the baseline has two seeds


def test_without_detections_intervals_are_over_seeds_alone(of_paper: Study) -> None:
    found = sure(Study(of_paper.sweep, of_paper.runs, of_paper.histories, {}, []))
    baseline, summed = found.lines
    half = 12.7062047361747 * abs(0.42 - 0.40) / 2  # Student's t with one degree of freedom, from a printed table
    assert baseline.value.estimate == pytest.approx(0.41, abs=1e-12)
    assert (baseline.value.low, baseline.value.high) == pytest.approx((0.41 - half, 0.41 + half), abs=1e-9)
    assert summed.difference is not None
    assert summed.difference.estimate == pytest.approx(0.46 - 0.41, abs=1e-12)  # of all seeds of both
    assert summed.significant is None
    three = "faster_rcnn_single-s0, faster_rcnn_single-s1, faster_rcnn_sum-s0"
    lacking = f"3 have none ({three}); of the first: train it again with rerun=true."
    assert found.note == f"{caveats.OF_SEEDS}{lacking} {caveats.OF_NOISE} {caveats.OF_ONE}"


def test_each_row_stands_beside_its_own_baseline(of_paper: Study) -> None:
    table5 = sure(with_matches(of_paper, SHARE), of_paper.parts[4])
    assert [(line.label, line.baseline) for line in table5.lines] == [("Faster R-CNN", ""), ("Mask R-CNN", "")]
    table4 = sure(with_matches(of_paper, SHARE), of_paper.parts[3])
    assert [(line.label, line.baseline) for line in table4.lines] == [("baseline", ""), ("conv 1x1", "baseline")]
    assert sure(of_paper, of_paper.parts[4], "segm").lines[0].label == "Mask R-CNN"


def test_two_seeds_find_a_large_difference_and_not_a_small_one(recorder: Recorder) -> None:
    own = Recorder(recorder.folder, "two seeds")
    for seed in range(4):
        for variant, ap in (("single", 0.3), ("sum", 0.9), ("concat", 0.31)):
            own.run(variant, seed, points={"bbox/AP": [ap + seed / 100]}, sweeps=("mine",))
    found = read(own, "mine")
    shares = {"single": 0.3, "sum": 0.9, "concat": 0.3}
    told = sure(with_matches(found, shares))
    assert {line.label: line.significant for line in told.lines} == {"single": None, "sum": True, "concat": False}
    assert {line.baseline for line in told.lines[1:]} == {"single"}  # the first of a typed sweep
    assert told.detectable is not None
    again = sure(with_matches(found, shares))
    assert again == told  # the draws are the same


APS = {"single": {"0": 0.30, "1": 0.33, "2": 0.31}, "sum": {"0": 0.36, "1": 0.37, "2": 0.38}}


def test_a_row_that_equals_its_baseline_is_not_tested_and_tells_nothing_of_noise() -> None:
    """What sets it apart did nothing: it takes no part in the correction, and is no second sample of the noise."""
    plain, copied = typed(APS), typed(APS | {"clipped": APS["single"]})
    alone, beside = (sure(one) for one in (plain, copied))
    assert beside.lines[:2] == alone.lines
    assert beside.cells[2][6:10] == ("[-5.4, +5.4]", "same", "", "")
    assert beside.note.endswith(caveats.OF_TWINS)
    assert caveats.OF_TWINS not in alone.note


def test_seeds_that_only_one_side_has_count_too() -> None:
    values = {"single": {"0": 0.30, "1": 0.33}, "sum": {"1": 0.36, "2": 0.37, "3": 0.38}}
    for found in (typed(values), typed(values | {"sum": {"7": 0.36, "8": 0.37, "9": 0.38}})):  # none in common
        told = sure(found)
        assert [cells[-1] for cells in told.cells] == ["2", "3"]
        assert told.cells[1][5] == "+5.5"
        assert told.lines[1].significant is not None
        assert caveats.OF_TWO in told.note


def test_one_seed_tells_no_more_than_three() -> None:
    """The same variant, seed against seed, beside a row with three: its noise is the other's, its interval wider."""
    rows = {"single": {"0": 0.30, "1": 0.33, "2": 0.31}}
    one, three = (sure(typed(rows | {"sum": of})) for of in ({"0": 0.36}, APS["sum"]))
    widths = [told.lines[1].difference.high - told.lines[1].difference.low for told in (one, three)]  # type: ignore[union-attr]
    assert widths[0] > widths[1]
    assert np.isnan(one.lines[1].p)
    alone = typed({"single": {"0": 0.30}, "sum": {"0": 0.36}})
    nothing = sure(alone)
    assert nothing.cells[1][5:10] == ("+6.0", "", "", "", "")
    assert caveats.OF_NONE in nothing.note


def test_single_seeds_on_drawn_images_have_no_interval_of_training(of_paper: Study) -> None:
    """Where no row that is alike has two seeds; that of a row's own AP is the images'."""
    single = dataclasses.replace(of_paper, runs=[run for run in of_paper.runs if run.params[names.SEED] == "0"])
    found = sure(with_matches(single, SHARE))
    assert found.lines[1].value.low < found.lines[1].value.high
    assert found.cells[1][6:10] == ("", "", "", "")
    assert caveats.OF_NONE in found.note


def test_noise_is_that_of_the_whole_study_where_rows_are_alike() -> None:
    noisy = {"0": 0.2, "1": 0.6, "2": 0.4}
    for setting, same in (({}, True), ({"architecture": "htc"}, False), ({"recipe": "upstream"}, True)):
        found = typed(APS | {"other": noisy}, {"other": setting})
        (part,) = found.parts
        part = dataclasses.replace(part, lines=part.lines.loc[part.lines["variant_id"] != "other"])
        told = sure(found, part)
        assert (told.lines[0].noise.used.freedom == 6) == same
        assert told.cells[0][3] == "1.5"  # sd, of its own seeds whatever the others show
        sentence = "Rows differ in noise: other has an sd of 20.0 AP, the other rows together have 1.3 (Cochran's C, p "
        assert (sentence in told.note) == same


def test_rows_not_significantly_different_from_the_leading_row() -> None:
    values = {"concat": {"0": 0.37, "1": 0.36, "2": 0.36}, "poor": {"0": 0.10, "1": 0.11, "2": 0.12}}
    found = typed(APS | {"like": {"0": 0.31, "1": 0.32, "2": 0.30}} | values)
    told = sure(found)
    assert told.leading is not None
    assert (told.leading.label, told.like_leading) == ("poor", ())
    found = typed(APS | {"like": {"0": 0.31, "1": 0.32, "2": 0.30}, "concat": values["concat"]})
    told = sure(found)
    assert told.leading is not None
    assert (told.leading.label, told.like_leading) == ("sum", ("concat",))


def test_p_over_all_tables_counts_each_comparison_once() -> None:
    found = typed(APS | {"concat": {"0": 0.32, "1": 0.33, "2": 0.34}})
    told = sure(found)
    assert list(evidence.over_all([told, told]).values()) == [line.p for line in told.lines[1:]]
    other = dataclasses.replace(told, metric=evidence.METRICS["segm/AP"])
    whole = evidence.over_all([told, other])
    raw = sorted(line.raw for line in told.lines[1:])
    assert len(whole) == 4
    assert min(whole.values()) == pytest.approx(max(min(1, 4 * raw[0]), told.lines[1].alone))


def test_difference_within_what_matters(monkeypatch: pytest.MonkeyPatch) -> None:
    near = {"single": APS["single"], "sum": {"0": 0.301, "1": 0.331, "2": 0.311}}
    found = typed(near)
    (part,) = found.parts
    declared_ = dataclasses.replace(declarations.of_sweep("core"), rows=(), matters=0.5)  # type: ignore[type-var]
    monkeypatch.setattr(baselines, "of", lambda part: {"sum": "single"})
    for matters, verdict in ((0.5, ".940"), (4.0, f".940, {NONE_THAT_MATTERS}")):
        with_it = dataclasses.replace(part, declaration=dataclasses.replace(declared_, matters=matters))
        told = sure(found, with_it)
        assert told.cells[1][7] == verdict
        assert f"No difference that matters: the interval lies within {matters:g} AP of 0." in told.note


def test_a_row_may_be_the_baseline_of_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    found = typed(APS | {"concat": {"0": 0.40, "1": 0.41, "2": 0.43}})
    monkeypatch.setattr(baselines, "of", lambda part: {"sum": "single", "concat": "sum"})
    told = sure(with_matches(found, {"single": 0.3, "sum": 0.5, "concat": 0.9}))
    assert [(line.label, line.baseline) for line in told.lines] == [
        ("single", ""),
        ("sum", "single"),
        ("concat", "sum"),
    ]
    estimates = [line.value.estimate for line in told.lines]
    assert told.lines[2].difference is not None
    assert told.lines[2].difference.estimate == pytest.approx(estimates[2] - estimates[1])


def test_nothing_finished_is_no_evidence(recorder: Recorder) -> None:
    own = Recorder(recorder.folder, "nothing finished")
    own.run("single", 0, "FAILED", sweeps=("mine",))
    found = read(own, "mine")
    assert evidence.evidence(found, found.parts[0], "bbox", silent) is None
    assert evidence.evidence(found, found.parts[0], "segm", silent) is None
    assert NEWER not in [part.sweep for part in found.parts]


def test_numbers_as_people_read_them() -> None:
    assert numbers.difference(Interval(0.0123, 0.004, 0.02, 3)) == "+1.2 [+0.4, +2.0]"
    assert numbers.difference(Interval(-0.01, np.nan, np.nan, 1)) == "-1.0"
    chances = [numbers.chance(one) for one in (0.5, 0.99, 0.9901, 1.0, 0.0099, 0.0, np.nan)]
    assert chances == ["50 %", "99 %", "> 99 %", "> 99 %", "< 1 %", "< 1 %", ""]
    assert [numbers.p_value(one) for one in (0.04, 0.0004, 1.0, np.nan)] == [".040", "< .001", "1.000", ""]
    assert [numbers.equals(one) for one in (0.04, 0.0004)] == ["= .040", "< .001"]
