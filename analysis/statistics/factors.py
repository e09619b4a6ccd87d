"""Main effects of a grid's factors and their interactions."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np
import pandas as pd
from scipy import stats

from analysis.read import frames
from analysis.statistics.means import LEVEL, Interval, Noise, holm, p_value
from experiments import names
from experiments.declared import key_of, words
from experiments.factors import FACTORS

MODULES = ("aggregation", "pre", "post")


@dataclass(frozen=True)
class Effect(Interval):
    """The effect of a level, or the interaction of several; `n` values have these levels."""

    levels: dict[str, str]  # by factor: {"pre": "conv5"}, or {"pre": "conv5", "post": "attention"}
    p: float  # Student's, two-sided, corrected for all effects of the model (Holm); NaN without freedom


@dataclass(frozen=True)
class Effects:
    """A linear model of a grid: a value is the mean and the effects of its levels; those of a factor add up to 0."""

    mean: Interval  # of all cells, equally weighted for any number of seeds
    effects: tuple[Effect, ...]
    not_estimated: tuple[tuple[str, ...], ...]  # terms that cannot be estimated from these cells
    freedom: int  # degrees of freedom left for the spread; with 0 there are no intervals
    blocked: bool  # seeds are a term of the model


def effects(values: pd.DataFrame, factors: Sequence[str], order: int = 2) -> Effects:
    """Returns the effects of factors and their interactions, by ordinary least squares with sum-to-zero coding.

    Cells may lack seeds or be absent. A term that cannot be separated from terms of at most its order is left out
    and listed; the other effects then assume that this interaction is 0. Seeds are blocks: an equal effect of a seed on
    all cells is also a term, if it can be separated from each factor. The residual gives 95 % intervals by Student's t;
    it includes terms beyond `order`. Each interval is for itself.

    Args:
        values: one row per trial, columns: the factors, the seed, and `value`; rows without a value are left out.
        factors: columns of levels; a factor with one level has no effect and is left out.
        order: how many factors an interaction has at most.

    Raises ValueError if a cell has two values of one seed.
    """
    known = values.loc[values["value"].notna()]
    if known.duplicated([*factors, names.SEED]).any():
        raise ValueError("values has a cell with two values of one seed; give each trial once")
    levels = {factor: list(dict.fromkeys(known[factor])) for factor in factors}
    varied = [factor for factor in factors if len(levels[factor]) > 1]
    codes = {factor: _code(known[factor], levels[factor]) for factor in varied}
    columns: dict[tuple[str, ...], np.ndarray] = {(): np.ones((len(known), 1))}
    absent: list[tuple[str, ...]] = []
    for size in range(1, order + 1):
        terms = {term: reduce(_products, (codes[one] for one in term)) for term in itertools.combinations(varied, size)}
        # An interaction means nothing without its main effects.
        whole = {term: own for term, own in terms.items() if not any(set(lacks) <= set(term) for lacks in absent)}
        found = {term: own for term, own in whole.items() if _independent(term, {**columns, **whole})}
        absent += [term for term in terms if term not in found]
        columns |= found
    seeds, block = list(dict.fromkeys(known[names.SEED])), np.empty((len(known), 0))
    if len(seeds) > 1:
        coded = _code(known[names.SEED], seeds)
        block = coded if _independent((names.SEED,), {**columns, (names.SEED,): coded}) else block
    return _fitted(known, levels, columns, block, tuple(absent))


def of_modules(trials: pd.DataFrame, metrics: pd.DataFrame, metric: str) -> Effects | None:
    """Returns the effects on a metric of all factors that vary in a grid; None where fewer than two vary.

    A factor is a group of options, or a single value that was overridden (schedule.epochs); an override of a module
    (pre.kernel_size) belongs to the module's level. None also where two variants have the same levels.

    Args:
        trials: of `frames.trials_frame`; those that finished count.
        metrics: of `frames.metrics_frame`.
        metric: a column of it.
    """
    finished = trials.loc[trials["status"] == names.FINISHED]
    values = finished.merge(frames.last_values(metrics)[metric], on=names.TRIAL_ID)
    of_trial = [_levels(trial) for _, trial in values.iterrows()]
    levels = pd.DataFrame(of_trial, index=values.index).fillna("")
    varied = [factor for factor in levels if levels[factor].nunique() > 1]
    cells = values[names.VARIANT_ID].nunique()
    if len(varied) < 2 or cells != len(levels[varied].drop_duplicates()):
        return None
    return effects(levels[varied].assign(**{names.SEED: values[names.SEED], "value": values[metric]}), varied)


def _levels(trial: pd.Series) -> dict[str, str]:
    """Returns a trial's level of each factor, see `of_modules`."""
    found = {factor: str(trial[factor]) for factor in FACTORS}
    for word in words(trial[names.VARIANT]):
        key, group = key_of(word), key_of(word).partition(".")[0]
        if "=" not in word or key in found:
            continue
        if group in MODULES:
            found[group] += f" {word}"
        else:
            found[key] = word.partition("=")[2]
    return found


def _fitted(
    known: pd.DataFrame,
    levels: dict[str, list[str]],
    columns: dict[tuple[str, ...], np.ndarray],
    block: np.ndarray,
    absent: tuple[tuple[str, ...], ...],
) -> Effects:
    design, observed = np.hstack([*columns.values(), block]), known["value"].to_numpy(float)
    if not len(known):
        return Effects(Interval(np.nan, np.nan, np.nan, 0), (), (), 0, blocked=False)
    solution, *_ = np.linalg.lstsq(design, observed, rcond=None)
    freedom = len(observed) - design.shape[1]
    residual = observed - design @ solution
    variance = residual @ residual / freedom if freedom else np.nan
    covariance = variance * np.linalg.inv(design.T @ design)
    reach = float(stats.t.ppf((1 + LEVEL) / 2, freedom)) if freedom else np.nan
    cells = {(factor, one): known[factor].to_numpy(object) == one for factor, own in levels.items() for one in own}
    found: list[Effect] = []
    test_of: list[int] = []  # by effect: the place of the first that is tested with it
    ends = np.cumsum([own.shape[1] for own in columns.values()])
    for (term, own), end in zip(columns.items(), ends, strict=True):
        place = slice(end - own.shape[1], end)
        weights = np.ones((1, 1))
        for factor in term:
            weights = np.kron(weights, _contrasts(len(levels[factor])))
        errors = np.sqrt(np.einsum("ij,jk,ik->i", weights, covariance[place, place], weights)).tolist()
        # Of two levels, one's effect is the other's with its sign changed: one test, not two.
        _, first, kind = np.unique(np.abs(weights), axis=0, return_index=True, return_inverse=True)
        test_of += (len(found) + first[kind]).tolist()
        of_levels = itertools.product(*(levels[factor] for factor in term))
        for chosen, estimate, error in zip(of_levels, (weights @ solution[place]).tolist(), errors, strict=True):
            of, half = dict(zip(term, chosen, strict=True)), reach * error
            n = int(np.logical_and.reduce([cells[one] for one in of.items()]).sum()) if of else len(known)
            p = p_value(estimate, Noise(error**2, freedom)) if test_of[len(found)] == len(found) else np.nan
            found.append(Effect(estimate, estimate - half, estimate + half, n, levels=of, p=p))
    mean, tested = found[0], range(1, len(found))
    corrected = holm({str(place): found[place].p for place in tested if test_of[place] == place})
    effects_ = tuple(replace(found[place], p=corrected[str(test_of[place])]) for place in tested)
    return Effects(Interval(mean.estimate, mean.low, mean.high, mean.n), effects_, absent, freedom, block.shape[1] > 0)


def _contrasts(count: int) -> np.ndarray:
    """Returns the sum-to-zero coding (levels, levels - 1): the last level has minus the sum of the others' effects."""
    return np.vstack([np.eye(count - 1), -np.ones(count - 1)])


def _code(column: pd.Series, levels: list[str]) -> np.ndarray:
    return _contrasts(len(levels))[[levels.index(one) for one in column]]


def _products(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    return (left[:, :, None] * right[:, None, :]).reshape(len(left), left.shape[1] * right.shape[1])


def _independent(term: tuple[str, ...], columns: dict[tuple[str, ...], np.ndarray]) -> bool:
    """Returns whether a term's columns are linearly independent of all others."""
    others = np.hstack([own for other, own in columns.items() if other != term])
    both = np.hstack([others, columns[term]])
    return bool(np.linalg.matrix_rank(both) == np.linalg.matrix_rank(others) + columns[term].shape[1])
