"""From override lists to unique trials, and for each what is to be done: nothing is written before all can be run."""

import json
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from experiments import files, names
from experiments.commands import Place
from experiments.data import datasets
from experiments.display import console
from experiments.errors import UserError, explain
from experiments.jobs import attempts
from experiments.paths import OutputPaths
from experiments.planning import decision, estimate, known_types, output_folder, rehearsal, resources, stores
from experiments.planning.compose import Compose, Composer
from experiments.planning.labels import Labels
from experiments.planning.sweep import Request
from experiments.planning.trial import Trial
from experiments.record import git, whole


@dataclass
class Entry:
    """A trial of the plan: whom it serves, in what state it was found, and what is to be done."""

    trial: Trial
    memberships: dict[str, list[str]] = field(default_factory=dict)  # sweep -> rows of it that the trial serves
    state: str = attempts.TO_DO
    why: str = ""
    runs: bool = True
    trains: bool = True  # if it runs; else only what follows the last epoch is made, of a finished trial
    replaces: bool = False  # what is there is put aside, and all epochs are trained
    stale: bool = False  # other code trained what is there
    places: dict[str, int] = field(default_factory=dict)  # sweep -> place of the variant among those it asks for
    cost: estimate.Estimate = estimate.NONE


@dataclass(frozen=True)
class Plan:
    """Unique trials in the order they were asked for."""

    entries: tuple[Entry, ...]
    sweeps: tuple[str, ...]  # as asked for
    rows: int  # rows of declared sweeps, or variants, that they serve

    @property
    def trials(self) -> list[Trial]:
        return [entry.trial for entry in self.entries]

    @property
    def to_run(self) -> list[Entry]:
        return [entry for entry in self.entries if entry.runs]

    @property
    def settings(self) -> dict[str, Any]:
        """Returns the configuration of the first trial, for what all have in common: where and how to run."""
        return self.entries[0].trial.config

    @property
    def outputs(self) -> OutputPaths:
        return OutputPaths(Path(self.settings["output_dir"]))

    @property
    def place(self) -> Place:
        return Place.of(self.settings)

    @property
    def title(self) -> str:
        return ", ".join(self.sweeps)


def make(requests: Sequence[Request], compose: Compose) -> Plan:
    """Composes what is asked for, keeps each trial once and looks how far it is; UserError where one cannot be run."""
    composer = Composer(compose)
    labels = Labels(composer)
    composer.foresee(request.overrides for request in requests)
    entries: dict[str, Entry] = {}
    rows = set()
    asked: dict[str, dict[str, int]] = {}  # of each sweep: variant -> place
    for request in requests:
        trial = _trial(request, composer, labels)
        entry = entries.setdefault(trial.trial_id, Entry(trial))
        rows.add((request.row.sweep, request.row.name) if request.row else trial.variant_id)
        for sweep, row in request.memberships.items():
            served = entry.memberships.setdefault(sweep, [])
            variants = asked.setdefault(sweep, {})
            entry.places[sweep] = variants.setdefault(trial.variant_id, len(variants))
            if row is not None and row not in served:
                served.append(row)
    configs = [entry.trial.config for entry in entries.values()]
    output_folder.accept_of(configs)
    stores.accept_of(configs)
    known_types.require(configs)
    rehearsal.detectors(configs)
    rehearsal.optimizers(configs)
    plan = Plan(tuple(entries.values()), tuple(dict.fromkeys(request.sweep for request in requests)), len(rows))
    _look(plan)
    return plan


def _trial(request: Request, composer: Composer, labels: Labels) -> Trial:
    """Composes a trial and checks its values; UserError, which names the row of a declared sweep."""
    try:
        config = composer(request.overrides)
        resources.check(config)
        return Trial(config, request.overrides, labels(config))
    except (UserError, HydraException, OmegaConfBaseException) as error:
        if request.row is None:
            raise
        reason = error if isinstance(error, UserError) else explain(error)
        raise UserError(f"sweeps/{request.row.sweep}.yaml, row {request.row.name!r}: {reason}") from error


def _look(plan: Plan) -> None:
    """Finds out the state of each trial and what is to be done about it."""
    done, source = estimate.measured(plan.outputs), cache(lambda: git.source().facts())
    for entry in plan.entries:
        attempt = attempts.last(entry.trial.paths.root)
        entry.state = attempt.state if attempt else attempts.TO_DO
        found = decision.decide(entry.trial, attempt, source)
        entry.runs, entry.why, entry.replaces, entry.stale = found.runs, found.why, found.replaces, found.stale
        if entry.state == names.FINISHED and not entry.runs:
            _complete(entry)
        elif entry.runs:
            entry.cost = estimate.estimate(entry.trial, done, entry.replaces)


def _complete(entry: Entry) -> None:
    """Finds out what a finished trial lacks and what is done about it; UserError where nothing can be."""
    paths = entry.trial.paths
    mended, unmatched = whole.restore(paths, dry=True), whole.of(paths).matches
    if unmatched:
        entry.runs, entry.trains, entry.cost = True, False, estimate.Estimate(0.0, "nothing is trained")
    made = f"makes {paths.matches.name} alone ({unmatched})" if unmatched else ""
    entry.why = "; ".join(filter(None, (entry.why, mended, made)))


def look_at_data(plan: Plan) -> None:
    """Judges the data that are there and prints a note on each file that needs one; UserError where one cannot be used.

    A plan may be made without data; `freeze` needs them to be there. What was found is kept once all has passed.
    """
    for note in dict.fromkeys(note for trial in plan.trials for note in datasets.look(trial.config)):
        console.print(f"note: {note}", markup=False)
    for trial in plan.trials:
        datasets.keep(trial.config)


def freeze(plan: Plan) -> None:
    """Writes the folders of the trials to run, and makes the others members of the sweeps that ask for them.

    Data sets are made first, and the store, so that what is missing stops the sweep before it starts.
    """
    from experiments.record.tracking import Store, deliver

    data = [_fingerprints(entry) for entry in plan.entries]
    output_folder.mark(plan.outputs.root)
    store = Store(plan.settings)  # here and now, so that jobs find it made
    for entry, fingerprints in zip(plan.entries, data, strict=True):
        trial, paths = entry.trial, entry.trial.paths
        if entry.replaces:
            output_folder.put_aside(plan.outputs, paths)
        earlier = json.loads(paths.description.read_text()) if paths.description.exists() else {}
        tags = {**earlier.get("sweeps", {}), **_membership(entry, plan.sweeps)}
        paths.root.mkdir(parents=True, exist_ok=True)
        files.create(paths.record, uuid.uuid4().hex)  # once, however many commands plan the trial together
        record = paths.record.read_text()
        description = {**trial.describe(), names.RECORD: record, "data": fingerprints, "sweeps": tags}
        files.write(paths.description, json.dumps(description, indent=2))
        if entry.runs:
            paths.stop.unlink(missing_ok=True)
            files.write(paths.config, yaml.dump(trial.config, Dumper=yaml.CSafeDumper, sort_keys=False))
        elif entry.state != names.RUNNING:  # else whoever runs it reads the description
            deliver(store, paths)


def _fingerprints(entry: Entry) -> dict[str, str]:
    """Returns the hashes of a trial's annotation files; UserError where it was begun on others."""
    trial = entry.trial
    now = {split: part.sha256 for split, part in datasets.locate(trial.config).items()}
    paths = trial.paths
    begun = entry.state != attempts.TO_DO and not entry.replaces
    if begun and json.loads(paths.description.read_text())["data"] != now:
        name = trial.config["dataset"]["name"]
        raise UserError(
            f"{trial.trial_id} is {entry.state.lower()}, but on other annotations than dataset={name} now has; "
            "give the other data a name of its own (dataset.name=...) or another output_dir"
        )
    return now


def _membership(entry: Entry, asked: Sequence[str]) -> dict[str, str]:
    """Returns the tags by which a run says which sweeps it belongs to, where, and which rows of them it serves."""
    now = datetime.now(UTC).isoformat()
    tags = {}
    for sweep, rows in entry.memberships.items():
        key = names.sweep_key(sweep)
        tags[names.SWEEP + key] = sweep
        if sweep in asked:
            tags[names.PLANNED + key] = now
        if sweep in entry.places:
            tags[names.PLACE + key] = str(entry.places[sweep])
        if rows:
            tags[names.ROWS + key] = json.dumps(rows)
    return tags


def write(plan: Plan) -> Path:
    """Writes the plan as JSON and returns the file."""
    path = plan.outputs.plan(names.sweep_key(plan.title))
    output_folder.mark(plan.outputs.root)
    path.parent.mkdir(exist_ok=True)
    trials = [
        {
            "id": entry.trial.trial_id,
            "variant": entry.trial.variant,
            "seed": entry.trial.seed,
            "overrides": list(entry.trial.overrides),
            "state": entry.state.lower(),
            "to_run": entry.runs,
            "stale": entry.stale,
            "why": entry.why,
            "rows": entry.memberships,
            "device_hours": entry.cost.device_hours,
            "estimated_from": entry.cost.source,
            "gmacs": entry.cost.gmacs,
        }
        for entry in plan.entries
    ]
    content: dict[str, Any] = {"sweeps": plan.sweeps, "rows": plan.rows, "unique_trials": len(trials), "trials": trials}
    content |= {"device_hours": device_hours(plan), "device_hours_at_least": least_hours(plan)}
    content |= {"made": datetime.now(UTC).isoformat()}
    files.write(path, json.dumps(content, indent=2))
    return path


def device_hours(plan: Plan) -> float | None:
    """Returns the estimate for all trials to run; None where one of them has none."""
    return None if any(entry.cost.device_hours is None for entry in plan.to_run) else least_hours(plan)


def least_hours(plan: Plan) -> float:
    """Returns the estimate for those trials to run that have one."""
    return sum(entry.cost.device_hours or 0.0 for entry in plan.to_run)


def estimate_unknown(plan: Plan, doing: str, of: Callable[[Trial], estimate.Estimate]) -> None:
    """Gives an estimate, made once for each variant, to every trial that is to run and has none; tells what it does."""
    unknown = [entry for entry in plan.to_run if entry.cost.device_hours is None]
    variants = {entry.trial.variant_id: entry.trial for entry in unknown}
    found: dict[str, estimate.Estimate] = {}
    for number, (variant, trial) in enumerate(variants.items(), 1):
        console.print(f"{doing} {number} of {len(variants)}: {trial.variant}", markup=False)
        found[variant] = of(trial)
    for entry in unknown:
        entry.cost = found[entry.trial.variant_id]


def summarize(plan: Plan) -> bool:
    """Says what became of the plan and how to read it; returns whether every trial is finished."""
    states = {entry.trial.trial_id: attempts.state(entry.trial.paths.root) for entry in plan.entries}
    unfinished = {trial: state for trial, state in states.items() if state != names.FINISHED}
    finished = [entry.trial for entry in plan.entries if entry.trial.trial_id not in unfinished]
    unmatched = {trial.trial_id: why for trial in finished if (why := whole.of(trial.paths).matches)}
    console.print(f"{len(states) - len(unfinished)} of {len(states)} trials finished")
    failed_for_good = False
    for trial, state in unfinished.items():
        attempt = attempts.last(plan.outputs.trial(trial).root)
        reason = f": {attempt.reason}" if attempt and attempt.reason else ""
        console.print(f"  {state.lower()}  {trial}{reason}", markup=False)
        failed_for_good |= attempt is not None and state == names.FAILED and not attempt.transient
    if failed_for_good:
        console.print(
            "the same command goes on where the others stopped; with retry.failed=true it tries the failed again"
        )
    elif set(unfinished.values()) == {names.RUNNING}:
        command = plan.place.command("experiments", "status", "--watch")
        console.print(f"another command still runs them: {command}", markup=False)
    elif unfinished:
        console.print("the same command goes on where they stopped")
    elif not unmatched:
        command = plan.place.command("analysis", "table", "--sweep", "last")
        console.print(f"read them: {command}   or in MLflow: {plan.place.pages()}", markup=False)
    for trial_id, why in unmatched.items():
        console.print(f"  finished  {trial_id}, without matches.npz: {why}", style="yellow", markup=False)
    if unmatched:
        console.print("the same command makes matches.npz, without training; tables have all else", style="yellow")
    return not unfinished and not unmatched
