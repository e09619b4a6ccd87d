"""Reads a trial's description, its configuration, and the record by which its MLflow run is found."""

import json
import re
import textwrap
import uuid
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

from filelock import FileLock
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from experiments import files, names, seeds
from experiments.paths import OutputPaths, TrialPaths
from experiments.reading import DamagedError, content, first, of_json, of_yaml, reason_of
from experiments.sentences import shown
from experiments.settings import Settings

LONGEST = 80  # characters of a variant in a title
RECORD = re.compile("[0-9a-f]{32}")
# How tags of a sweep start.
OF_SWEEPS = (names.SWEEP, names.PLANNED, names.ASKED, names.PLACE, names.ROWS, names.RULES)
ABSENT = "restore it from a copy, or give the trial's command again; if the folder is not a trial, move it away"
REWRITTEN = "give the trial's command again, which writes the file"
RECORDLESS = "the trial's command writes a new one"


class Description(BaseModel):
    """`trial.json`, as every version has it."""

    trial_id: str
    variant_id: str
    variant: str
    overrides: list[str]
    seed: int
    factors: dict[str, str]
    kernel_sizes: dict[str, int]
    epochs: Annotated[int, Field(ge=1, lt=2**31)]
    record: str = ""
    data: dict[str, str]
    sweeps: dict[str, str]


class Tracking(BaseModel):
    """The MLflow store and experiment of a trial."""

    uri: str
    experiment: str


class Schedule(BaseModel):
    """The length of the training."""

    epochs: int


class Configuration(BaseModel):
    """What commands read of the `config.yaml` of every version."""

    output_dir: str
    tracking: Tracking
    schedule: Schedule
    dataset: dict[str, Any]
    resources: dict[str, Any]
    retry: dict[str, Any]


DESCRIPTION, CONFIGURATION, ROWS = TypeAdapter(Description), TypeAdapter(Configuration), TypeAdapter(list[str])


def folders(outputs: OutputPaths) -> list[TrialPaths]:
    """Returns every folder among the trials, also those that are not trials; OSError if they cannot be listed.

    Hidden folders belong to other programs and are left out.
    """
    found = sorted(outputs.trials.iterdir()) if outputs.trials.exists() else []
    return [TrialPaths(path) for path in found if path.name[0] != "." and (path.is_dir() or path.is_symlink())]


def read(paths: TrialPaths) -> dict[str, Any]:
    """Returns the content of `trial.json` and the trial's record; DamagedError if it cannot be used."""
    found = without_record(paths)
    own = _valid(found.get(names.RECORD)) or noted(paths)
    if own is None:
        raise DamagedError(paths.record, "is empty or damaged, and trial.json has no copy of it", RECORDLESS)
    return found | {names.RECORD: own}


def without_record(paths: TrialPaths) -> dict[str, Any]:
    """Returns the same without the record, which may be lost."""
    path = paths.description
    try:
        if not path.exists():
            raise DamagedError(paths.root, f"has no {path.name}", ABSENT)
    except OSError:  # the folder cannot be read; the next line reports it
        content(path)
    known, found = of_json(path, DESCRIPTION)
    if found.trial_id != paths.root.name:
        raise DamagedError(path, f"belongs to another trial, {found.trial_id}")
    try:
        _check(found.sweeps)
    except ValidationError as error:
        raise DamagedError(path, f"is damaged ({first(error)})") from error
    except ValueError as error:
        raise DamagedError(path, f"is damaged ({reason_of(error)})") from error
    return known


def _check(sweeps: dict[str, str]) -> None:
    """Raises ValueError for a tag that is not one of a sweep's, or whose value cannot be read."""
    for tag, value in sweeps.items():
        if not tag.startswith(OF_SWEEPS):  # it would replace another tag of the run
            raise ValueError(f"{shown(tag)} is not a tag of a sweep")
        if tag.startswith((names.PLANNED, names.ASKED)) and datetime.fromisoformat(value).tzinfo is None:
            raise ValueError("the time of a sweep's plan is not a time")
        if tag.startswith(names.ROWS):
            ROWS.validate_json(value, strict=True)
        if tag.startswith(names.RULES):
            seeds.read(value)


def configuration(paths: TrialPaths) -> dict[str, Any]:
    """Returns the frozen configuration; DamagedError if a key that every command reads is missing."""
    return of_yaml(paths.config, CONFIGURATION)


def settings(paths: TrialPaths) -> Settings:
    """Returns the settings of a trial whose configuration this version wrote; DamagedError for another version."""
    config = configuration(paths)
    try:
        return Settings.model_validate(config)
    except ValidationError as error:
        raise DamagedError(paths.config, f"was written by another version ({first(error)})", REWRITTEN) from error


def record(paths: TrialPaths, lock: Path) -> str:
    """Returns the trial's record, which finds its MLflow run; the first command that plans the trial creates it.

    A damaged or lost file is restored from `trial.json`, or else gets a new record.

    Args:
        paths: of the trial.
        lock: of the output folder, held during the call.
    """
    with FileLock(lock):
        found = own_record(paths) or uuid.uuid4().hex
        if noted(paths) != found:
            files.write(paths.record, found)
    return found


def own_record(paths: TrialPaths) -> str | None:
    """Returns the record of a trial's folder, even if other files are damaged; None if there is none."""
    return _described(paths) or noted(paths)


def noted(paths: TrialPaths) -> str | None:
    """Returns the record from its own file; None if that is damaged or missing."""
    try:
        return _valid(paths.record.read_text())
    except (OSError, ValueError):
        return None


def _described(paths: TrialPaths) -> str | None:
    """Returns the record from `trial.json`, even if other fields are damaged."""
    try:
        known = json.loads(paths.description.read_bytes())
        return _valid(known[names.RECORD])
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _valid(text: Any) -> str | None:
    return text if isinstance(text, str) and RECORD.fullmatch(text) else None


def title(description: dict[str, Any]) -> str:
    """Returns a trial's name in lists. A long variant is cut: PostgreSQL takes 250 characters of a run's name."""
    variant = textwrap.shorten(description[names.VARIANT], LONGEST, placeholder=" ...")
    return f"{variant} s{description[names.SEED]}"
