"""From lists of overrides to unique trials, with a decision on each. Nothing is written until all of them can run."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from experiments import names, output_folder
from experiments.commands import Place
from experiments.console import console
from experiments.errors import UserError
from experiments.mlflow_store import accepted
from experiments.paths import OutputPaths
from experiments.planning import decision, edited, estimate, known_types, rehearsal, resources
from experiments.planning.compose import Compose, Composer
from experiments.planning.hydra_errors import explain
from experiments.planning.identity import Trial
from experiments.planning.labels import Labels
from experiments.planning.sweep import Request
from experiments.reading import DamagedError
from experiments.settings import Settings
from experiments.trial import attempts, completeness, described, git


@dataclass
class Entry:
    """A trial of the plan: its sweeps and rows, its state, and the decision on it."""

    trial: Trial
    memberships: dict[str, list[str]] = field(default_factory=dict)  # sweep -> its rows that the trial belongs to
    state: str = attempts.TO_DO
    why: str = ""
    runs: bool = True
    trains: bool = True  # if it runs; else only the step after the last epoch runs, for a finished trial
    replaces: bool = False  # the trial's folder is moved aside, and all epochs are trained
    stale: bool = False  # code that has changed since trained a part of the trial
    places: dict[str, int] = field(default_factory=dict)  # sweep -> place of the variant in it
    cost: estimate.Estimate = estimate.NONE


@dataclass(frozen=True)
class Plan:
    """Unique trials in the order of the command line."""

    entries: tuple[Entry, ...]
    sweeps: tuple[str, ...]  # in the order of the command line
    rows: int  # rows of declared sweeps, or variants, that they belong to
    rules: Mapping[str, str] = field(default_factory=dict)  # of seed=auto, for `seeds.read`, by sweep

    @property
    def trials(self) -> list[Trial]:
        return [entry.trial for entry in self.entries]

    @property
    def to_run(self) -> list[Entry]:
        return [entry for entry in self.entries if entry.runs]

    @property
    def settings(self) -> Settings:
        """Returns the settings of the first trial; the keys on where and how to run are the same for all trials."""
        return self.entries[0].trial.settings

    @property
    def outputs(self) -> OutputPaths:
        return OutputPaths(Path(self.settings.output_dir))

    @property
    def place(self) -> Place:
        return self.settings.place

    @property
    def title(self) -> str:
        return ", ".join(self.sweeps)


def make(requests: Sequence[Request], compose: Compose) -> Plan:
    """Composes the requests, keeps each trial once and finds its state; UserError if a trial cannot run."""
    entries: dict[str, Entry] = {}
    rows = set()
    asked: dict[str, dict[str, int]] = {}  # of each sweep: variant -> place
    for request, trial in zip(requests, trials_of(requests, compose), strict=True):
        entry = entries.setdefault(trial.trial_id, Entry(trial))
        rows.add((request.row.sweep, request.row.name) if request.row else trial.variant_id)
        for sweep, row in request.memberships.items():
            served = entry.memberships.setdefault(sweep, [])
            variants = asked.setdefault(sweep, {})
            entry.places[sweep] = variants.setdefault(trial.variant_id, len(variants))
            if row is not None and row not in served:
                served.append(row)
    configs, settings = zip(*((one.trial.config, one.trial.settings) for one in entries.values()), strict=True)
    output_folder.accept_of(one.output_dir for one in settings)
    accepted.accept_of(one.place for one in settings)
    known_types.require(configs)
    rehearsal.detectors(settings)
    rehearsal.optimizers(settings)
    edited.rehearse(settings)
    plan = Plan(tuple(entries.values()), tuple(dict.fromkeys(request.sweep for request in requests)), len(rows))
    _look(plan)
    return plan


def trials_of(requests: Sequence[Request], compose: Compose) -> list[Trial]:
    """Returns each request's trial with checked values; UserError, which names the declared row."""
    composer = Composer(compose)
    labels = Labels(composer)
    return [_trial(request, composer, labels) for request in requests]


def looked_at_again(plan: Plan) -> Plan:
    """Returns the same trials with their present states."""
    entries = tuple(Entry(one.trial, one.memberships, places=one.places) for one in plan.entries)
    found = replace(plan, entries=entries)
    _look(found)
    return found


def _trial(request: Request, composer: Composer, labels: Labels) -> Trial:
    """Composes a trial and checks its values; UserError, which names the declared row."""
    try:
        config = composer(request.overrides)
        trial = Trial(config, request.overrides, labels(config))
        resources.check(trial.settings)
        return trial
    except (UserError, HydraException, OmegaConfBaseException) as error:
        if request.row is None:
            raise
        reason = error if isinstance(error, UserError) else explain(error)
        raise UserError(f"sweeps/{request.row.sweep}.yaml, row {request.row.name!r}: {reason}") from error


def _look(plan: Plan) -> None:
    """Finds the state of each trial and decides whether it runs."""
    done, source = estimate.measured(plan.outputs), cache(lambda: git.source().facts())
    for entry in plan.entries:
        try:
            _judge(entry, source)
        except DamagedError as error:  # the other trials continue; rerun=true moves the damaged folder aside
            entry.state, entry.why = attempts.DAMAGED, str(error)
            entry.runs = entry.replaces = entry.trial.settings.rerun is True
        if entry.runs and entry.trains:
            entry.cost = estimate.estimate(entry.trial, done, entry.replaces)


def _judge(entry: Entry, source: Callable[[], dict[str, Any]]) -> None:
    """Decides whether a trial runs; DamagedError if its folder is damaged."""
    attempt = attempts.last(entry.trial.paths.root)
    entry.state = attempt.state if attempt else attempts.TO_DO
    found = decision.decide(entry.trial, attempt, source)
    entry.runs, entry.why, entry.replaces, entry.stale = found.runs, found.why, found.replaces, found.stale
    if attempt and not entry.replaces and entry.trial.paths.description.exists():
        described.without_record(entry.trial.paths)  # its sweeps and data are kept
    if entry.state == names.FINISHED and not entry.runs:
        _complete(entry)


def _complete(entry: Entry) -> None:
    """Finds what is missing in a finished trial and decides on it; DamagedError if it cannot be repaired."""
    paths = entry.trial.paths
    mended, unmatched = completeness.restore(paths, dry=True), completeness.of(paths).matches
    if unmatched:
        entry.runs, entry.trains, entry.cost = True, False, estimate.Estimate(0.0, "nothing is trained")
    made = f"makes only {paths.matches.name} ({unmatched})" if unmatched else ""
    entry.why = "; ".join(filter(None, (entry.why, mended, made)))


def device_hours(plan: Plan) -> float | None:
    """Returns the estimate for all trials to run; None if one of them has none."""
    return None if any(entry.cost.device_hours is None for entry in plan.to_run) else least_hours(plan)


def least_hours(plan: Plan) -> float:
    """Returns the sum of the estimates of the trials to run that have one."""
    return sum(entry.cost.device_hours or 0.0 for entry in plan.to_run)


def estimate_unknown(plan: Plan, doing: str, of: Callable[[Trial], estimate.Estimate]) -> None:
    """Estimates each variant to run that has no estimate, with `of`; prints `doing` and the variant."""
    unknown = [entry for entry in plan.to_run if entry.cost.device_hours is None]
    variants = {entry.trial.variant_id: entry.trial for entry in unknown}
    found: dict[str, estimate.Estimate] = {}
    for number, (variant, trial) in enumerate(variants.items(), 1):
        console.print(f"{doing} {number} of {len(variants)}: {trial.variant}", markup=False)
        found[variant] = of(trial)
    for entry in unknown:
        entry.cost = found[entry.trial.variant_id]
