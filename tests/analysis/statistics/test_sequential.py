"""Levels and p-values that hold however often one looks, against exact integrals and studies with a known truth."""

import numpy as np
import pytest
from scipy import stats

from analysis.statistics.sequential import nominal_levels, p_values
from tests.support.simulated import studies, told, until_decided

LOOKS = tuple(map(float, range(2, 11)))
NOISY = {"equal": {}, "baseline 3x": {0: 3.0}, "one row 3x": {1: 3.0}}


def test_levels_of_nine_looks() -> None:
    """Those that others have published for linear spending over 2 to 10 seeds."""
    levels = nominal_levels(LOOKS, 10.0, 0.05)
    assert [round(level, 4) for level in levels] == [
        *(0.0100, 0.0082, 0.0094, 0.0108, 0.0123, 0.0139, 0.0155, 0.0171, 0.0188)
    ]


@pytest.mark.parametrize("alpha", [0.01, 0.05, 0.2])
@pytest.mark.parametrize("looks", [(5.0, 10.0), (2.0, 3.0, 10.0), (2.0, 7.0, 8.0)])
def test_alpha_spent_is_that_of_the_joint_normal_distribution(looks: tuple[float, ...], alpha: float) -> None:
    levels = nominal_levels(looks, 10.0, alpha)
    times = np.array(looks)
    together = np.sqrt(np.minimum(times[:, None], times) / np.maximum(times[:, None], times))
    bounds = stats.norm.isf(np.array(levels) / 2)
    for count in range(1, len(looks) + 1):
        precisely = {"abseps": 1e-8, "releps": 1e-8, "maxpts": 10**7}
        known = stats.multivariate_normal(np.zeros(count), together[:count, :count], **precisely)
        inside = known.cdf(bounds[:count], lower_limit=-bounds[:count])
        assert 1 - inside == pytest.approx(alpha * looks[count - 1] / 10, rel=1e-3)


def test_a_p_value_is_the_smallest_alpha_that_rejects() -> None:
    for nominal in np.random.default_rng(1).uniform(0, 0.3, (20, len(LOOKS))) ** 2:
        found = p_values(nominal, LOOKS, 10.0)
        for look, p in enumerate(found):
            for factor, rejects in ((0.98, False), (1.02, True)):
                levels = np.array(nominal_levels(LOOKS, 10.0, float(p) * factor))
                assert (nominal[: look + 1] <= levels[: look + 1]).any() == rejects


def test_a_look_that_was_left_out_changes_no_other() -> None:
    nominal = np.array([np.nan, 0.02, 0.5, *[np.nan] * 6])
    found = p_values(nominal, LOOKS, 10.0)
    assert np.isnan(found[0])
    assert found[1] == found[2] == found[-1] == pytest.approx(0.02 * 0.05 / 0.0082, rel=0.2)


@pytest.mark.long
@pytest.mark.parametrize("noisy", NOISY)
@pytest.mark.parametrize("rows", [2, 6, 18])
def test_no_difference_is_found_by_looking_again(rows: int, noisy: str) -> None:
    count = 4000 if rows == 18 else 10_000
    values = studies(np.random.default_rng(7), count, rows, 10, NOISY[noisy])
    found = until_decided(values, 10).found.any(axis=1).mean()
    looked = np.any([told(values[..., :seeds], rows).found.any(axis=1) for seeds in range(2, 11)], axis=0).mean()
    print(f"{rows} rows, {noisy}: family-wise error {found:.3f}; of plain tables looked at nine times {looked:.3f}")
    assert found <= 0.055
    assert looked > 2 * found  # what the looks are corrected for is there


@pytest.mark.parametrize("difference", [0.0, 2.0])
def test_repeated_intervals_hold_at_whatever_look_one_stops(difference: float) -> None:
    values = studies(np.random.default_rng(9), 10_000, 6, 10, {})
    found = until_decided(values, 10, difference)
    estimate = _estimates(values, found.seeds) + difference
    covered = (np.abs(estimate - difference) <= found.half_width).mean(axis=0)
    print(f"difference {difference:g} sd: repeated intervals hold it in {covered.min():.3f} or more of the studies")
    assert covered.min() > 0.945


@pytest.mark.parametrize(("rows", "power"), [(2, 0.9), (6, 0.9), (18, 0.8)])
@pytest.mark.parametrize("difference", [2.0, 3.0])
def test_power_and_trainings_saved(rows: int, power: float, difference: float) -> None:
    """Against a fixed number of seeds that finds as much. All rows differ from the baseline."""
    values = studies(np.random.default_rng(11), 2000, rows, 10, {})
    found = until_decided(values, 10, difference)
    shifted = values + difference * (np.arange(rows) > 0)[:, None]
    fixed = [told(shifted[..., :seeds], rows).found.mean() for seeds in range(2, 11)]
    power_found, trained = found.found.mean(), found.seeds.sum(axis=1).mean()
    equal = float(np.interp(power_found, fixed, range(2, 11)))
    print(
        f"{rows} rows, {difference:g} sd: power {power_found:.3f} (ten seeds of all: {fixed[-1]:.3f}), "
        f"trainings {trained:.1f} in place of {equal * rows:.1f}: {1 - trained / (equal * rows):.0%} saved"
    )
    assert power_found > power
    assert trained < equal * rows


def _estimates(values: np.ndarray, seeds: np.ndarray) -> np.ndarray:
    """Returns each row less the first, both over the seeds that the row was last looked at with."""
    means = np.cumsum(values, axis=2) / np.arange(1, values.shape[2] + 1)
    at = seeds[:, 1:] - 1
    own = np.take_along_axis(means[:, 1:], at[..., None], axis=2)[..., 0]
    baseline = np.take_along_axis(np.broadcast_to(means[:, :1], means[:, 1:].shape), at[..., None], axis=2)[..., 0]
    return own - baseline
