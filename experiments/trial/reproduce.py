"""Returns the commands that reproduce a trial's result, and what has changed since."""

import shlex
from typing import Any

from pydantic import BaseModel, TypeAdapter

from experiments import names
from experiments.commands import override
from experiments.data import datasets
from experiments.declared import key_of
from experiments.errors import UserError
from experiments.reading import of_json
from experiments.sentences import shown
from experiments.trial import described, origin, provenance
from experiments.trial.status import Progress


class Imported(BaseModel):
    """The keys of `imported.json` that other commands read."""

    file: str


IMPORTED = TypeAdapter(Imported)


def commands(trial: Progress) -> list[str]:
    """Returns the commands, in order; UserError if the trial has no provenance."""
    _provenance(trial)
    trained = origin.trained(trial.paths) or origin.parts(trial.paths)
    overrides = [shlex.quote(item) for item in _overrides(trial)]
    run = f".venv/bin/python run.py {' '.join(overrides)} output_dir=outputs/again"
    lines = []
    if len(trained) > 1:
        lines.append(f"# several sources trained it, one after the other: {origin.commits(trained)}")
    for part, following in zip(trained, [*trained[1:], None], strict=True):
        commit, difference = part.source["commit"], trial.paths.difference(part.attempt)
        patch = f"--whitespace=nowarn {shlex.quote(str(difference))}" if difference.exists() else None
        lines += [f"git checkout {commit}"] if commit else []
        lines += [f"git apply {patch}"] if patch else []
        lines += ["make setup", run]
        if following is not None:
            lines[-1] += f"  # press Ctrl-C once during epoch {part.last}, to stop after it"
            lines += [f"git apply --reverse {patch}"] if patch else []
    return lines


def _overrides(trial: Progress) -> list[str]:
    """Returns the overrides, with the absolute path of the data, because a relative path depends on the folder."""
    root = described.configuration(trial.paths)["dataset"].get("root")
    typed = trial.description[names.OVERRIDES]
    return [override("dataset.root", root) if key_of(item) == "dataset.root" else item for item in typed]


def warnings(trial: Progress) -> list[str]:
    """Returns a sentence for everything that has changed since the trial ran."""
    then = _provenance(trial)
    now = provenance.gather()
    trained = origin.trained(trial.paths)
    found = [f"then: {sentence}" for sentence in then.get("lacking", ())]
    found += [changed] if (changed := origin.changed(trained)) else []
    if trial.paths.imported.exists():
        file = of_json(trial.paths.imported, IMPORTED)[1].file
        found.append(f"it was imported from {file}: read its overrides and its patch before you use them")
    if then["source"]["commit"] != now["source"]["commit"]:
        found.append(f"the commit was {then['source']['commit']}, now it is {now['source']['commit']}")
    if then["source"]["untracked"]:
        found.append(f"the tree had untracked files: {', '.join(then['source']['untracked'])}")
    if origin.differs(then["source"], now["source"]):
        found.append("files in the tree have changed since")
    for name in sorted({*then["packages"], *now["packages"]}):
        versions = then["packages"].get(name), now["packages"].get(name)
        if versions[0] != versions[1]:
            found.append(f"{name} was {versions[0] or 'absent'}, now it is {versions[1] or 'absent'}")
    if then["machine"]["gpus"] != now["machine"]["gpus"]:
        found.append(f"GPUs were {then['machine']['gpus'] or 'none'}, now they are {now['machine']['gpus'] or 'none'}")
    return [shown(one, 10**6) for one in found + _data(trial)]


def _data(trial: Progress) -> list[str]:
    try:
        settings = described.settings(trial.paths).model_copy(update={"output_dir": str(trial.paths.root.parents[1])})
        now = {split: part.sha256 for split, part in datasets.locate(settings).items()}
    except UserError as error:
        return [f"its data cannot be read: {error}"]
    return [] if now == trial.description["data"] else ["its annotation files have changed since"]


def _provenance(trial: Progress) -> dict[str, Any]:
    if trial.damage:
        raise UserError(trial.damage)
    if trial.attempt is None or not trial.paths.provenance(trial.attempt.number).exists():
        raise UserError(f"{trial.paths.root.name} has never started, so there is nothing to reproduce; start it first")
    return provenance.read(trial.paths, trial.attempt.number)
