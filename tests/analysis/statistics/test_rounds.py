"""Seeds that came in rounds: what tables say of them, and which comparisons are decided."""

from dataclasses import replace

import numpy as np
import pytest

from analysis.read.study import Study
from analysis.statistics import rounds
from analysis.statistics.decisions import DIFFERENT, EQUIVALENT, MOST, decide, limited_by_images
from analysis.statistics.means import Noise
from analysis.statistics.row_evidence import RowEvidence
from analysis.statistics.spread import Spread
from experiments.seeds import OPEN, Recorded, Rules
from tests.support.drawn import sure, typed
from tests.support.recorded import silent
from tests.support.simulated import studies, until_decided

RULES = Recorded.of(Rules(), "2026-11-01T12:00:00+00:00")
FAR, NEAR = [0.40, 0.401, 0.402, 0.399, 0.4], [0.30, 0.302, 0.301, 0.3, 0.299]


def of_rows(rows: dict[str, list[float]], rules: Recorded | None = RULES) -> Study:
    return typed({row: {str(seed): ap for seed, ap in enumerate(own)} for row, own in rows.items()}, rules=rules)


def decided(rows: dict[str, list[float]], rules: Recorded = RULES) -> list[tuple[str, str, int]]:
    found = decide(of_rows(rows, rules), rules.rules, silent)
    return [(one.row, one.state, one.seeds) for one in found]


@pytest.mark.parametrize("most", [5, 10])
def test_tables_of_rounds_agree_with_the_simulation(most: int) -> None:
    """Of studies that stopped by their rules: p and the last interval of each row."""
    values = 0.4 + studies(np.random.default_rng(most), 6, 5, most, {1: 3.0, 2: 0.3}) / 100
    rules = Recorded.of(Rules(most=most), RULES.made)
    expected = until_decided(values, most, 0.02)
    values[:, 1:] += 0.02
    assert len(set(expected.seeds.flat)) > 2
    for number, study in enumerate(values):
        rows = {f"row {row}": list(own[: expected.seeds[number, row]]) for row, own in enumerate(study)}
        _, *lines = sure(of_rows(rows, rules)).lines
        differences = [line.difference for line in lines if line.difference]
        assert [line.p for line in lines] == pytest.approx(expected.p[number], rel=1e-6)
        assert [one.high - one.estimate for one in differences] == pytest.approx(expected.half_width[number])
        assert [line.significant for line in lines] == list(expected.found[number])
        states = decided(rows, rules)
        assert [state == DIFFERENT for _, state, _ in states] == list(expected.found[number])
        assert all(state in (DIFFERENT, MOST) for _, state, _ in states)


def test_states() -> None:
    rows = {"baseline": NEAR[:3], "far": FAR[:3], "same": NEAR[:3], "near": [0.301, 0.3, 0.3], "begun": [0.3]}
    assert decided(rows) == [("far", DIFFERENT, 3), ("same", EQUIVALENT, 3), ("near", OPEN, 3), ("begun", OPEN, 0)]
    rules = Recorded.of(Rules(most=3), RULES.made)
    assert decided(rows, rules)[2] == ("near", MOST, 3)


def test_difference_that_does_not_matter_is_decided(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = {"baseline": NEAR, "near": [0.3005, 0.3025, 0.3, 0.301, 0.2995]}
    (line,) = [line for line in sure(of_rows(rows)).lines if line.baseline]
    assert line.difference is not None
    reach = 100 * max(line.difference.high, -line.difference.low)
    for matters, state in ((reach * 1.01, EQUIVALENT), (reach * 0.99, OPEN)):
        assert _with_matters(rows, matters, monkeypatch) == state


def _with_matters(rows: dict[str, list[float]], matters: float, monkeypatch: pytest.MonkeyPatch) -> str:
    from analysis.read import declarations
    from experiments.declared import Declaration, Row

    declared = tuple(Row("mine", name, (), {}, None if name == "baseline" else "baseline") for name in rows)
    declaration = Declaration("mine", "", "", None, ("bbox",), {}, matters, declared)
    monkeypatch.setattr(declarations, "of_sweep", lambda sweep: declaration)
    study = of_rows(rows)
    runs = [replace(run, tags={**run.tags, "rows.mine": f'["{run.tags["variant_id"]}"]'}) for run in study.runs]
    (one,) = decide(replace(study, runs=runs), RULES.rules, silent)
    return one.state


def test_seeds_that_a_row_got_beyond_the_most_have_no_part() -> None:
    rules = Recorded.of(Rules(most=3), RULES.made)
    three, five = (of_rows({"baseline": NEAR[:n], "far": FAR[:n]}, rules) for n in (3, 5))
    (of_three,), (of_five,) = ([line for line in sure(one).lines if line.baseline] for one in (three, five))
    assert (of_three.p, of_three.difference) == (of_five.p, of_five.difference)


def test_one_round_is_a_plain_table() -> None:
    rows = {"baseline": dict(zip("012", NEAR, strict=False)), "far": dict(zip("012", FAR, strict=False))}
    plain, at_once = (sure(typed(rows, asked=asked)) for asked in (None, {"0": 5, "1": 5, "2": 5}))
    assert at_once.note == plain.note
    assert [line.p for line in at_once.lines] == pytest.approx([line.p for line in plain.lines], nan_ok=True)


def test_seeds_added_after_looking_are_said_and_cost_something() -> None:
    rows = {"baseline": dict(zip("01234", NEAR, strict=True)), "far": dict(zip("01234", FAR, strict=True))}
    at_once = sure(typed(rows, asked=dict.fromkeys("01234", 5)))
    later = sure(typed(rows, asked={"0": 5, "1": 5, "2": 10, "3": 20, "4": 20}))
    assert "Seeds were added after looking (2, then 3, then 5 seeds): p and the intervals" in later.note
    assert "looking" not in at_once.note
    (plain,), (looked) = ([line for line in one.lines if line.baseline] for one in (at_once, later))
    assert looked[0].difference is not None
    assert plain.difference is not None
    assert looked[0].difference.high > plain.difference.high
    assert looked[0].p > plain.p


def test_seeds_asked_for_before_any_result_are_no_look() -> None:
    """Results come a second after each was asked for, here those of seed 2 before the last is asked for."""
    rows = {"baseline": dict(zip("012", NEAR, strict=False)), "far": dict(zip("012", FAR, strict=False))}
    study = typed(rows, asked={"0": 5, "1": 5, "2": 6})
    (part,) = study.parts
    assert rounds.of(study, part, "bbox/AP") is None


def test_rules_and_changed_budgets_are_said() -> None:
    changed = RULES.with_budget(5.0, "2026-11-02T12:00:00+00:00")
    note = sure(of_rows({"baseline": NEAR, "far": FAR}, changed)).note
    assert "Seeds were added by seed=auto, from 2 to at most 10 of a row (alpha 0.05), by rules made on 2026-11" in note
    assert "The budget was changed: none, then 5 device-hours." in note
    assert "10 trials were finished before these rules were made, and may have been looked at." in note  # in 1970


@pytest.mark.parametrize(
    ("of_images", "difference", "matters", "limited"),
    [
        (0.0, 0.001, None, False),  # seeds alone limit it
        (0.02, 0.001, None, True),
        (0.02, 0.1, None, False),  # so far away that images do not matter
        (0.02, 0.001, 20.0, False),  # it can still be found not to matter
        (0.02, 0.001, 3.0, True),
    ],
)
def test_a_row_that_images_limit(of_images: float, difference: float, matters: float | None, limited: bool) -> None:
    (line,) = [one for one in sure(of_rows({"baseline": NEAR, "far": FAR})).lines if one.baseline]
    spread = Spread(of_images**2, of_images**2, 100, Noise(1e-6, 8))
    assert line.difference is not None
    near: RowEvidence = replace(line, spread=spread, difference=replace(line.difference, estimate=difference))
    assert limited_by_images(near, matters) == limited
