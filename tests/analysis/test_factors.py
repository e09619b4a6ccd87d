"""Effects of factors against marginal means, an explicit solution with side conditions, and known truths."""

import itertools

import numpy as np
import pandas as pd
import pytest
from recorded import Recorder, metrics_of
from scipy import optimize

from analysis import factors, frames
from analysis.factors import Effects, effects
from analysis.runs import of_experiment

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
    assert found.freedom == 36 - (1 + 1 + 2 + 1 + 2 + 1 + 2)
    for one in found.effects:
        own = frame.loc[np.logical_and.reduce([frame[factor] == level for factor, level in one.levels.items()])]
        expected = own["value"].mean() - mean
        if len(one.levels) == 2:
            expected -= sum(estimates(found)[(item,)] for item in one.levels.items())
        assert (one.estimate, one.n) == (pytest.approx(expected, abs=1e-10), len(own))
        assert one.low < one.estimate < one.high
    assert len(found.effects) == (2 + 3 + 2) + (6 + 4 + 6)


def test_an_unbalanced_grid_with_holes_is_the_constrained_least_squares_solution() -> None:
    """By another way: one parameter for every level and pair, effects that add up to 0, a general minimizer."""
    rng = np.random.default_rng(1)
    frame = grid(rng, seeds=4, together=0.5).drop(columns="aggregation").drop_duplicates(["pre", "post", "seed"])
    frame = frame.loc[rng.random(len(frame)) < 0.7]
    found = effects(frame, ("pre", "post"))
    assert found.not_estimated == ()
    pre, post = LEVELS["pre"], LEVELS["post"]
    rows, columns = ([group.index(one) for one in frame[name]] for group, name in ((pre, "pre"), (post, "post")))

    def parts(x: np.ndarray) -> tuple[float, np.ndarray, np.ndarray, np.ndarray]:
        return x[0], x[1:4], x[4:6], x[6:].reshape(3, 2)

    def error(x: np.ndarray) -> float:
        mean, before, after, both = parts(x)
        return float(((mean + before[rows] + after[columns] + both[rows, columns] - frame["value"]) ** 2).sum())

    def sums(x: np.ndarray) -> np.ndarray:
        _, before, after, both = parts(x)
        return np.concatenate([[before.sum(), after.sum()], both.sum(axis=0), both.sum(axis=1)[:-1]])

    solved = optimize.minimize(
        error, np.full(12, 1.0), constraints={"type": "eq", "fun": sums}, tol=1e-14, options={"maxiter": 2000}
    )
    mean, before, after, both = parts(solved.x)
    assert found.mean.estimate == pytest.approx(mean, abs=1e-4)
    for levels, estimate in estimates(found).items():
        of = dict(levels)
        if len(of) == 2:
            expected = both[pre.index(of["pre"]), post.index(of["post"])]
        else:
            expected = before[pre.index(of["pre"])] if "pre" in of else after[post.index(of["post"])]
        assert estimate == pytest.approx(expected, abs=1e-4)


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
    for number in range(len(covered)):
        noisy = grid(rng, seeds=2, together=1.0).drop([0, 5])  # two trials have failed
        found = {tuple(one.levels.items()): one for one in effects(noisy, FACTORS).effects}
        covered[number] = [found[levels].low <= value <= found[levels].high for levels, value in truth.items()]
    assert covered.mean(axis=0) == pytest.approx(np.full(len(truth), 0.95), abs=0.015)


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


def test_what_the_cells_do_not_tell_is_said() -> None:
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
