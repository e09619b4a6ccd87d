"""What a trial's folder says of the trial: its description, the record by which its run is found, its configuration."""

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

LONGEST = 80  # characters of a variant in a title
RECORD = re.compile("[0-9a-f]{32}")
# How tags of a sweep start.
OF_SWEEPS = (names.SWEEP, names.PLANNED, names.ASKED, names.PLACE, names.ROWS, names.RULES)
ABSENT = "bring it back from a copy, or give the trial's command again; move away a folder that is no trial"
RECORDLESS = "the trial's command makes another"


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
    """Where a trial's run is."""

    uri: str
    experiment: str


class Schedule(BaseModel):
    """How long it trains."""

    epochs: int


class Settings(BaseModel):
    """What every command reads of `config.yaml`."""

    output_dir: str
    tracking: Tracking
    schedule: Schedule
    dataset: dict[str, Any]
    resources: dict[str, Any]
    retry: dict[str, Any]


DESCRIPTION, SETTINGS, ROWS = TypeAdapter(Description), TypeAdapter(Settings), TypeAdapter(list[str])


def folders(outputs: OutputPaths) -> list[TrialPaths]:
    """Returns every folder among the trials, also one that is no trial; OSError where they cannot be listed.

    Hidden ones are other programs'.
    """
    found = sorted(outputs.trials.iterdir()) if outputs.trials.exists() else []
    return [TrialPaths(path) for path in found if path.name[0] != "." and (path.is_dir() or path.is_symlink())]


def read(paths: TrialPaths) -> dict[str, Any]:
    """Returns what `trial.json` says, with the trial's record; DamagedError where that cannot be used."""
    found = without_record(paths)
    own = _valid(found.get(names.RECORD)) or noted(paths)
    if own is None:
        raise DamagedError(paths.record, "is empty or damaged, and trial.json does not have it", RECORDLESS)
    return found | {names.RECORD: own}


def without_record(paths: TrialPaths) -> dict[str, Any]:
    """Returns the same for what does without a record, or makes one."""
    path = paths.description
    try:
        if not path.exists():
            raise DamagedError(paths.root, f"has no {path.name}", ABSENT)
    except OSError:  # of the folder, which the next line says
        content(path)
    known, found = of_json(path, DESCRIPTION)
    if found.trial_id != paths.root.name:
        raise DamagedError(path, f"is of another trial, {found.trial_id}")
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
            raise ValueError(f"{shown(tag)} is no tag of a sweep")
        if tag.startswith((names.PLANNED, names.ASKED)) and datetime.fromisoformat(value).tzinfo is None:
            raise ValueError("a sweep is planned at no time of the world")
        if tag.startswith(names.ROWS):
            ROWS.validate_json(value, strict=True)
        if tag.startswith(names.RULES):
            seeds.read(value)


def configuration(paths: TrialPaths) -> dict[str, Any]:
    """Returns the frozen configuration; DamagedError where it lacks what every command reads of it."""
    return of_yaml(paths.config, SETTINGS)


def record(paths: TrialPaths, lock: Path) -> str:
    """Returns by what the trial's run is found again: made once, however many commands plan the trial together.

    It is never empty: what its own file no longer says is restored from `trial.json`, or else made.

    Args:
        paths: of the trial.
        lock: of the output folder, held meanwhile.
    """
    with FileLock(lock):
        found = own_record(paths) or uuid.uuid4().hex
        if noted(paths) != found:
            files.write(paths.record, found)
    return found


def own_record(paths: TrialPaths) -> str | None:
    """Returns the record of a trial's folder, whatever else in it is damaged; None where there is none."""
    return _described(paths) or noted(paths)


def noted(paths: TrialPaths) -> str | None:
    """Returns the record that its own file has; None where that is damaged, or not there."""
    try:
        return _valid(paths.record.read_text())
    except (OSError, ValueError):
        return None


def _described(paths: TrialPaths) -> str | None:
    """Returns the record that `trial.json` has, whatever else is in it."""
    try:
        known = json.loads(paths.description.read_bytes())
        return _valid(known[names.RECORD])
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _valid(text: Any) -> str | None:
    return text if isinstance(text, str) and RECORD.fullmatch(text) else None


def title(description: dict[str, Any]) -> str:
    """Returns a trial's name in lists, a long variant cut; PostgreSQL takes no run's name above 250 characters."""
    variant = textwrap.shorten(description[names.VARIANT], LONGEST, placeholder=" ...")
    return f"{variant} s{description[names.SEED]}"
