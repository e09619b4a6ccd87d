"""Group-sequential tests: alpha per look, and p-values that hold over all looks."""

from functools import lru_cache

import numpy as np
from scipy import optimize, stats

NODES = 257  # of the quadrature between two boundaries
REACH = 8.0  # standard deviations; beyond them the density is negligible
LEAST, MOST = 1e-9, 0.999  # levels that a sequential p-value may have


@lru_cache(maxsize=4096)
def nominal_levels(seeds: tuple[float, ...], most: float, alpha: float) -> tuple[float, ...]:
    """Returns the two-sided p-value at which each look rejects, so that all looks together have the error `alpha`.

    Linear spending (Lan and DeMets 1983, Biometrika 70:659, the third of their functions): until the look at n of at
    most N seeds, the probability of an error is alpha n / N. The levels follow by the recursion of Armitage, McPherson
    and Rowe (1969, JRSS A 132:235) over the density of the sum of differences that no look has rejected, by the
    trapezoidal rule. They are applied to Student's p-values (Jennison and Turnbull 2000, section 4.4).

    Args:
        seeds: at each look, positive and ascending up to `most`.
        most: seeds at which all of alpha is spent.
        alpha: in 0..1, of all looks together.
    """
    levels: list[float] = []
    spent = before = 0.0
    sums = weights = np.zeros(0)  # nodes of the sum's density and its mass at them
    for n in seeds:
        to_spend = alpha * n / most - spent
        step, spread = np.sqrt(n - before), np.sqrt(n)
        bound = _bound(sums, weights, step, spread, to_spend)
        levels.append(float(2 * stats.norm.sf(bound)))
        nodes = np.linspace(-bound * spread, bound * spread, NODES)
        each = np.full(NODES, nodes[1] - nodes[0])
        each[[0, -1]] /= 2
        density = stats.norm.pdf(nodes, 0, step) if not len(sums) else _density(sums, weights, nodes, step)
        sums, weights = nodes, density * each
        spent, before = spent + to_spend, n
    return tuple(levels)


def _density(sums: np.ndarray, weights: np.ndarray, nodes: np.ndarray, step: float) -> np.ndarray:
    return np.asarray(stats.norm.pdf(nodes[:, None], sums[None], step) @ weights)


def _bound(sums: np.ndarray, weights: np.ndarray, step: float, spread: float, to_spend: float) -> float:
    """Returns the standardised boundary beyond which the sum lies, in both tails, with the probability to spend."""
    if not len(sums):
        return float(stats.norm.isf(to_spend / 2))

    def excess(bound: float) -> float:  # both tails are alike: the density is symmetric
        return float(2 * stats.norm.sf(bound * spread, sums, step) @ weights) - to_spend

    return float(optimize.brentq(excess, 0.0, REACH + 2)) if excess(REACH + 2) < 0 else REACH + 2


@lru_cache(maxsize=64)
def _tabulated(seeds: tuple[float, ...], most: float) -> tuple[np.ndarray, np.ndarray]:
    """Returns levels alpha (A,) and each look's nominal level at them (A, looks), as logarithms."""
    alphas = np.concatenate([np.geomspace(LEAST, 0.5, 80, endpoint=False), 1 - np.geomspace(0.5, 1 - MOST, 20)])
    levels = np.array([nominal_levels(seeds, most, float(alpha)) for alpha in alphas])
    return np.log(alphas), np.log(np.maximum(levels, np.finfo(float).tiny))


def p_values(nominal: np.ndarray, seeds: tuple[float, ...], most: float) -> np.ndarray:
    """Returns sequential p-values, valid at any stopping time, from each look's own; an array of the same shape.

    The sequential p-value (Liu and Anderson 2008, JASA 103:1621): the smallest alpha at which this look or an earlier
    one rejects. Those of several comparisons may be corrected together as p-values of one look are (Maurer and Bretz
    2013, Statistics in Biopharmaceutical Research 5:311).

    Args:
        nominal: two-sided p-values, in the last axis by look; NaN where nothing was tested.
        seeds: as for `nominal_levels`.
        most: the same.
    """
    alphas, levels = _tabulated(seeds, most)
    own = np.log(np.maximum(nominal, np.finfo(float).tiny))
    found = [np.interp(own[..., look], levels[:, look], alphas, right=0.0) for look, _ in enumerate(seeds)]
    return np.asarray(np.exp(np.fmin.accumulate(np.stack(found, axis=-1), axis=-1)))
