"""Differences from the baseline that a row declares, over its seeds, and no claim where the seeds cannot make one."""

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import scipy.stats
from recorded import DECLARED, NEWER, Recorder

from analysis import evidence, study
from analysis.stats import Interval
from analysis.study import Study
from experiments import matches, names
from experiments.matches import Matches

IMAGES = 40


@contextmanager
def silent(_: str, __: int) -> Iterator[Callable[[], None]]:
    yield lambda: None


def detector(found: float, seed: int) -> Matches:
    """An object an image, of which this share is found, each by one detection."""
    hit = np.random.default_rng(seed).random(IMAGES) < found
    whole = np.where(hit, np.uint16(2**matches.THRESHOLDS - 1), np.uint16(0))
    nothing = np.zeros(IMAGES, np.uint16)
    return Matches(
        image_ids=np.arange(IMAGES),
        class_ids=np.array([1]),
        image=np.arange(IMAGES, dtype=np.int32),
        category=np.zeros(IMAGES, np.int16),
        score=np.where(hit, 0.9, 0.1),
        matched=np.stack([whole, nothing, nothing, whole], axis=1),
        ignored=np.zeros((IMAGES, 4), np.uint16),
        object_image=np.arange(IMAGES, dtype=np.int32),
        object_category=np.zeros(IMAGES, np.int16),
        objects=np.tile(np.array([[1, 0, 0, 1]], np.int32), (IMAGES, 1)),
    )


@pytest.fixture(scope="module")
def of_paper(declared_recorder: Recorder) -> Study:
    return study.read(declared_recorder.client, DECLARED, declared_recorder.uri, "paper", silent)


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
    found = evidence.evidence(with_matches(of_paper, SHARE), of_paper.parts[0], "bbox", silent)
    assert found is not None
    baseline, summed = found.lines
    assert (baseline.label, baseline.difference, baseline.baseline) == ("baseline", None, "")
    assert (summed.label, summed.baseline) == ("sum", "baseline")
    assert summed.difference is not None
    assert summed.difference.low > 0.2
    assert summed.better > 0.999
    assert summed.significant is None
    assert evidence.OF_ONE in found.note
    assert found.seeds == 1  # in common, though the baseline has two
    assert found.detectable is None  # no row has two pairs


def test_without_detections_intervals_are_over_seeds_alone(of_paper: Study) -> None:
    found = evidence.evidence(of_paper, of_paper.parts[0], "bbox", silent)
    assert found is not None
    baseline, summed = found.lines
    half = 12.7062047361747 * abs(0.42 - 0.40) / 2  # Student's t with one degree of freedom, from a printed table
    assert baseline.value.estimate == pytest.approx(0.41, abs=1e-12)
    assert (baseline.value.low, baseline.value.high) == pytest.approx((0.41 - half, 0.41 + half), abs=1e-9)
    assert summed.difference is not None
    assert summed.difference.estimate == pytest.approx(0.46 - 0.40, abs=1e-12)  # seed 0, which both have
    assert summed.significant is None
    three = "faster_rcnn_single-s0, faster_rcnn_single-s1, faster_rcnn_sum-s0"
    lacking = f"3 lack them ({three}); of the first: do it again with rerun=true."
    assert found.note == f"{evidence.OF_SEEDS} {lacking}"


def test_each_row_stands_beside_its_own_baseline(of_paper: Study) -> None:
    table5 = evidence.evidence(with_matches(of_paper, SHARE), of_paper.parts[4], "bbox", silent)
    assert table5 is not None
    assert [(line.label, line.baseline) for line in table5.lines] == [("Faster R-CNN", ""), ("Mask R-CNN", "")]
    table4 = evidence.evidence(with_matches(of_paper, SHARE), of_paper.parts[3], "bbox", silent)
    assert table4 is not None
    assert [(line.label, line.baseline) for line in table4.lines] == [("baseline", ""), ("conv 1x1", "baseline")]
    assert evidence.evidence(of_paper, of_paper.parts[4], "segm", silent).lines[0].label == "Mask R-CNN"  # type: ignore[union-attr]


def test_two_seeds_find_a_large_difference_and_not_a_small_one(recorder: Recorder) -> None:
    own = Recorder(recorder.folder, "two seeds")
    for seed in range(4):
        for variant, ap in (("single", 0.3), ("sum", 0.9), ("concat", 0.31)):
            own.run(variant, seed, points={"bbox/AP": [ap + seed / 100]}, sweeps=("mine",))
    found = study.read(own.client, "two seeds", own.uri, "mine", silent)
    shares = {"single": 0.3, "sum": 0.9, "concat": 0.3}
    told = evidence.evidence(with_matches(found, shares), found.parts[0], "bbox", silent)
    assert told is not None
    assert {line.label: line.significant for line in told.lines} == {"single": None, "sum": True, "concat": False}
    assert {line.baseline for line in told.lines[1:]} == {"single"}  # the first of a typed sweep
    assert told.detectable is not None
    again = evidence.evidence(with_matches(found, shares), found.parts[0], "bbox", silent)
    assert again == told  # the draws are the same


def typed(recorder: Recorder, name: str, values: dict[str, dict[int, float]]) -> Study:
    """A study of a typed sweep with these box APs, by variant and seed."""
    own = Recorder(recorder.folder, name)
    for variant, of_seed in values.items():
        for seed, ap in of_seed.items():
            own.run(variant, seed, points={"bbox/AP": [ap]}, sweeps=("mine",))
    return study.read(own.client, name, own.uri, "mine", silent)


APS = {"single": {0: 0.30, 1: 0.33, 2: 0.31}, "sum": {0: 0.36, 1: 0.37, 2: 0.38}}


def test_a_row_that_equals_its_baseline_is_not_tested_and_tells_nothing_of_noise(recorder: Recorder) -> None:
    """What sets it apart did nothing: it takes no part in the correction, and is no second sample of the noise."""
    plain, copied = typed(recorder, "plain", APS), typed(recorder, "copied", APS | {"clipped": APS["single"]})
    alone, beside = (evidence.evidence(one, one.parts[0], "bbox", silent) for one in (plain, copied))
    assert alone is not None
    assert beside is not None
    assert beside.lines[:2] == tuple(  # but for their variants' ids
        dataclasses.replace(line, variant_id=other.variant_id)
        for line, other in zip(alone.lines, beside.lines, strict=False)
    )
    assert beside.cells[2][5:8] == ("[-3.8, +3.8]", "same", "")
    assert beside.note.endswith(evidence.OF_TWINS)
    assert evidence.OF_TWINS not in alone.note


def test_seeds_that_the_baseline_lacks_are_told(recorder: Recorder) -> None:
    values = APS | {"single": {0: 0.30, 1: 0.33}}
    found = typed(recorder, "fewer", values)
    told = evidence.evidence(found, found.parts[0], "bbox", silent)
    assert told is not None
    assert [cells[-1] for cells in told.cells] == ["2", "3 (2)"]
    assert told.cells[1][4] == "+5.0"  # over seeds 0 and 1
    assert told.note.endswith(evidence.OF_DROPPED)
    assert told.seeds == 2


def test_without_detections_p_is_students(recorder: Recorder) -> None:
    found = typed(recorder, "students", APS)
    told = evidence.evidence(found, found.parts[0], "bbox", silent)
    assert told is not None
    expected = scipy.stats.ttest_rel(list(APS["sum"].values()), list(APS["single"].values())).pvalue
    assert told.lines[1].p == pytest.approx(expected)


def test_a_row_may_be_the_baseline_of_the_next(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    found = typed(recorder, "chain", APS | {"concat": {0: 0.40, 1: 0.41, 2: 0.43}})
    shares = {"single": 0.3, "sum": 0.5, "concat": 0.9}
    of_label = {line.label: line.variant_id for line in found.parts[0].lines.itertuples()}
    chain = {of_label["sum"]: of_label["single"], of_label["concat"]: of_label["sum"]}
    monkeypatch.setattr(evidence, "_baselines", lambda part: chain)
    told = evidence.evidence(with_matches(found, shares), found.parts[0], "bbox", silent)
    assert told is not None
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
    found = study.read(own.client, "nothing finished", own.uri, "mine", silent)
    assert evidence.evidence(found, found.parts[0], "bbox", silent) is None
    assert evidence.evidence(found, found.parts[0], "segm", silent) is None
    assert NEWER not in [part.sweep for part in found.parts]


def test_numbers_as_people_read_them() -> None:
    assert evidence.difference(Interval(0.0123, 0.004, 0.02, 3)) == "+1.2 [+0.4, +2.0]"
    assert evidence.difference(Interval(-0.01, np.nan, np.nan, 1)) == "-1.0"
    assert evidence.difference(None) == ""
