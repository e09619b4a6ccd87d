"""Writes the folders of a plan's trials: each trial's description, sweeps and configuration."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import yaml

from experiments import files, names, output_folder, seeds
from experiments.console import console
from experiments.data import datasets
from experiments.errors import UserError
from experiments.paths import TrialPaths
from experiments.planning.plan import Entry, Plan
from experiments.reading import DamagedError
from experiments.trial import attempts, described, provenance


def freeze(plan: Plan) -> None:
    """Writes the folders of the trials to run, and adds the plan's sweeps to the other trials.

    Data sets and store are created first, so that anything missing stops the sweep before it starts.
    """
    from experiments.mlflow_store.runs import Store, deliver

    usable = [entry for entry in plan.entries if entry.runs or entry.state != attempts.DAMAGED]
    data = [_fingerprints(entry) for entry in usable]
    output_folder.mark(plan.outputs.root)
    store = Store(plan.place)  # created now, so that jobs find it
    for entry, fingerprints in zip(usable, data, strict=True):
        trial, paths = entry.trial, entry.trial.paths
        there = _earlier(paths).get("sweeps", {})
        if entry.replaces:
            output_folder.put_aside(plan.outputs, paths)
            there = {tag: text for tag, text in there.items() if tag.startswith(names.ASKED)}
        tags = {**_asked(entry), **there, **membership(entry, plan.sweeps), **_rules(entry, there, plan.rules)}
        paths.root.mkdir(parents=True, exist_ok=True)
        record = described.record(paths, plan.outputs.record_lock)
        description = {**trial.describe(), names.RECORD: record, "data": fingerprints, "sweeps": tags}
        files.write(paths.description, json.dumps(description, indent=2))
        if entry.runs or not paths.config.exists():
            files.write(paths.config, yaml.dump(trial.config, Dumper=yaml.CSafeDumper, sort_keys=False))
        if entry.runs:
            paths.stop.unlink(missing_ok=True)
        elif entry.state != names.RUNNING:  # else the command that runs it reads the description
            try:
                deliver(store, paths)
            except DamagedError as error:
                console.print(f"not delivered to MLflow: {error}", style="yellow", markup=False)


def _asked(entry: Entry) -> dict[str, str]:
    """Returns the tags that record when each sweep first planned a trial, here now."""
    now = datetime.now(UTC).isoformat()
    return {names.ASKED + names.sweep_key(sweep): now for sweep in entry.memberships}


def _rules(entry: Entry, there: Mapping[str, str], made: Mapping[str, str]) -> dict[str, str]:
    """Returns the tags with the rules of a trial's sweeps: the recorded rules or the plan's, whichever are earlier."""
    found = {}
    for sweep in entry.memberships.keys() & made.keys():
        tag = names.RULES + names.sweep_key(sweep)
        texts = (made[sweep], there[tag]) if tag in there else (made[sweep],)
        found[tag] = seeds.earliest(*map(seeds.read, texts)).text()
    return found


def _earlier(paths: TrialPaths) -> dict[str, Any]:
    """Returns the content of `trial.json`; an empty dict if it is missing or damaged."""
    with suppress(DamagedError):
        return described.without_record(paths)
    return {}


def _fingerprints(entry: Entry) -> dict[str, str]:
    """Returns the hashes of a trial's annotation files; UserError if the trial has started with other files."""
    trial = entry.trial
    now = {split: part.sha256 for split, part in datasets.locate(trial.settings).items()}
    paths = trial.paths
    begun = entry.state != attempts.TO_DO and not entry.replaces
    if begun and _begun_on(paths) not in (None, now):
        name = trial.settings.dataset.name
        raise UserError(
            f"{trial.trial_id} is {entry.state.lower()}, but with other annotation files than dataset={name} has now; "
            "give the new data another name (dataset.name=...) or another output_dir"
        )
    return now


def _begun_on(paths: TrialPaths) -> dict[str, str] | None:
    """Returns the hashes of the annotation files that a trial has started with; None if unknown."""
    if paths.description.exists():
        return dict(described.without_record(paths)["data"])
    try:
        noted = provenance.read(paths, attempts.numbers(paths.root)[-1]).get("data", {})
    except DamagedError:
        return None
    found = {split: facts.get("sha256") for split, facts in noted.items()}
    return found if all(found.values()) and found else None


def membership(entry: Entry, asked: Sequence[str]) -> dict[str, str]:
    """Returns the tags with a run's sweeps, its places in them, and the rows that it belongs to."""
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
