"""From override lists to unique trials, and for each what is to be done: nothing is written before all can be run."""

import json
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException
from rich.table import Table
from rich.text import Text

from experiments import files, names
from experiments.commands import Place
from experiments.data import datasets
from experiments.display import console
from experiments.errors import UserError, explain
from experiments.jobs import attempts
from experiments.jobs.attempts import Attempt
from experiments.paths import OutputPaths
from experiments.planning import estimate, known_types, output_folder, rehearsal, resources, stores
from experiments.planning.compose import Compose, Composer
from experiments.planning.sweep import Request
from experiments.planning.trial import Trial
from experiments.record import journal

SHOWN = 60  # trials in the table on the terminal; the plan's file has all


@dataclass
class Entry:
    """A trial of the plan: whom it serves, in what state it was found, and what is to be done."""

    trial: Trial
    memberships: dict[str, list[str]] = field(default_factory=dict)  # sweep -> rows of it that the trial serves
    state: str = attempts.TO_DO
    why: str = ""
    runs: bool = True
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
    composer.foresee(request.overrides for request in requests)
    entries: dict[str, Entry] = {}
    rows = set()
    for request in requests:
        trial = _trial(request, composer)
        entry = entries.setdefault(trial.trial_id, Entry(trial))
        rows.add((request.row.sweep, request.row.name) if request.row else trial.variant_id)
        for sweep, row in request.memberships.items():
            served = entry.memberships.setdefault(sweep, [])
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


def _trial(request: Request, composer: Composer) -> Trial:
    """Composes a trial and checks its values; UserError, which names the row of a declared sweep."""
    try:
        trial = Trial(composer(request.overrides), request.overrides)
        resources.check(trial.config)
        return trial
    except (UserError, HydraException, OmegaConfBaseException) as error:
        if request.row is None:
            raise
        reason = error if isinstance(error, UserError) else explain(error)
        raise UserError(f"sweeps/{request.row.sweep}.yaml, row {request.row.name!r}: {reason}") from error


def _look(plan: Plan) -> None:
    """Finds out the state of each trial and what is to be done about it."""
    done = estimate.measured(plan.outputs)
    for entry in plan.entries:
        attempt = attempts.last(entry.trial.paths.root)
        entry.state = attempt.state if attempt else attempts.TO_DO
        entry.runs, entry.why = _decide(entry.trial, attempt)
        entry.cost = estimate.estimate(entry.trial, done) if entry.runs else estimate.NONE


def _decide(trial: Trial, attempt: Attempt | None) -> tuple[bool, str]:
    """Returns whether a trial is to be run, and why or why not."""
    if attempt is None:
        return True, ""
    state = attempt.state
    if state == names.FINISHED:
        return trial.config["rerun"], "done again" if trial.config["rerun"] else ""
    if state == names.RUNNING:
        return False, f"attempt {attempt.number} on {attempt.host}"
    complete = len(journal.complete_epochs(trial.paths.journal))
    resumes = f"goes on after epoch {complete}" if complete else "starts anew"
    if state == attempts.INTERRUPTED:
        return True, resumes
    if attempt.transient or trial.config["retry"]["failed"]:
        return True, f"{attempt.reason}; {resumes}"
    return False, f"{attempt.reason}; mend it and add retry.failed=true"


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
        if entry.runs and entry.state == names.FINISHED:
            _replace(plan, trial)
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
    now = {split: datasets.fingerprint(part.annotations) for split, part in datasets.locate(trial.config).items()}
    paths = trial.paths
    begun = entry.state != attempts.TO_DO and not (entry.runs and entry.state == names.FINISHED)
    if begun and json.loads(paths.description.read_text())["data"] != now:
        name = trial.config["dataset"]["name"]
        raise UserError(
            f"{trial.trial_id} is {entry.state.lower()}, but on other annotations than dataset={name} now has; "
            "give the other data a name of its own (dataset.name=...) or another output_dir"
        )
    return now


def _replace(plan: Plan, trial: Trial) -> None:
    """Puts the folder of a finished trial aside, in one step."""
    plan.outputs.replaced.mkdir(exist_ok=True)
    moment = datetime.now(UTC).strftime("%Y-%m-%d_%H-%M-%S")
    trial.paths.root.rename(plan.outputs.replaced / f"{trial.trial_id}.{moment}")


def _membership(entry: Entry, asked: Sequence[str]) -> dict[str, str]:
    """Returns the tags by which a run says which sweeps it belongs to, and which rows of them it serves."""
    now = datetime.now(UTC).isoformat()
    tags = {}
    for sweep, rows in entry.memberships.items():
        key = names.sweep_key(sweep)
        tags[names.SWEEP + key] = sweep
        if sweep in asked:
            tags[names.PLANNED + key] = now
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
            "why": entry.why,
            "rows": entry.memberships,
            "device_hours": entry.cost.device_hours,
            "estimated_from": entry.cost.source,
            "gmacs": entry.cost.gmacs,
        }
        for entry in plan.entries
    ]
    content: dict[str, Any] = {"sweeps": plan.sweeps, "rows": plan.rows, "unique_trials": len(trials), "trials": trials}
    content |= {"device_hours": device_hours(plan), "made": datetime.now(UTC).isoformat()}
    files.write(path, json.dumps(content, indent=2))
    return path


def device_hours(plan: Plan) -> float | None:
    """Returns the estimate for all trials to run; None where one of them has none."""
    hours = [entry.cost.device_hours for entry in plan.to_run]
    known = [one for one in hours if one is not None]
    return sum(known) if len(known) == len(hours) else None


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


def show(plan: Plan) -> None:
    """Prints the plan: every trial, its state, and what is to be done about it."""
    total = device_hours(plan)
    cost = f", about {_hours(total)} device-hours" if total else ""
    title = f"{plan.title}: {plan.rows} rows, {len(plan.entries)} unique trials, {len(plan.to_run)} to run{cost}"
    console.print(title, markup=False, style="bold")
    table = Table()
    for column in ("variant", "seed", "rows", "state", "device-hours"):
        table.add_column(column, overflow="fold", justify="right" if column == "device-hours" else "left")
    shared = _shared_words(plan)
    for entry in plan.entries[:SHOWN]:
        state = f"{entry.state.lower()}{': ' if entry.why else ''}{entry.why}"
        rows = max((len(served) for served in entry.memberships.values()), default=0)
        hours = entry.cost.device_hours
        cost = "?" if hours is None else _hours(hours)
        cells = (
            " ".join(word for word in entry.trial.variant.split() if word not in shared),
            str(entry.trial.seed),
            str(max(rows, 1)),
            state,
            cost if entry.runs else "",
        )
        table.add_row(*(Text(cell) for cell in cells), style="" if entry.runs else "dim")
    console.print(table)
    if len(plan.entries) > SHOWN:
        console.print(f"... and {len(plan.entries) - SHOWN} more")
    sources = dict.fromkeys(entry.cost.source for entry in plan.to_run)
    if sources:
        console.print(f"estimated from: {'; '.join(sources)}", markup=False)
    for note in dict.fromkeys(filter(None, (entry.trial.note for entry in plan.to_run))):
        console.print(f"note: {note}", markup=False)


def _hours(hours: float) -> str:
    return f"{hours:.2g}" if hours < 10 else f"{hours:,.0f}"


def _shared_words(plan: Plan) -> set[str]:
    """Returns the settings that all variants have in common, which the title tells already."""
    words = [set(trial.variant.split()[2:]) for trial in plan.trials]  # but for architecture and aggregation
    return set.intersection(*words) if len({trial.variant_id for trial in plan.trials}) > 1 else set()


def summarize(plan: Plan) -> bool:
    """Says what became of the plan and how to read it; returns whether every trial is finished."""
    states = {entry.trial.trial_id: attempts.state(entry.trial.paths.root) for entry in plan.entries}
    unfinished = {trial: state for trial, state in states.items() if state != names.FINISHED}
    console.print(f"{len(states) - len(unfinished)} of {len(states)} trials finished")
    for trial, state in unfinished.items():
        attempt = attempts.last(plan.outputs.trial(trial).root)
        reason = f": {attempt.reason}" if attempt and attempt.reason else ""
        console.print(f"  {state.lower()}  {trial}{reason}", markup=False)
    if names.FAILED in unfinished.values():
        console.print(
            "the same command goes on where the others stopped; with retry.failed=true it tries the failed again"
        )
    elif set(unfinished.values()) == {names.RUNNING}:
        command = plan.place.command("experiments", "status", "--watch")
        console.print(f"another command still runs them: {command}", markup=False)
    elif unfinished:
        console.print("the same command goes on where they stopped")
    else:
        command = plan.place.command("analysis", "table", "--sweep", "last")
        console.print(f"read them: {command}   or in MLflow: {plan.place.pages()}", markup=False)
    return not unfinished
