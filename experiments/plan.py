"""From override lists to unique trials, frozen on disk: what a command line asks for, less what is already finished."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from rich.table import Table

from experiments import checks, datasets, names
from experiments.display import console
from experiments.errors import UserError
from experiments.sweep import Request
from experiments.trial import Trial, override_key


@dataclass(frozen=True)
class Plan:
    """Unique trials in the order they were asked for, and the sweeps that each belongs to."""

    trials: tuple[Trial, ...]
    sweeps: dict[str, list[str]]  # by trial_id

    @property
    def title(self) -> str:
        return ", ".join(dict.fromkeys(name for names_ in self.sweeps.values() for name in names_))


def make(requests: Sequence[Request], compose: Callable[[list[str]], DictConfig]) -> Plan:
    """Composes what is asked for and keeps each trial once; UserError where one cannot be run."""
    trials: dict[str, Trial] = {}
    sweeps: dict[str, list[str]] = {}
    references: dict[tuple[str, ...], dict[str, Any]] = {}  # by chosen options: the configuration with nothing else set
    for request in requests:
        checks.additions(request.overrides)
        options = tuple(item for item in request.overrides if override_key(item) in checks.GROUPS)
        checks.options(options)
        if options not in references:
            references[options] = resolve(compose(list(options)))
        trial = Trial(resolve(compose(list(request.overrides))), request.overrides)
        checks.form(trial.config, references[options])
        checks.values(trial.config)
        trials.setdefault(trial.trial_id, trial)
        members = sweeps.setdefault(trial.trial_id, [])
        if request.sweep not in members:
            members.append(request.sweep)
    configs = [trial.config for trial in trials.values()]
    checks.modules(configs)
    checks.optimizers(configs)
    return Plan(tuple(trials.values()), sweeps)


def resolve(config: DictConfig) -> dict[str, Any]:
    """Returns a composed configuration as plain dicts and lists, without Hydra's own node and with whole paths."""
    own = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    own.output_dir = str(Path(own.output_dir).expanduser().resolve())
    if own.dataset.get("root"):
        own.dataset.root = str(Path(own.dataset.root).expanduser().resolve())
    resolved = OmegaConf.to_container(own, resolve=True, throw_on_missing=True)
    assert isinstance(resolved, dict)
    return {str(key): value for key, value in resolved.items()}


def freeze(plan: Plan) -> list[Trial]:
    """Writes each trial's folder and returns the trials still to run; makes finished ones members of this sweep.

    Data sets are made or looked for first, so that what is missing stops the sweep before it starts.
    """
    from experiments.tracking import Store, membership

    splits = [datasets.locate(trial.config) for trial in plan.trials]
    store = Store(plan.trials[0].config)  # here and now, so that jobs find it made
    todo = []
    for trial, found in zip(plan.trials, splits, strict=True):
        paths = trial.paths
        data = {split: datasets.fingerprint(part.annotations) for split, part in found.items()}
        tags = membership(plan.sweeps[trial.trial_id])
        earlier = json.loads(paths.description.read_text()) if paths.description.exists() else {}
        description = {**trial.describe(), "data": data, "sweeps": {**earlier.get("sweeps", {}), **tags}}
        if finished(trial):
            _require_same_data(trial, earlier["data"], data)
            store.join(description, paths)
        else:
            paths.root.mkdir(parents=True, exist_ok=True)
            paths.config.write_text(yaml.safe_dump(trial.config, sort_keys=False))
            todo.append(trial)
        paths.description.write_text(json.dumps(description, indent=2))
    return todo


def finished(trial: Trial) -> bool:
    """Returns whether the trial's last attempt ended well."""
    outcome = trial.paths.outcome
    return outcome.exists() and json.loads(outcome.read_text())["status"] == names.FINISHED


def _require_same_data(trial: Trial, then: dict[str, str], now: dict[str, str]) -> None:
    if then != now:
        name = trial.config["dataset"]["name"]
        raise UserError(
            f"{trial.trial_id} is finished, but on other annotations than dataset={name} now has; "
            "give the other data a name of its own (dataset.name=...) or another output_dir"
        )


def show(plan: Plan, todo: Sequence[Trial]) -> None:
    """Prints the plan: every trial and whether it is to run."""
    table = Table(title=f"{plan.title}: {len(plan.trials)} trials, {len(todo)} to run", title_justify="left")
    for column in ("variant", "seed", "state", "folder"):
        table.add_column(column, overflow="fold")
    for trial in plan.trials:
        state = "to run" if trial in todo else "[green]finished[/green]"
        table.add_row(trial.variant, str(trial.seed), state, trial.trial_id)
    console.print(table)
    for note in dict.fromkeys(filter(None, (trial.note for trial in todo))):
        console.print(f"note: {note}")


def summarize(plan: Plan) -> bool:
    """Says what became of the plan and how to read it; returns whether every trial is finished."""
    unfinished = [trial for trial in plan.trials if not finished(trial)]
    console.print(f"{len(plan.trials) - len(unfinished)} of {len(plan.trials)} trials finished")
    if not unfinished:
        console.print("read them: python -m analysis table --sweep last   or in MLflow: make ui")
    return not unfinished
