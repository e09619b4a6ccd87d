"""Packs a study into one file: what its trials recorded, less checkpoints and what concerns this machine alone."""

import json
import re
import zipfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml
from rich.progress import track

from experiments import names, reading
from experiments.console import console
from experiments.errors import UserError
from experiments.paths import OutputPaths, TrialPaths
from experiments.reading import DamagedError
from experiments.transfer import archive, forms
from experiments.trial import attempts, completeness, described, git, origin, status
from experiments.trial.status import Progress

LAST, ALL = "last", "all"  # in place of a sweep's name: the one planned last, whatever the folder has
PASSWORD = re.compile(rb"(://)[^/\s@'\"]+@")  # in an address


def pack(outputs: OutputPaths, study: str, file: Path) -> None:
    """Writes the trials of a study that have ended, and its plans, into a new file; says which were left out.

    Args:
        outputs: the folder with the trials.
        study: a sweep's name, `last` or `all`.
        file: to write, as a whole or not at all.

    Raises UserError for an unknown study, one of which no trial has ended, and a file that cannot be written; and, once
    all others are written, where a file of a trial cannot be used.
    """
    name = _planned_last(outputs) if study == LAST else study
    trials = status.read(outputs, None if name == ALL else name)
    ended = [one for one in trials if one.attempt is not None and one.state != names.RUNNING]
    damaged = {one.paths.root.name: flaw for one in trials if (flaw := one.damage or (one in ended and _flaw(one)))}
    ended = [one for one in ended if one.paths.root.name not in damaged]
    if not ended:
        told = "; ".join(damaged.values()) or "wait, or cancel what runs"
        raise UserError(f"no trial of {name} in {outputs.root} has ended and is whole; {told}")
    manifest = archive.write(file, name, git.commit()[0], _contents(outputs, name, ended))
    size = sum(content.size for content in manifest.files.values()) / 2**20
    console.print(f"{len(ended)} trials of {name} are in {file} ({size:.1f} MiB unpacked)", markup=False)
    for one in trials:
        if one not in ended and one.paths.root.name not in damaged:
            console.print(f"left out, as it is {one.state.lower()}: {one.paths.root.name}", markup=False)
    if damaged:
        raise UserError(f"{len(damaged)} were left out: {'; '.join(damaged.values())}")


def _flaw(one: Progress) -> str | None:
    """Returns what is wrong with a trial that who imports it would refuse; mends its journal where that is all."""
    try:
        completeness.restore(one.paths)
        described.configuration(one.paths)
        for path in one.paths.root.glob("*.npz"):
            if not zipfile.is_zipfile(path):
                return str(DamagedError(path, "is damaged (it holds no arrays)"))
    except DamagedError as error:
        return str(error)
    return next(iter(origin.flaws(one.paths)), None)


def _planned_last(outputs: OutputPaths) -> str:
    """Returns the name of the sweep that was asked for last."""
    tags = [item for one in status.read(outputs) for item in one.description.get("sweeps", {}).items()]
    planned = [(datetime.fromisoformat(value), tag) for tag, value in tags if tag.startswith(names.PLANNED)]
    if not planned:
        raise UserError(f"no trial in {outputs.root} says which sweep was asked for last; name one, or all")
    return dict(tags)[names.SWEEP + max(planned)[1].removeprefix(names.PLANNED)]


def _contents(outputs: OutputPaths, study: str, trials: list[Progress]) -> Iterator[tuple[str, bytes]]:
    """Yields names and contents of the trials' files, then of the study's plans."""
    for one in track(trials, "packing", console=console, disable=not console.is_terminal):
        for name, content in packed(one.paths).items():
            yield f"trials/{one.paths.root.name}/{name}", content
        if attempts.last(one.paths.root) != one.attempt:
            raise UserError(f"{one.paths.root.name} was begun again meanwhile; export once it has ended")
    for path in sorted(outputs.plan("").parent.glob("*.json")):
        name = f"plans/{path.name}"
        try:
            _, plan = reading.of_json(path, forms.PLANNED)
        except DamagedError as error:  # which no command needs
            console.print(f"left out: {error}", style="yellow", markup=False)
            continue
        if forms.largest(name) is not None and (study == ALL or study in plan.sweeps):
            yield name, _without_passwords(path.read_bytes())


def packed(paths: TrialPaths) -> dict[str, bytes]:
    """Returns the files of a trial that travel, by their paths in its folder, as they travel.

    Addresses come without passwords, and the configuration without that of the store. Attempts whose owner could not
    say so ended when they were last heard of: nothing elsewhere would tell.
    """
    found = {path.relative_to(paths.root).as_posix(): path for path in sorted(paths.root.rglob("*")) if path.is_file()}
    return {name: _as_sent(paths, path) for name, path in found.items() if forms.travels(name)}


def _as_sent(paths: TrialPaths, path: Path) -> bytes:
    content = path.read_bytes()
    if path == paths.config:
        return configuration(yaml.safe_load(content), uri=None)
    if path.parent.name == "attempts":
        return _ended(json.loads(content), path.stat().st_mtime)
    return _without_passwords(content) if path.suffix in (".json", ".jsonl", ".txt") else content


def configuration(config: dict[str, Any], uri: str | None, **changes: Any) -> bytes:
    """Returns a configuration as the plan writes it, with another MLflow store and other values at its top."""
    changed = config | {"tracking": config["tracking"] | {"uri": uri}} | changes
    text: str = yaml.dump(changed, Dumper=yaml.CSafeDumper, sort_keys=False)
    return text.encode()


def _ended(facts: dict[str, Any], touched: float) -> bytes:
    status, ended = facts.get("status"), facts.get("ended")
    ending = {"status": status or names.KILLED, "ended": touched if ended is None else ended}
    return json.dumps(facts | ending, indent=2).encode()


def _without_passwords(content: bytes) -> bytes:
    return PASSWORD.sub(rb"\1", content)
