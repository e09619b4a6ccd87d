"""Coverage of intervals and error rates of whole tables, also where rows are not equally noisy."""

from dataclasses import replace

import numpy as np
import pytest

from analysis.statistics.means import UNKNOWN, pooled
from analysis.statistics.power import detectable
from analysis.statistics.spread import Spread
from tests.support.drawn import sure, typed
from tests.support.simulated import studies, told

NOISY = {"equal": {}, "baseline 3x": {0: 3.0}, "one row 3x": {1: 3.0}}
STUDIES = 10_000


@pytest.mark.parametrize("noisy", NOISY)
@pytest.mark.parametrize("seeds", [2, 3, 4, 5])
@pytest.mark.parametrize(("rows", "pool"), [(3, 3), (6, 6), (18, 18), (6, 28)])
def test_intervals_and_tables(rows: int, pool: int, seeds: int, noisy: str) -> None:
    """No row differs. With two seeds little is known of a noisy baseline, which the table then says."""
    found = told(studies(np.random.default_rng(17), STUDIES, rows, seeds, NOISY[noisy], pool), rows)
    covered, wrong = found.covered.mean(axis=0), found.found.any(axis=1).mean()
    print(
        f"{rows} rows of {pool}, {seeds} seeds, {noisy}: coverage {covered.mean():.3f}, least {covered.min():.3f}, "
        f"family-wise error {wrong:.3f}, half width {np.median(found.half_width):.2f}"
    )
    assert covered.min() > (0.91 if seeds == 2 else 0.93)
    assert wrong < (0.08 if seeds == 2 else 0.06)


@pytest.mark.parametrize("shared_by", ["all rows", "all but the baseline"])
@pytest.mark.parametrize("rows", [3, 18])
def test_shared_effect_of_a_seed_makes_no_interval_too_narrow(rows: int, shared_by: str) -> None:
    """Where it is 30 % of the variance."""
    rng = np.random.default_rng(3)
    values = studies(rng, STUDIES, rows, 3, {})
    first = 0 if shared_by == "all rows" else 1
    values[:, first:] = np.sqrt(0.7) * values[:, first:] + np.sqrt(0.3) * rng.normal(0, 1, (STUDIES, 1, 3))
    found = told(values, rows)
    assert found.covered.mean(axis=0).min() > 0.94
    assert found.found.any(axis=1).mean() < 0.05


@pytest.mark.parametrize(("rows", "seeds"), [(2, 3), (6, 2), (6, 3), (6, 5), (18, 3)])
def test_detectable_difference_has_a_power_of_80_percent(rows: int, seeds: int) -> None:
    """The difference that each of many studies names, by the power that tables have at it."""
    rng = np.random.default_rng(5)
    values, shifts = studies(rng, 5000, rows, seeds, {}), np.arange(0, 40, 1.0)
    tables = [told(values, rows, shift) for shift in shifts]
    powers = [np.mean(one.found[:, 0] & (one.difference[:, 0] > 0)) for one in tables]
    named = []
    for study in studies(rng, 50, rows, seeds, {}):
        noise = pooled([[*map(float, of_row)] for of_row in study]).upper
        named.append(detectable(noise, seeds, rows - 1, Spread(0.0, 0.0, 2, UNKNOWN)))
    of_named = np.interp(named, shifts, powers)
    print(f"{rows} rows, {seeds} seeds: power {of_named.mean():.2f}, at least .8 in {np.mean(of_named > 0.79):.0%}")
    assert of_named.mean() > 0.82
    assert np.mean(of_named > 0.79) > 0.7  # of 50 studies, where .8 is meant


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_simulation_agrees_with_tables(seeds: int) -> None:
    """Its formulae, written for arrays, against the table of each study."""
    values = 0.4 + studies(np.random.default_rng(seeds), 8, 4, seeds, {1: 3.0, 2: 0.3}, pool=5) / 100
    expected = told(values, 4)
    for number, study in enumerate(values):
        found = typed({f"row {row}": {str(seed): ap for seed, ap in enumerate(own)} for row, own in enumerate(study)})
        (part,) = found.parts
        of_table = replace(part, lines=part.lines.loc[part.lines["variant_id"] != "row 4"])
        _, *lines = sure(found, of_table).lines
        differences = [line.difference for line in lines if line.difference]
        assert [one.estimate for one in differences] == pytest.approx(expected.difference[number])
        assert [one.high - one.estimate for one in differences] == pytest.approx(expected.half_width[number])
        assert [line.p for line in lines] == pytest.approx(expected.p[number], abs=1e-9)
        assert [line.significant for line in lines] == list(expected.found[number])
