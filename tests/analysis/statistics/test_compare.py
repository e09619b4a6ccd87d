"""`python -m analysis compare`: every metric with its interval, and an exit code that a build can act on."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mlflow.entities import Metric

from analysis.__main__ import main
from analysis.read import study
from analysis.statistics import compare, images, means
from analysis.statistics.evidence import DRAWS
from experiments import names
from experiments.commands import Place
from experiments.errors import UserError
from experiments.trial import matches
from tests.support.drawn import detector, plain
from tests.support.recorded import DECLARED, Recorder, box, silent

SHARES = {"good": 0.9, "bad": 0.3, "alike": 0.3}


@pytest.fixture(scope="module")
def rivals(recorder: Recorder) -> Recorder:
    """Three variants with four seeds each, which find that share of all objects; and one with a single seed."""
    own = Recorder(recorder.folder, "rivals")
    path = recorder.folder / "matches.npz"
    for number, (variant, share) in enumerate([*SHARES.items()] * 4):
        run_id = own.run(variant, number // 3, points=box([share], share), sweeps=("mine",))
        matches.save(path, {"bbox": detector(share, number)})
        own.client.log_artifact(run_id, str(path))
    alone = own.run("alone", 0, points=box([0.1], 0.1), sweeps=("mine",))
    matches.save(path, {"bbox": detector(0.1, 99)})
    own.client.log_artifact(alone, str(path))
    own.run("older", 0, points=box([0.1], 0.1), sweeps=("mine",))  # kept no matches
    return own


def compared(rivals: Recorder, *arguments: str) -> int:
    return main(["compare", *arguments, "--tracking-uri", rivals.uri, "--experiment", rivals.experiment])


@pytest.mark.parametrize(
    ("sides", "code", "verdict"),
    [
        (("good", "bad"), 1, "worse"),
        (("bad", "good"), 0, "better"),
        (("bad", "alike"), 0, "no difference found"),
        (("good", "alone"), 0, "one seed"),
    ],
)
def test_a_regression_that_is_found_is_the_exit_code(
    rivals: Recorder, sides: tuple[str, str], code: int, verdict: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compared(rivals, *sides) == code
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("box")]
    assert [line[1] for line in lines] == ["AP", "AP50", "AP75", "APl"]  # there are no small or medium objects
    assert all(" ".join(line).endswith(verdict) for line in lines)


def test_an_unknown_row_lists_those_there_are(rivals: Recorder, capsys: pytest.CaptureFixture[str]) -> None:
    assert compared(rivals, "god", "bad") == 2
    told = "error: no row 'god' in sweep mine; choose from: good, bad, alike, alone, older\n"
    assert capsys.readouterr().err == told


def test_a_row_without_matches_is_told(rivals: Recorder, capsys: pytest.CaptureFixture[str]) -> None:
    assert compared(rivals, "good", "older") == 2
    assert "older-s0 has no matches to compare; train it again with rerun=true" in capsys.readouterr().err


def test_matches_that_can_still_be_made_are_not_trained_for(
    rivals: Recorder, capsys: pytest.CaptureFixture[str]
) -> None:
    late = rivals.run("late", 0, points=box([0.1], 0.1), sweeps=("later",))
    rivals.client.set_tag(late, names.UNMATCHED, "ValueError: x")
    rivals.client.set_tag(late, names.OVERRIDES, "pre=none '+a=b c'")
    assert compared(rivals, "late", "late", "--sweep", "later") == 2
    command = Place(rivals.folder, rivals.uri, rivals.experiment).command("run.py", "pre=none", "+a=b c")
    remedy = f"ValueError: x: `{command}` makes matches.npz, without training"
    assert capsys.readouterr().err == f"error: late-s0 has no matches to compare; {remedy}\n"


def test_two_folders_are_compared_row_by_row(
    rivals: Recorder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    assert main(["paper", "mine", "--tracking-uri", rivals.uri, "--experiment", "rivals", "--out", str(before)]) == 0
    lacking = "error: older-s0 has no matches to compare; train it again with rerun=true\n"
    capsys.readouterr()
    assert main(["compare", str(before), str(before)]) == 2
    assert capsys.readouterr().err == lacking

    found = study.load(before / "data")
    found = replace(found, runs=[run for run in found.runs if "older" not in run.tags[names.TRIAL_ID]])
    study.save(found, before / "data")
    got_bad = {f"good-s{seed}": found.matches[f"bad-s{seed}"] for seed in range(4)}
    study.save(replace(found, matches=found.matches | got_bad), after / "data")
    assert main(["compare", str(before), str(before)]) == 0
    capsys.readouterr()
    assert main(["compare", str(before), str(after)]) == 1
    by_row = capsys.readouterr().out.split("\n\n")
    assert ["worse" in text for text in by_row[:3]] == [True, False, False]

    failed = [
        replace(run, status=names.FAILED) if run.tags[names.TRIAL_ID].startswith("bad") else run for run in found.runs
    ]
    study.save(replace(found, runs=failed, matches=found.matches | got_bad), after / "data")
    assert main(["compare", str(before), str(after)]) == 1
    assert capsys.readouterr().err == f"{after} has no finished trial of: bad\n"
    assert main(["compare", str(after), str(after)]) == 0


METRICS = ("AP", "AP50", "AP75", "APl")


def of(shares: dict[int, float], sd: float = 0.0) -> compare.Side:
    """A row's trials by seed, which find these shares of all objects; alike rows have that noise, if any is given."""
    trials = {str(seed): {"bbox": detector(share, 10 * seed)} for seed, share in shares.items()}
    drawn = images.draw({"row": {seed: one["bbox"] for seed, one in trials.items()}}, np.random.default_rng(0), 0)
    noises = {}
    for metric in METRICS:
        own = means.row_noises([plain(drawn, metric)])["row"]
        noises[f"bbox/{metric}"] = replace(own, used=means.Noise(sd**2, 40)) if sd else own
    return compare.Side(trials, noises)


def test_two_seeds_are_told_apart_by_the_noise_of_rows_that_are_alike() -> None:
    """Two seeds of one pair tell almost nothing, and find nothing by another's noise alone."""
    good, less = {0: 0.95, 1: 0.75}, {0: 0.6, 1: 0.4}
    (alone, *_) = compare.compare({"one": (of(good), of(less))}, silent)
    (lent, *_) = compare.compare({"one": (of(good, 0.02), of(less, 0.02))}, silent)
    assert alone.difference.estimate == lent.difference.estimate
    assert lent.difference.high - lent.difference.low < alone.difference.high - alone.difference.low
    assert (alone.verdict, lent.verdict) == ("no difference found", "no difference found")
    assert lent.p == pytest.approx(alone.alone)


def test_p_of_ap_is_not_paid_for_by_other_metrics() -> None:
    sides = (of({0: 0.8, 1: 0.7, 2: 0.75}), of({0: 0.7, 1: 0.65, 2: 0.6}))
    average, *others = compare.compare({"one": sides}, silent)
    drawn = images.draw(
        {"before": sides[0].of_kind("bbox"), "after": sides[1].of_kind("bbox")}, np.random.default_rng(0), DRAWS
    )

    def raw(metric: str) -> float:
        after, before = (side.noises[f"bbox/{metric}"] for side in reversed(sides))
        return drawn.difference("after", "before", metric, means.of_difference(after, before)).p

    assert average.metric.name == "bbox/AP"
    assert average.p == pytest.approx(max(raw("AP"), average.alone))
    least = min((one for one in others if one.p == one.p), key=lambda one: one.p)
    expected = min(1, 3 * min(raw(metric) for metric in METRICS[1:]))  # AP50, AP75, APl
    assert least.p == pytest.approx(max(expected, least.alone))


def test_seeds_of_both_sides_may_differ() -> None:
    (found, *_) = compare.compare({"sum": (of({0: 0.8, 1: 0.7}), of({2: 0.8, 3: 0.75}))}, silent)
    assert found.difference.low < found.difference.estimate < found.difference.high
    empty = compare.Side({}, {})
    with pytest.raises(UserError, match="sum has no finished trial on both sides; nothing to compare"):
        compare.compare({"sum": (of({0: 0.8}), empty)}, silent)


def test_ours_beside_the_published_only_on_their_data(
    declared_recorder: Recorder, capsys: pytest.CaptureFixture[str]
) -> None:
    store = ["--tracking-uri", declared_recorder.uri, "--experiment", DECLARED, "--sweep", "table1"]
    assert main(["compare", "baseline", "published", *store]) == 2
    assert "'baseline' ran on demo, shapes; the published numbers are COCO's" in capsys.readouterr().err
    assert main(["compare", "nothing", "published", *store]) == 2
    assert "no numbers are published for 'nothing' of sweep table1" in capsys.readouterr().err

    own = Recorder(declared_recorder.folder, "coco")
    for seed, ap in enumerate((0.364, 0.366, 0.365)):  # published: 36.5 58.4 39.1 21.9 40.4 46.8
        points = dict(zip(box([ap]), ([ap], [0.50 + seed / 1000], [0.391], [0.219], [0.404], [0.468]), strict=True))
        settings = {"profile": "coco", "dataset": "coco", "rows": {"table1": ["baseline"]}}
        run_id = own.run("single", seed, points=points, sweeps=(), **settings)  # type: ignore[arg-type]
        own.client.log_batch(run_id, metrics=[Metric(names.WALL_SECONDS, 1.0, 1, 1)])
    store = ["--tracking-uri", own.uri, "--experiment", "coco", "--sweep", "table1"]
    capsys.readouterr()
    assert main(["compare", "baseline", "published", *store]) == 1
    lines = {line.split()[1]: line for line in capsys.readouterr().out.splitlines() if line.startswith("box")}
    assert lines["AP"].rstrip().endswith("no difference found")
    assert lines["AP50"].rstrip().endswith("worse")
