"""Decides for each trial of a plan whether it is trained, resumed, trained again or skipped, and why."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from experiments import names
from experiments.planning.identity import Trial
from experiments.trial import attempts, journal, origin
from experiments.trial.attempts import Attempt


@dataclass(frozen=True)
class Decision:
    """Whether a trial is run, and why or why not."""

    runs: bool
    why: str = ""
    replaces: bool = False  # the trial's folder is moved aside, and all epochs are trained
    stale: bool = False  # code that has changed since trained a part of the trial


def decide(trial: Trial, attempt: Attempt | None, source: Callable[[], dict[str, Any]]) -> Decision:
    """Returns the decision on a trial with this last attempt; `source` returns today's source as `git.Source.facts`."""
    if attempt is None:
        return Decision(True)
    state, rerun = attempt.state, trial.settings.rerun
    if state == names.RUNNING:
        return Decision(False, f"attempt {attempt.number} on {attempt.host}")
    if state == names.FINISHED and rerun is True:
        return Decision(True, "trained again", replaces=True)
    trained = origin.trained(trial.paths)
    changed = origin.changed(trained)
    if changed and rerun == "stale":
        return Decision(True, f"trained again: {changed}", replaces=True, stale=True)
    if state == names.FINISHED:
        return Decision(False, f"stale, {changed}; rerun=stale trains it again" if changed else "", stale=bool(changed))
    complete = len(journal.complete_epochs(trial.paths.journal))
    crossing = origin.crossing(trained, source()) if trained else ""
    resumes = f"resumes after epoch {complete}{crossing}" if complete else "starts at epoch 1"
    resumes += "; rerun=stale trains it again" if changed else ""
    if state == attempts.INTERRUPTED:
        return Decision(True, resumes, stale=bool(changed))
    if attempt.transient or trial.settings.retry.failed:
        return Decision(True, f"{attempt.reason}; {resumes}", stale=bool(changed))
    return Decision(False, f"{attempt.reason}; correct it and add retry.failed=true")
