"""Words that tables and figures share: captions, and the states of trials."""

from collections.abc import Hashable

import pandas as pd

from analysis.read import rows, source_versions
from analysis.read.study import Part
from experiments import names

IN_CAPTION = ("profile", "dataset", "recipe", "schedule")


def context(lines: pd.DataFrame) -> dict[str, str]:
    """Returns profile, dataset, recipe and schedule of the trials; several values of one are joined by " + "."""
    trials = rows.recorded(lines)
    return {factor: " + ".join(str(value) for value in trials[factor].unique()) for factor in IN_CAPTION}


def about(part: Part) -> str:
    """Returns one line: sweep, profile, dataset, recipe, schedule and the number of different seeds."""
    seeds = part.lines[names.SEED].nunique()
    words = [f"{factor} {value or 'not recorded'}" for factor, value in context(part.lines).items()]
    return ", ".join([f"sweep {part.sweep}", *words, f"{seeds} seed{'s' * (seeds != 1)}"])


def caption(part: Part) -> str:
    """Returns the same after the table's number: "Table III: Ablation on pre-processing (sweep table3, ...)"."""
    declaration = part.declaration
    if declaration is None:
        return about(part)
    number = f"Table {declaration.table}: " if declaration.table else ""
    return f"{number}{declaration.caption.rstrip('.')} ({about(part)})"


def source(lines: pd.DataFrame) -> str:
    """Returns which commits the trials ran: "12 trials at commit 1f2e3d4c5b6a"."""
    trials = rows.recorded(lines)
    found = {commit for tag in trials[names.COMMIT] for commit in source_versions.commits(tag)}
    commits = [commit or "not recorded" for commit in sorted(found)]
    count = f"{len(trials)} trial{'s' * (len(trials) != 1)}"
    return f"{count} at commit{'s' * (len(commits) > 1)} {', '.join(commits)}" if len(trials) else ""


def rest(part: Part) -> str:
    """Returns the command for the rows and seeds that have not run, "" if there are none."""
    command = rows.what_runs_the_rest(part.sweep, part.lines)
    return f"`{command}` runs what is not run yet." if command else ""


def state(status: str, reason: str, last_epoch: int | None) -> str:
    """Returns why a trial has no result: "failed: out of memory", "running, epoch 3"; "" if it has one.

    `last_epoch` is the last one evaluated, None before the first; a finished run without one has no result.
    """
    if status == names.FINISHED:
        return "" if last_epoch is not None else "finished without metrics"
    if status in (names.FAILED, names.KILLED):
        return f"{status.lower()}: {reason}" if reason else status.lower()
    if status == rows.NOT_RUN:
        return status.lower()
    return f"{status.lower()}, epoch {last_epoch}" if last_epoch is not None else f"{status.lower()}, no epoch yet"


def states(by_seed: dict[Hashable, str]) -> str:
    """Returns the states of one variant's trials in a line, equal ones together; "" if all have a result."""
    told = {seed: text for seed, text in by_seed.items() if text}
    if len(set(by_seed.values())) == 1:
        return next(iter(told.values()), "")
    together: dict[str, list[str]] = {}
    for seed, text in told.items():
        together.setdefault(text, []).append(str(seed))
    return "; ".join(f"seed{'s' * (len(who) > 1)} {', '.join(who)} {text}" for text, who in together.items())
