"""Intervals that cover as often as they say, p-values that are uniform without an effect, figures known elsewhere."""

import numpy as np
import pytest
from scipy import stats

from analysis.statistics.means import (
    OWN_FROM,
    UNKNOWN,
    Interval,
    Noise,
    beats,
    holm,
    interval,
    mean,
    noisiest,
    of_difference,
    one_more,
    own_noise,
    p_value,
    pooled,
    row_noises,
    total,
    twin,
)


def by_seed(*values: float) -> dict[str, float]:
    return {str(seed): value for seed, value in enumerate(values)}


def test_mean_and_its_t_interval() -> None:
    found = mean([36.2, 36.9, 36.4, 36.7])
    expected = stats.ttest_1samp([36.2, 36.9, 36.4, 36.7], 0).confidence_interval(0.95)
    assert (found.estimate, found.n) == (pytest.approx(36.55), 4)
    assert (found.low, found.high) == (pytest.approx(expected.low), pytest.approx(expected.high))


def test_too_few_values_have_no_interval() -> None:
    one = mean([36.2])
    assert (one.estimate, one.n) == (36.2, 1)
    assert np.isnan([one.low, one.high]).all()
    none = mean([])
    assert np.isnan([none.estimate, none.low, none.high]).all()
    assert none.n == 0
    assert mean([36.2, np.nan, 36.4]).n == 2  # NaN: not recorded
    assert own_noise([36.2]) == UNKNOWN
    assert np.isnan(p_value(0.2, UNKNOWN))
    assert np.isnan(interval(0.2, UNKNOWN, 1).low)


@pytest.mark.parametrize("sizes", [(3, 3), (2, 7), (5, 4)])
def test_two_rows_by_their_own_seeds_are_welchs_test(sizes: tuple[int, int]) -> None:
    rng = np.random.default_rng(sum(sizes))
    one, other = rng.normal(0.5, 3, sizes[0]), rng.normal(0, 1, sizes[1])
    means = [Noise(own_noise(values).variance / len(values), len(values) - 1) for values in (one, other)]
    noise = total(means)
    peer = stats.ttest_ind(one, other, equal_var=False)
    assert noise.freedom == pytest.approx(peer.df)
    assert p_value(one.mean() - other.mean(), noise) == pytest.approx(peer.pvalue)
    found, expected = interval(one.mean() - other.mean(), noise, 0), peer.confidence_interval(0.95)
    assert (found.low, found.high) == (pytest.approx(expected.low), pytest.approx(expected.high))


def test_sum_with_an_unknown_variance_is_unknown() -> None:
    assert total([Noise(1.0, 2), UNKNOWN]) == UNKNOWN
    assert total([]) == UNKNOWN
    still = total([Noise(0.0, 2), Noise(0.0, 4)])
    assert (still, p_value(0.0, still), p_value(0.1, still)) == (Noise(0.0, 2), 1.0, 0.0)
    assert total([Noise(1e-200, 2), Noise(1e-200, 2)]).freedom == pytest.approx(4)  # squares would underflow


def test_pooled_noise_is_that_of_an_analysis_of_variance() -> None:
    rng = np.random.default_rng(0)
    samples = [rng.normal(row, 1, size) for row, size in enumerate((4, 2, 3, 1))]
    squares = sum(((values - values.mean()) ** 2).sum() for values in samples)
    assert pooled(samples) == Noise(pytest.approx(squares / 6), 6)
    assert pooled([[1.0], [2.0]]) == UNKNOWN


def test_a_row_borrows_what_alike_rows_show_and_never_less_than_it_shows_itself() -> None:
    calm, wild, single = by_seed(1.0, 1.1, 1.2), by_seed(1.0, 5.0, 3.0), by_seed(2.0)
    many = by_seed(*np.linspace(0, 0.1, OWN_FROM))
    found = row_noises([{"calm": calm, "wild": wild, "single": single, "many": many}, {"elsewhere": by_seed(1, 90)}])
    together = pooled([[*calm.values()], [*wild.values()], [*many.values()]])
    assert found["calm"].used == found["single"].used == found["wild"].alike == together
    assert found["wild"].used == found["wild"].own == Noise(pytest.approx(4.0), 2)
    assert found["many"].used == found["many"].own  # from so many seeds on, its own however small
    assert (found["single"].own, found["single"].n) == (UNKNOWN, 1)
    assert found["elsewhere"].used.variance == pytest.approx(89**2 / 2)
    assert found["calm"].of_mean() == Noise(pytest.approx(together.variance / 3), together.freedom)
    assert found["calm"].of_mean(alone=True) == Noise(pytest.approx(0.01 / 3), 2)


def test_noise_that_both_rows_borrow_is_one_estimate() -> None:
    calm, other, wild = by_seed(1.0, 1.1, 1.2), by_seed(1.0, 1.2), by_seed(1.0, 5.0, 3.0)
    found = row_noises([{"calm": calm, "other": other, "wild": wild}])
    together = found["calm"].alike
    borrowed = of_difference(found["calm"], found["other"])
    assert borrowed == Noise(pytest.approx(together.variance * (1 / 3 + 1 / 2)), together.freedom)
    mixed = of_difference(found["calm"], found["wild"])
    assert mixed == total([Noise(together.variance / 3, together.freedom), Noise(4 / 3, 2)])
    alone = of_difference(found["calm"], found["other"], alone=True)
    peer = stats.ttest_ind([*calm.values()], [*other.values()], equal_var=False)
    assert alone.freedom == pytest.approx(peer.df)
    assert of_difference(found["calm"], row_noises([{"single": by_seed(1.0)}])["single"]) == UNKNOWN


def test_row_with_the_same_values_adds_no_estimate_of_noise() -> None:
    """The same outcome under another name, with all seeds or some, is no second sample."""
    group = {"a": by_seed(0.3, 0.5, 0.4), "b": by_seed(0.7, 0.6, 0.9)}
    some = {"1": 0.6, "2": 0.9}
    found = row_noises([{"first": some, **group, "again": group["a"]}])
    assert found["a"].alike == row_noises([group])["a"].alike
    assert twin(group["b"], some)
    assert not twin(group["a"], some)
    assert not twin(group["a"], {"7": 0.3})  # no seed in common


@pytest.mark.parametrize(
    ("rows", "freedom", "critical"),
    [(2, 2, 0.9950), (3, 2, 0.9423), (6, 2, 0.7218), (6, 4, 0.5635), (10, 1, 0.7175), (20, 2, 0.3297)],
)
def test_the_noisiest_row_by_printed_critical_values(rows: int, freedom: int, critical: float) -> None:
    """Upper .01 values of Cochran's C, of Eisenhart, Hastay and Wallis' table (1947)."""
    rest = (1 - critical) / (rows - 1)
    known = {str(row): Noise(critical if row == 1 else rest, freedom) for row in range(rows)}
    assert noisiest(known) == ("1", pytest.approx(0.01, rel=0.02))


def test_noisiest_of_rows_that_are_alike_is_rarely_told() -> None:
    rng = np.random.default_rng(2)
    sizes = (3, 3, 2, 5, 3)
    found = [
        noisiest({str(row): own_noise(rng.normal(0, 1, size)) for row, size in enumerate(sizes)}) for _ in range(4000)
    ]
    assert np.mean([one[1] < 0.05 for one in found if one]) == pytest.approx(0.05, abs=0.011)
    assert noisiest({"a": Noise(1.0, 2), "b": UNKNOWN}) is None
    assert noisiest({"a": Noise(0.0, 2), "b": Noise(0.0, 2)}) is None
    assert noisiest({"a": Noise(0.0, 2), "b": Noise(1.0, 2)}) == ("b", 0.0)


@pytest.mark.parametrize("seeds", [2, 3, 5, 10])
def test_a_perfect_replication_is_rarely_different(seeds: int) -> None:
    """Six metrics of one published run and of ours, all drawn alike, half of their variance shared."""
    rng, wrong, covered = np.random.default_rng(seeds), [], []
    for _ in range(1500):
        values = rng.normal(0, 0.7, (6, seeds + 1)) + rng.normal(0, 0.7, seeds + 1)
        told = [one_more(ours[:-1], ours[-1]) for ours in values]
        covered.append([one.low <= 0 <= one.high for one, _ in told])
        wrong.append(min(holm({str(place): p for place, (_, p) in enumerate(told)}).values()) < 0.05)
    assert np.mean(covered) == pytest.approx(0.95, abs=0.012)
    assert 0.01 < np.mean(wrong) < 0.06


def test_one_more_value_by_hand() -> None:
    """n = 3, s = 1: 4.3027, from a printed table of t, times sqrt(4 / 3)."""
    found, p = one_more([1.0, 2.0, 3.0], 2.5)
    assert (found.estimate, found.high - found.estimate) == (-0.5, pytest.approx(4.968, abs=0.001))
    assert p == pytest.approx(2 * stats.t.sf(0.5 / np.sqrt(4 / 3), 2))
    alone, nothing = one_more([1.0], 2.0)
    assert (alone.estimate, np.isnan(alone.low), np.isnan(nothing)) == (-1.0, True, True)
    assert one_more([0.391] * 3, 0.391, rounded=0.001)[1] == pytest.approx(1)
    assert one_more([0.391] * 3, 0.389, rounded=0.001)[1] < 0.05
    assert np.isnan(one_more([], 2.0)[0].estimate)


def test_how_often_a_new_training_beats_another() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.normal(1.0, 0.5, 200_000), rng.normal(0.3, 1.2, 200_000)
    assert beats(0.7, [Noise(0.25, 4), Noise(1.44, 4)]) == pytest.approx(np.mean(one > other), abs=0.005)
    assert beats(1.0, [Noise(1.0, 9)] * 2) == pytest.approx(stats.norm.cdf(1 / np.sqrt(2)))
    assert np.isnan(beats(1.0, [Noise(1.0, 9), UNKNOWN]))
    assert [beats(sign, [Noise(0.0, 2)] * 2) for sign in (-1.0, 0.0, 1.0)] == [0.0, 0.5, 1.0]


def test_interval_within_a_margin() -> None:
    assert Interval(0.1, -0.3, 0.49, 3).within(0.5)
    assert not Interval(0.1, -0.3, 0.5, 3).within(0.5)
    assert not Interval(0.1, np.nan, np.nan, 1).within(0.5)


def test_the_upper_bound_of_noise_is_rarely_passed() -> None:
    rng = np.random.default_rng(1)
    found = [own_noise(rng.normal(0, 1, 4)).upper.variance for _ in range(4000)]
    assert np.mean(np.array(found) > 1) == pytest.approx(0.8, abs=0.02)
    assert UNKNOWN.upper == UNKNOWN


def test_holm_against_the_definition() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        p_values = {str(name): float(p) for name, p in enumerate(rng.random(rng.integers(1, 7)) ** 3)}
        found = holm(p_values)
        assert list(found) == list(p_values)
        for alpha in (0.01, 0.05, 0.2):
            # His procedure step by step: the smallest at alpha / m, the next at alpha / (m - 1), until one fails.
            rejected = set()
            for place, (name, p) in enumerate(sorted(p_values.items(), key=lambda item: item[1])):
                if p > alpha / (len(p_values) - place):
                    break
                rejected.add(name)
            assert {name for name, p in found.items() if p <= alpha} == rejected


def test_holm_leaves_out_what_was_not_tested() -> None:
    found = holm({"a": 0.02, "b": np.nan, "c": 0.5})
    assert (found["a"], found["c"]) == (0.04, 0.5)
    assert np.isnan(found["b"])
    assert holm({}) == {}
    assert holm({"a": 0.8, "b": 0.9}) == {"a": 1, "b": 1}
