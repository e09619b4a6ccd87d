"""That tables keep their word where rows are not equally noisy: intervals, and errors over a whole table."""

from dataclasses import replace

import numpy as np
import pytest
from drawn import typed
from simulated import studies, told

from analysis import render
from analysis.evidence import evidence

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


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_the_simulation_says_what_a_table_says(seeds: int) -> None:
    """Its formulae, written for arrays, against the table of each study."""
    values = 0.4 + studies(np.random.default_rng(seeds), 8, 4, seeds, {1: 3.0, 2: 0.3}, pool=5) / 100
    expected = told(values, 4)
    for number, study in enumerate(values):
        found = typed({f"row {row}": {str(seed): ap for seed, ap in enumerate(own)} for row, own in enumerate(study)})
        (part,) = found.parts
        of_table = replace(part, lines=part.lines.loc[part.lines["variant_id"] != "row 4"])
        known = evidence(found, of_table, "bbox", render.progress)
        assert known is not None
        _, *lines = known.lines
        differences = [line.difference for line in lines if line.difference]
        assert [one.estimate for one in differences] == pytest.approx(expected.difference[number])
        assert [one.high - one.estimate for one in differences] == pytest.approx(expected.half_width[number])
        assert [line.p for line in lines] == pytest.approx(expected.p[number], abs=1e-9)
        assert [line.significant for line in lines] == list(expected.found[number])
