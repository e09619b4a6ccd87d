"""Intervals that cover as often as they say, p-values that are uniform without an effect, figures known elsewhere."""

import itertools

import numpy as np
import pytest
from scipy import integrate, stats

from analysis.stats import EXACT, Noise, difference, holm, mean, minimal_difference, noise, sign_flips, twin


def test_mean_and_its_t_interval() -> None:
    found = mean([36.2, 36.9, 36.4, 36.7])
    interval = stats.ttest_1samp([36.2, 36.9, 36.4, 36.7], 0).confidence_interval(0.95)
    assert (found.estimate, found.n) == (pytest.approx(36.55), 4)
    assert (found.low, found.high) == (pytest.approx(interval.low), pytest.approx(interval.high))
    assert mean([1.0, 2.0], level=0.5).high == pytest.approx(2.0)  # one degree of freedom: the quartile of t is 1


def test_too_few_values_have_no_interval() -> None:
    one = mean([36.2])
    assert (one.estimate, one.n) == (36.2, 1)
    assert np.isnan([one.low, one.high]).all()
    none = mean([])
    assert np.isnan([none.estimate, none.low, none.high]).all()
    assert none.n == 0
    assert mean([36.2, np.nan, 36.4]).n == 2  # NaN: not recorded
    pair = difference({"0": 36.2}, {"0": 36.0})
    assert (pair.estimate, pair.n, np.isnan(pair.low)) == (pytest.approx(0.2), 1, True)


def test_noise_of_two_variants_is_that_of_their_pairs() -> None:
    """Whatever the seeds that only one of them has."""
    variant, baseline = {"0": 3.0, "1": 4.5, "2": 4.0, "8": 7.0}, {"2": 3.6, "0": 2.0, "1": 4.0, "9": 1.0}
    known = noise([{"variant": variant, "baseline": baseline}])
    assert known.freedom == 2
    assert known.variance == pytest.approx(np.var([1.0, 0.5, 0.4], ddof=1) / 2)
    paired, pooled = difference(variant, baseline), difference(variant, baseline, known=known)
    assert (pooled.low, pooled.high) == (pytest.approx(paired.low), pytest.approx(paired.high))


def test_noise_of_many_is_what_means_of_rows_and_columns_leave() -> None:
    groups = [np.random.default_rng(shape).normal(0, 1, shape) for shape in ((4, 3), (2, 2), (3, 1))]
    squares, freedom = 0.0, 0
    for table in groups:
        for of_row in table:
            for column, value in enumerate(of_row):
                squares += (value - of_row.mean() - table[:, column].mean() + table.mean()) ** 2
        freedom += (table.shape[0] - 1) * (table.shape[1] - 1)
    known = noise([{f"v{row}": dict(enumerate(of_row)) for row, of_row in enumerate(table)} for table in groups])
    assert (known.freedom, known.variance) == (freedom, pytest.approx(squares / freedom))


@pytest.mark.parametrize("groups", [[], [{}], [{"a": {"0": 1.0}}], [{"a": {"0": 1.0}, "b": {"0": 2.0}}]])
def test_noise_that_nothing_tells_is_not_known(groups: list[dict[str, dict[str, float]]]) -> None:
    known = noise(groups)
    assert (known.freedom, np.isnan(known.variance)) == (0, True)
    one = difference({"0": 1.0, "1": 2.0}, {"0": 0.0, "1": 0.5}, known=known)
    assert one == difference({"0": 1.0, "1": 2.0}, {"0": 0.0, "1": 0.5})


def test_one_seed_has_no_interval_however_well_the_noise_is_known() -> None:
    assert np.isnan(difference({"0": 1.0}, {"0": 0.5}, known=Noise(0.01, 40)).low)


@pytest.mark.parametrize(("variants", "seeds", "lacking"), [(3, 2, 0), (7, 2, 0), (7, 2, 1), (5, 3, 2)])
def test_intervals_with_pooled_noise_cover_the_truth(variants: int, seeds: int, lacking: int) -> None:
    """Of a variant against the first, all as noisy; seeds help or harm all alike, and some trials did not finish."""
    rng, covered = np.random.default_rng(variants), []
    for _ in range(3000):
        table = rng.normal(36, 2, seeds) + np.arange(variants)[:, None] + rng.normal(0, 0.3, (variants, seeds))
        values = {row: {seed: float(one) for seed, one in enumerate(of_row)} for row, of_row in enumerate(table)}
        for row in range(lacking):
            del values[variants - 1 - row][seeds - 1]
        found = difference(values[1], values[0], known=noise([values]))
        covered.append(found.low <= 1 <= found.high)
    assert np.mean(covered) == pytest.approx(0.95, abs=0.015)


@pytest.mark.parametrize("n", [2, 3, 5, 10])
def test_intervals_of_means_and_of_paired_differences_cover_the_truth(n: int) -> None:
    rng = np.random.default_rng(n)
    covered = np.zeros((4000, 2))
    for number in range(len(covered)):
        shared = rng.normal(36, 2, n)  # what a seed does to all variants
        variant, baseline = shared + rng.normal(0.7, 0.3, n), shared + rng.normal(0, 0.3, n)
        one = mean(variant)
        two = difference(dict(enumerate(map(float, variant))), dict(enumerate(map(float, baseline))))
        covered[number] = [one.low <= 36.7 <= one.high, two.low <= 0.7 <= two.high]
    assert covered.mean(axis=0) == pytest.approx([0.95, 0.95], abs=0.015)


def test_differences_are_paired_by_the_seeds_names() -> None:
    found = difference({"2": 5.0, "0": 3.0, "7": 9.0, "4": np.nan}, {"0": 1.0, "1": 0.0, "2": 4.0, "4": 2.0})
    assert (found.estimate, found.n, found.each) == (1.5, 2, (1.0, 2.0))
    assert found.dropped == ("7", "4", "1")
    apart = difference({"0": 1.0}, {"1": 2.0})
    assert (apart.n, apart.dropped, np.isnan(apart.estimate)) == (0, ("0", "1"), True)


@pytest.mark.parametrize("n", [2, 3, 6, 11])
def test_all_sign_flips_are_those_of_a_slow_loop(n: int) -> None:
    rng = np.random.default_rng(n)
    values = rng.normal(0.4, 1, n)
    sums = [abs(sum(sign * value for sign, value in zip(signs, values, strict=True))) for signs in flips(n)]
    expected = sum(one >= abs(values.sum()) - 1e-9 for one in sums) / 2**n
    found = sign_flips(values, rng)
    assert (found.p, found.estimate, found.n) == (pytest.approx(expected, abs=1e-12), pytest.approx(values.mean()), n)
    assert sign_flips(np.abs(values), rng).p == pytest.approx(2 / 2**n)  # the least that n seeds can give
    assert sign_flips([0.0] * n, rng).p == 1


def test_sums_that_are_equal_on_paper_count_as_equal() -> None:
    rng = np.random.default_rng(0)
    for tenths in rng.integers(-9, 10, (50, 6)):
        assert sign_flips(tenths / 10, rng).p == sign_flips(tenths.astype(float), rng).p


def flips(n: int) -> list[tuple[int, ...]]:
    return list(itertools.product((1, -1), repeat=n))


def test_sampled_flips_agree_with_scipy() -> None:
    values = np.random.default_rng(0).normal(0.35, 1, EXACT + 14)
    found = sign_flips(values, np.random.default_rng(1), draws=40_000)
    peer = stats.permutation_test(
        (values,), np.mean, permutation_type="samples", n_resamples=40_000, rng=np.random.default_rng(2)
    )
    assert 0.01 < found.p < 0.3
    assert found.p == pytest.approx(peer.pvalue, abs=0.01)
    assert sign_flips(values + 100, np.random.default_rng(1), draws=99).p == 0.01  # never 0
    assert found == sign_flips(values, np.random.default_rng(1), draws=40_000)


def test_one_seed_is_no_test() -> None:
    found = sign_flips([0.5], np.random.default_rng(0))
    assert (found.estimate, found.n, np.isnan(found.p), np.isnan(found.low)) == (0.5, 1, True, True)


@pytest.mark.parametrize("n", [14, 25])
def test_p_values_are_uniform_where_labels_are_shuffled(n: int) -> None:
    """Of variants that are the same, each pair's labels exchanged at random; exact flips, then sampled ones."""
    rng = np.random.default_rng(n)
    fixed = rng.exponential(1, n)  # far from normal
    p_values = [sign_flips(fixed * rng.choice((1, -1), n), rng, draws=999).p for _ in range(1500)]
    assert stats.kstest(p_values, "uniform").pvalue > 0.05
    assert np.mean(np.array(p_values) <= 0.05) == pytest.approx(0.05, abs=0.015)


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


def test_holm_keeps_the_familys_error() -> None:
    rng = np.random.default_rng(3)
    wrong = [min(holm(dict(enumerate(rng.random(8)))).values()) <= 0.05 for _ in range(6000)]
    assert np.mean(wrong) == pytest.approx(0.05, abs=0.01)


@pytest.mark.parametrize(("n", "known"), [(5, 1.682), (10, 0.9964), (20, 0.6604), (34, 0.4950)])
def test_minimal_difference_is_that_of_tables(n: int, known: float) -> None:
    """Effect sizes for 80 % power, two-sided .05, paired: n = 34 is the usual answer for d = .5."""
    assert minimal_difference(sd=1, n=n) == pytest.approx(known, abs=0.002)


@pytest.mark.parametrize(("n", "alpha", "power"), [(2, 0.05, 0.8), (3, 0.05, 0.9), (8, 0.01, 0.8), (200, 0.05, 0.8)])
def test_minimal_difference_is_found_as_often_as_asked(n: int, alpha: float, power: float) -> None:
    """The power by integrating over the standard deviation that is observed, and by simulating t tests."""
    sd = 0.31
    shift = minimal_difference(sd, n, alpha, power) / sd * np.sqrt(n)
    critical = stats.t.ppf(1 - alpha / 2, n - 1)
    observed = stats.chi(n - 1, scale=1 / np.sqrt(n - 1))
    integral, _ = integrate.quad(lambda s: observed.pdf(s) * stats.norm.sf(critical * s - shift), 0, np.inf, limit=500)
    assert integral == pytest.approx(power, abs=1e-5)
    draws = np.random.default_rng(n).normal(shift / np.sqrt(n), 1, (20_000, n))
    t = draws.mean(axis=1) / draws.std(axis=1, ddof=1) * np.sqrt(n)
    assert np.mean(t > critical) == pytest.approx(power, abs=0.015)


def test_a_spread_that_is_known_well_detects_less() -> None:
    """From any number of degrees of freedom on, it is the normal distribution's."""
    known = minimal_difference(0.31, 2, freedom=100_000)
    assert known == pytest.approx((stats.norm.ppf(0.975) + stats.norm.ppf(0.8)) * 0.31 / np.sqrt(2), rel=1e-3)
    assert known < minimal_difference(0.31, 2, freedom=6) < minimal_difference(0.31, 2)


def test_one_pair_detects_nothing() -> None:
    assert np.isnan(minimal_difference(0.3, 1))


def test_a_twin_tells_nothing_more_of_noise() -> None:
    """The same outcome under another name, with all seeds or some, is no second sample."""
    group = {"a": {"0": 0.3, "1": 0.5, "2": 0.4}, "b": {"0": 0.7, "1": 0.6, "2": 0.9}}
    some = {"1": 0.6, "2": 0.9}
    assert noise([{"first": some, **group, "again": group["a"]}]) == noise([group])
    assert twin(group["b"], some)
    assert not twin(group["a"], some)
    assert not twin(group["a"], {"7": 0.3})  # no seed in common
