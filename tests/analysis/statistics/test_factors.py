"""Effects of factors against marginal means, statsmodels, and known truths."""

import ast
import itertools

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from analysis.read import frames
from analysis.read.runs import of_experiment
from analysis.statistics import factors, means
from analysis.statistics.factors import Effects, effects
from tests.support.drawn import typed
from tests.support.recorded import Recorder, metrics_of

FACTORS = ("aggregation", "pre", "post")
LEVELS = {"aggregation": ["sum", "concat"], "pre": ["none", "conv5", "nonlocal"], "post": ["none", "attention"]}
CELLS = [dict(zip(LEVELS, cell, strict=True)) for cell in itertools.product(*LEVELS.values())]


def grid(rng: np.random.Generator, seeds: int, sd: float = 0.3, together: float = 0.0) -> pd.DataFrame:
    """Returns values that are 40, +1 for conv5, +2 for attention, and `together` for both."""
    rows = [{**cell, "seed": str(seed)} for cell in CELLS for seed in range(seeds)]
    frame = pd.DataFrame(rows)
    convolved, attended = frame["pre"] == "conv5", frame["post"] == "attention"
    frame["value"] = 40 + convolved + 2 * attended + together * (convolved & attended) + rng.normal(0, sd, len(rows))
    return frame


def estimates(found: Effects) -> dict[tuple[tuple[str, str], ...], float]:
    return {tuple(one.levels.items()): one.estimate for one in found.effects}


def test_of_a_balanced_grid_effects_are_differences_of_marginal_means() -> None:
    frame = grid(np.random.default_rng(0), seeds=3, together=1.0)
    found = effects(frame, FACTORS)
    mean = frame["value"].mean()
    assert (found.mean.estimate, found.mean.n, found.not_estimated) == (pytest.approx(mean, abs=1e-10), 36, ())
    assert found.freedom == 36 - (1 + 1 + 2 + 1 + 2 + 1 + 2) - (3 - 1)  # seeds are blocks
    for one in found.effects:
        own = frame.loc[np.logical_and.reduce([frame[factor] == level for factor, level in one.levels.items()])]
        expected = own["value"].mean() - mean
        if len(one.levels) == 2:
            expected -= sum(estimates(found)[(item,)] for item in one.levels.items())
        assert (one.estimate, one.n) == (pytest.approx(expected, abs=1e-10), len(own))
        assert one.low < one.estimate < one.high
    assert len(found.effects) == (2 + 3 + 2) + (6 + 4 + 6)


def test_intervals_cover_the_truth() -> None:
    rng = np.random.default_rng(2)
    truth = {
        (("pre", "conv5"),): 2 / 3 + 0.5 * (1 - 1 / 3),
        (("post", "attention"),): 1 + 0.5 / 3,
        (("pre", "conv5"), ("post", "attention")): (1 - 1 / 3) * 0.5,
        (("pre", "nonlocal"), ("post", "attention")): -0.5 / 3,
        (("aggregation", "concat"),): 0.0,
    }
    covered = np.zeros((1500, len(truth)))
    noisy = grid(rng, seeds=2, sd=0.0, together=1.0).drop([0, 5])  # two trials have failed
    expected, seed = noisy["value"], noisy["seed"].to_numpy(int)
    for number in range(len(covered)):
        noisy["value"] = (
            expected + rng.normal(0, 1, 2)[seed] + rng.normal(0, 0.3, len(noisy))
        )  # a seed's is of all cells
        found = {tuple(one.levels.items()): one for one in effects(noisy, FACTORS).effects}
        covered[number] = [found[levels].low <= value <= found[levels].high for levels, value in truth.items()]
    assert covered.mean(axis=0) == pytest.approx(np.full(len(truth), 0.95), abs=0.015)


# statsmodels 0.15.0, `ols("value ~ C(pre, Sum) * C(post, Sum) + C(seed, Sum)", frame).fit()`: estimate, the interval's
# ends, p.
STATSMODELS = {
    (("pre", "conv5"),): (1.1203233892145907, 0.9193414764727587, 1.321305301956423, 5.042341905888555e-07),
    (("pre", "none"),): (-0.7766196733069679, -0.9914783757122341, -0.5617609709017017, 1.8581846014959982e-05),
    (("post", "attention"),): (1.2573763518105279, 1.1119163226513087, 1.402836380969747, 1.1074691128198082e-08),
    (("pre", "conv5"), ("post", "attention")): (
        0.30329766664265934,
        0.1023157539008269,
        0.5042795793844917,
        0.0077034465112214975,
    ),
    (("pre", "none"), ("post", "attention")): (
        -0.06072198641332296,
        -0.275580688818589,
        0.15413671599194306,
        0.5385468716224675,
    ),
}


def test_effects_are_those_of_statsmodels() -> None:
    frame = grid(np.random.default_rng(8), seeds=3, together=1.0)
    frame["value"] += frame["seed"].map({"0": 0.0, "1": 0.9, "2": -0.4})
    found = effects(frame.loc[frame["aggregation"] == "sum"].drop(index=4), FACTORS)
    assert (found.freedom, found.blocked) == (9, True)
    assert found.mean.estimate == pytest.approx(41.69633911534654, abs=1e-9)
    own = {tuple(one.levels.items()): one for one in found.effects}
    for levels, (estimate, low, high, _) in STATSMODELS.items():
        one = own[levels]
        assert (one.estimate, one.low, one.high) == pytest.approx((estimate, low, high), abs=1e-9)
    # All eleven effects are seven tests: of post's two levels one, of each pair with them one.
    raw = {str(levels): p for levels, (*_, p) in STATSMODELS.items()}
    others = (own[(("pre", "nonlocal"),)], own[("pre", "nonlocal"), ("post", "none")])
    for number, one in enumerate(others):
        half = (one.high - one.low) / 2 / scipy.stats.t.ppf(0.975, 9)
        raw[f"other {number}"] = float(2 * scipy.stats.t.sf(abs(one.estimate) / half, 9))
    assert len(raw) == 7
    for levels, corrected in means.holm(raw).items():
        if "other" not in levels:
            assert own[ast.literal_eval(levels)].p == pytest.approx(corrected, rel=1e-6)
    assert own[(("post", "none"),)].p == own[(("post", "attention"),)].p


def test_absent_effects_are_rarely_significant() -> None:
    """All effects of a grid together, where seeds help or harm all cells alike."""
    rng, wrong = np.random.default_rng(9), []
    frame = grid(rng, seeds=3)
    seed = frame["seed"].to_numpy(int)
    for _ in range(600):
        frame["value"] = rng.normal(0, 1, 3)[seed] + rng.normal(0, 0.3, len(frame))
        wrong.append(min(one.p for one in effects(frame, FACTORS).effects) < 0.05)
    assert 0.02 < np.mean(wrong) < 0.07


def test_seeds_that_a_factor_cannot_be_told_from_are_no_blocks() -> None:
    frame = grid(np.random.default_rng(5), seeds=4)
    apart = frame.loc[(frame["pre"] == "conv5") == frame["seed"].isin(["2", "3"])]
    found = effects(apart.loc[apart["aggregation"] == "sum"], ("pre", "post"))
    assert (found.blocked, found.not_estimated) == (False, ())


def test_one_seed_leaves_no_freedom_for_the_full_model() -> None:
    frame = grid(np.random.default_rng(3), seeds=1)
    alone = effects(frame.drop(columns="aggregation").drop_duplicates(["pre", "post"]), ("pre", "post"))
    assert alone.freedom == 0
    assert all(np.isnan([one.low, one.high]).all() and np.isfinite(one.estimate) for one in alone.effects)
    assert np.isnan([alone.mean.low, alone.mean.high]).all()
    three = effects(frame, FACTORS)  # the interaction of all three is the spread
    assert three.freedom == 2
    assert all(one.low < one.high for one in three.effects)
    assert effects(frame, FACTORS, order=3).freedom == 0


def test_effects_that_cannot_be_estimated_are_listed() -> None:
    frame = grid(np.random.default_rng(4), seeds=2, sd=1e-6)
    both = (frame["pre"] == "conv5") & (frame["post"] == "attention")
    # A table of one module at a time: no cell has both.
    found = effects(frame.loc[~both], FACTORS)
    assert found.not_estimated == (("pre", "post"),)
    assert estimates(found)[("post", "attention"),] == pytest.approx(1, abs=1e-4)  # if there is no interaction
    # Two factors that always go together: neither's effect is known, nor any interaction of theirs.
    aligned = frame.loc[(frame["pre"] == "conv5") == (frame["post"] == "attention")]
    aligned = aligned.loc[aligned["pre"] != "nonlocal"]
    found = effects(aligned, FACTORS)
    assert found.not_estimated == (
        ("pre",),
        ("post",),
        ("aggregation", "pre"),
        ("aggregation", "post"),
        ("pre", "post"),
    )
    assert {tuple(one.levels) for one in found.effects} == {("aggregation",)}
    # Pre-processing wherever there is an aggregation: nor is there an interaction of parts that are not known.
    chosen = frame["aggregation"] == np.where(frame["pre"] == "none", "sum", "concat")
    lacking = effects(frame.loc[chosen], FACTORS).not_estimated
    assert lacking == (("aggregation",), ("pre",), ("aggregation", "pre"), ("aggregation", "post"), ("pre", "post"))
    # One level of a factor: it has no effect, and nothing is said of it.
    found = effects(frame.loc[frame["pre"] == "none"], FACTORS)
    assert found.not_estimated == ()
    assert {factor for one in found.effects for factor in one.levels} == {"aggregation", "post"}


def test_missing_values_are_left_out_and_doubles_refused() -> None:
    frame = grid(np.random.default_rng(5), seeds=2)
    frame.loc[3, "value"] = np.nan
    assert estimates(effects(frame, FACTORS)) == estimates(effects(frame.drop(3), FACTORS))
    assert effects(frame, FACTORS).mean.n == 23
    with pytest.raises(ValueError, match="a cell with two values of one seed"):
        effects(pd.concat([frame, frame]), FACTORS)
    nothing = effects(frame.loc[frame["pre"] == "absent"], FACTORS)
    assert (nothing.mean.n, nothing.effects, np.isnan(nothing.mean.estimate)) == (0, (), True)


def test_a_grid_that_was_run_is_analysed_by_its_modules(recorder: Recorder) -> None:
    own = Recorder(recorder.folder, "grid")
    for pre, post, ap in (
        ("none", "none", 0.30),
        ("conv5", "none", 0.36),
        ("none", "attention", 0.32),
        ("conv5", "attention", 0.38),
    ):
        for seed in range(2):
            settings = {"pre": pre, "post": post, "aggregation": "sum"}
            own.run(f"sum {pre} {post}", seed, points={"bbox/AP": [0.1, ap + seed / 100]}, sweeps=("mine",), **settings)
    runs = of_experiment(own.client, "grid", own.uri)
    trials = frames.trials_frame(frames.runs_frame(runs, "mine"))
    found = factors.of_modules(trials, metrics_of(own, trials), "bbox/AP")
    assert found is not None
    told = {tuple(effect.levels.values()): effect.estimate for effect in found.effects}
    assert told[("conv5",)] == pytest.approx(0.03, abs=1e-12)  # half of the 6 points between the levels
    assert told[("attention",)] == pytest.approx(0.01, abs=1e-12)
    assert told[("conv5", "attention")] == pytest.approx(0.0, abs=1e-12)
    assert factors.of_modules(trials.loc[trials["pre"] == "none"], metrics_of(own, trials), "bbox/AP") is None


def test_everything_that_varies_is_a_factor() -> None:
    """A second choice beside the modules, a value that was typed, and what is set of a module."""
    values = {}
    for pre, more in itertools.product(("none", "conv pre.kernel_size=3", "conv pre.kernel_size=7"), ("2", "8")):
        for recipe in ("paper", "upstream"):
            name = f"sum pre={pre} recipe={recipe} schedule.epochs={more}"
            values[name] = {str(seed): 0.3 + 0.01 * (more == "8") + seed / 1000 for seed in range(2)}
    settings = {name: {"recipe": name.split("recipe=")[1].split()[0], "pre": name[8:12].strip()} for name in values}
    found = typed(values, settings)
    told = factors.of_modules(found.trials, found.metrics, "bbox/AP")
    assert told is not None
    one_factor = {next(iter(one.levels)): one for one in told.effects if len(one.levels) == 1}
    assert set(one_factor) == {"pre", "recipe", "schedule.epochs"}
    kernels = {one.levels["pre"] for one in told.effects if list(one.levels) == ["pre"]}
    assert kernels == {"none", "conv pre.kernel_size=3", "conv pre.kernel_size=7"}
    epochs = [one.estimate for one in told.effects if list(one.levels) == ["schedule.epochs"]]
    assert epochs == [pytest.approx(-0.005), pytest.approx(0.005)]
