"""Whether the files of a trial are as this program writes them, where others have sent them. Nothing is executed."""

import json
import math
import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import ParamSpec, TypeVar
from zipfile import BadZipFile, ZipFile

import numpy as np
import yaml
from pydantic import BaseModel, ValidationError

from experiments import names, seeds
from experiments.paths import TrialPaths
from experiments.planning.identity import Trial
from experiments.reading import check_shape, first, reason_of, shown
from experiments.transfer import forms
from experiments.transfer.archive import BROKEN, ArchiveError
from experiments.transfer.forms import Description, Planned, Point, Provenance, Sources
from experiments.trial import attempts, completeness, provenance

KINDS = (names.SWEEP, names.PLANNED, names.ASKED, names.PLACE, names.ROWS, names.RULES)  # of the tags of a sweep
ARRAYS = 4 * 2**30  # bytes that a file of arrays may unpack to

Form = TypeVar("Form", bound=BaseModel)
Result = TypeVar("Result")
Given = ParamSpec("Given")


def check(paths: TrialPaths) -> None:
    """Raises ArchiveError where a trial's folder does not hold what this program would have written there."""
    for path in (paths.config, paths.description, paths.record):
        if not path.is_file():
            raise ArchiveError(f"lacks {path.name} of {paths.root.name}")
    described = _read(paths.description, Description)
    _check(paths.record, _record, paths.record, described)
    _check(paths.description, _sweeps, described.sweeps)
    _check(paths.config, _identity, paths, described)
    _attempts(paths)
    for path in sorted(paths.provenance(1).parent.glob("*.json")):
        origin = _read(path, Provenance)
        _check(path, _short, origin)
    for path in sorted(paths.sources(1).parent.glob("*.json")):
        _read(path, Sources)
    if paths.journal.exists():
        _check(paths.journal, _journal, paths.journal)
    if paths.unmatched.exists():
        _check(paths.unmatched, _line, paths.unmatched)
    _check(paths.journal, _whole, paths)
    for path in (paths.cost, paths.errors):
        if path.exists():
            _read(path, Point)
    if paths.by_class.exists():
        _check(paths.by_class, json.loads, paths.by_class.read_bytes())
    for path in sorted(paths.root.glob("*.npz")):
        _check(path, _arrays, path)


def plan(path: Path) -> Planned:
    """Returns what a sweep's plan says of itself; ArchiveError where it is none."""
    planned = _read(path, Planned)
    _check(path, datetime.fromisoformat, planned.made)
    return planned


def _read(path: Path, form: type[Form]) -> Form:
    return _check(path, _parsed, path, form)


def _parsed(path: Path, form: type[Form]) -> Form:
    """Returns a JSON file's content. Two readers must take it: the program goes on with Python's own."""
    content = path.read_bytes()
    json.loads(content)
    return form.model_validate_json(content, strict=True)


def _check(path: Path, do: Callable[Given, Result], *given: Given.args, **more: Given.kwargs) -> Result:
    """Returns what `do` returns; ArchiveError, which names the file, for whatever it finds wrong there."""
    try:
        return do(*given, **more)
    except ValidationError as error:
        reason = first(error)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, yaml.YAMLError) as error:
        reason = reason_of(error)
    except BROKEN:
        reason = "no arrays of numpy's"
    where = "/".join(path.parts[-3:] if path.parent.name in ("attempts", "provenance", "sources") else path.parts[-2:])
    raise ArchiveError(f"holds a bad {where}: {reason}")


def _same(what: str, found: object, expected: object) -> None:
    if found != expected:
        raise ValueError(f"{what} is not what other files say")


def _record(path: Path, described: Description) -> None:
    _same("its name", path.read_text(), described.record)


def _short(origin: Provenance) -> None:
    if any(len(text) > forms.LONGEST for text in provenance.tags(origin.model_dump()).values()):
        raise ValueError("a text is too long for MLflow")


def _sweeps(tags: dict[str, str]) -> None:
    """Checks the tags by which a run says which sweeps it belongs to."""
    keys = {names.sweep_key(name) for tag, name in tags.items() if tag.startswith(names.SWEEP)}
    for tag, value in tags.items():
        kind = next((kind for kind in KINDS if tag.startswith(kind)), "")
        if not kind or tag.removeprefix(kind) not in keys:
            raise ValueError(f"sweeps has a tag {shown(tag)}")
        if kind == names.SWEEP:
            _same("a sweep's tag", names.sweep_key(value), tag.removeprefix(kind))
        elif kind in (names.PLANNED, names.ASKED) and datetime.fromisoformat(value).tzinfo is None:
            raise ValueError("a sweep is planned at no time of the world")
        elif kind == names.PLACE and not re.fullmatch("[0-9]{1,9}", value):
            raise ValueError("a variant has no place in its sweep")
        elif kind == names.ROWS:
            forms.ROWS.validate_json(value, strict=True)
        elif kind == names.RULES:
            seeds.read(value)


def _identity(paths: TrialPaths, described: Description) -> None:
    """Checks that the configuration is the one whose hash the trial's id has, and the description is of it."""
    text = paths.config.read_bytes()
    check_shape(text)
    config = yaml.safe_load(text)
    found = Trial(config, tuple(described.overrides)).describe()
    if not found[names.TRIAL_ID] == described.trial_id == paths.root.name:
        raise ValueError("it gives another trial_id: it was changed, or another version of this program wrote it")
    for key in found.keys() - {names.VARIANT}:
        _same(key, getattr(described, key), found[key])
    forms.WORDS.validate_python(config["tracking"]["experiment"], strict=True)


def _attempts(paths: TrialPaths) -> None:
    found = sorted(paths.root.glob("attempts/*.json"))
    if not found:
        raise ArchiveError(f"holds no attempt at {paths.root.name}")
    for number, path in enumerate(found, 1):
        _check(path, _attempt, number, path)


def _attempt(number: int, path: Path) -> None:
    content = path.read_bytes()
    unknown = json.loads(content).keys() - forms.WRITTEN
    if unknown:
        raise ValueError(f"{shown(sorted(unknown)[0])} is no fact of an attempt")
    attempt = attempts.ATTEMPT.validate_json(content, strict=True)
    if (attempt.number, path.stem) != (number, f"{number:04d}"):
        raise ValueError("attempts are numbered otherwise")
    if attempt.status is None or attempt.ended is None:
        raise ValueError("it has not ended")
    if "\0" in (attempt.reason or ""):
        raise ValueError("its reason holds what no database takes")


def _journal(path: Path) -> None:
    """Checks every whole line, as the program reads them; one that was not written to its end counts for nothing."""
    content = path.read_bytes()
    for number, line in enumerate(content[: content.rfind(b"\n") + 1].splitlines(), 1):
        try:
            (forms.EPOCH if "step" in json.loads(line) else forms.TOLD).validate_json(line, strict=True)
        except ValidationError as error:
            raise ValueError(f"line {number}: {first(error)}") from error


def _line(path: Path) -> None:
    forms.LINE.validate_python(path.read_text(), strict=True)


def _whole(paths: TrialPaths) -> None:
    """Checks that a finished trial has the records of all its epochs, and those that it had when it finished."""
    lacking = completeness.of(paths).records
    if lacking:
        raise ValueError(lacking)


def _arrays(path: Path) -> None:
    """Checks that an npz file holds numbers alone, no pickles, and as many as it says."""
    with ZipFile(path) as zipped:
        if sum(member.file_size for member in zipped.infolist()) > ARRAYS:
            raise ValueError(f"it unpacks to more than {ARRAYS // 2**30} GiB")
        for member in zipped.infolist():
            with zipped.open(member) as file:
                version = np.lib.format.read_magic(file)
                header = (
                    np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
                )
                shape, _, dtype = header(file)
                if dtype.hasobject or dtype.kind not in "biuf":
                    raise ValueError("it holds something else than numbers")
                _same("its size", file.tell() + math.prod(shape) * dtype.itemsize, member.file_size)
        if zipped.testzip() is not None:
            raise BadZipFile
