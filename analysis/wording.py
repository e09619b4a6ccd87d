"""Words that tables and figures share: what a set of trials is about and how far a trial came."""

from collections.abc import Hashable

import pandas as pd

from experiments import names

IN_CAPTION = ("profile", "dataset", "recipe", "schedule")


def context(trials: pd.DataFrame) -> dict[str, str]:
    """Returns profile, dataset, recipe and schedule of the trials; several values of one are joined by " + "."""
    return {factor: " + ".join(str(value) for value in trials[factor].unique()) for factor in IN_CAPTION}


def caption(sweep: str, trials: pd.DataFrame) -> str:
    """Returns one line: sweep, profile, dataset, recipe, schedule and the number of different seeds."""
    seeds = trials[names.SEED].nunique()
    words = [f"{factor} {value or 'not recorded'}" for factor, value in context(trials).items()]
    return ", ".join([f"sweep {sweep}", *words, f"{seeds} seed{'s' * (seeds != 1)}"])


def state(status: str, reason: str, last_epoch: int | None) -> str:
    """Returns why a trial has no result: "failed: out of memory", "running, epoch 3"; "" where it has one.

    `last_epoch` is the last one evaluated, None before the first; a finished run without any is no result.
    """
    if status == names.FINISHED:
        return "" if last_epoch is not None else "finished without metrics"
    if status in (names.FAILED, names.KILLED):
        return f"{status.lower()}: {reason}" if reason else status.lower()
    return f"{status.lower()}, epoch {last_epoch}" if last_epoch is not None else f"{status.lower()}, no epoch yet"


def states(by_seed: dict[Hashable, str]) -> str:
    """Returns the states of one variant's trials in a line, equal ones together; "" where all have a result."""
    told = {seed: text for seed, text in by_seed.items() if text}
    if len(by_seed) == 1:
        return next(iter(told.values()), "")
    together: dict[str, list[str]] = {}
    for seed, text in told.items():
        together.setdefault(text, []).append(str(seed))
    return "; ".join(f"seed{'s' * (len(who) > 1)} {', '.join(who)} {text}" for text, who in together.items())
