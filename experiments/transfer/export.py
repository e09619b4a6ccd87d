"""Packs a study into one file: its trials' records, without checkpoints and files about this machine."""

import json
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml
from rich.progress import track

from experiments import names, passwords
from experiments.console import console
from experiments.errors import UserError
from experiments.paths import OutputPaths, TrialPaths
from experiments.reading import DamagedError
from experiments.transfer import archive, checks, members
from experiments.trial import attempts, completeness, git, status
from experiments.trial.status import Progress

LAST, ALL = "last", "all"  # in place of a sweep's name: the sweep that was planned last, or every trial


def pack(outputs: OutputPaths, study: str, file: Path) -> None:
    """Writes the ended trials of a study, and its plans, into a new file; prints which trials were left out.

    Args:
        outputs: the folder with the trials.
        study: a sweep's name, `last` or `all`.
        file: the new file; it is written completely or not at all.

    Raises UserError for an unknown study, one without a trial that has ended, and a file that cannot be written; and,
    after the file is written, where damaged trials were left out.
    """
    name = _planned_last(outputs) if study == LAST else study
    trials = status.read(outputs, None if name == ALL else name)
    running = [one for one in trials if one.state in (attempts.TO_DO, names.RUNNING)]
    damaged = {one.paths.root: flaw for one in trials if one not in running and (flaw := _flaw(one))}
    ended = [one for one in trials if one not in running and one.paths.root not in damaged]
    if not ended:
        told = "; ".join(damaged.values()) or "wait, or cancel what runs"
        raise UserError(f"no trial of {name} in {outputs.root} has ended and is complete; {told}")
    manifest = archive.write(file, name, git.commit()[0], _contents(outputs, name, ended))
    size = sum(content.size for content in manifest.files.values()) / 2**20
    console.print(f"{len(ended)} trials of {name} are in {file} ({size:.1f} MiB unpacked)", markup=False)
    for one in running:
        console.print(f"left out, because it is {one.state.lower()}: {one.paths.root.name}", markup=False)
    if damaged:
        raise UserError(f"{len(damaged)} were left out: {'; '.join(damaged.values())}")


def _flaw(one: Progress) -> str | None:
    """Returns why `import` would refuse a trial; repairs its journal first if a checkpoint has the records."""
    try:
        if one.damage is None and completeness.restore(one.paths):
            one = status.of(one.paths)
    except DamagedError as error:
        return str(error)
    return checks.flaw(one)


def _planned_last(outputs: OutputPaths) -> str:
    """Returns the name of the sweep that was planned last."""
    tags = [item for one in status.read(outputs) for item in one.description.get("sweeps", {}).items()]
    planned = [(datetime.fromisoformat(value), tag) for tag, value in tags if tag.startswith(names.PLANNED)]
    if not planned:
        raise UserError(
            f"no trial in {outputs.root} records which sweep was planned last; give the name of a sweep, or all"
        )
    return dict(tags)[names.SWEEP + max(planned)[1].removeprefix(names.PLANNED)]


def _contents(outputs: OutputPaths, study: str, trials: list[Progress]) -> Iterator[tuple[str, bytes]]:
    """Yields names and contents of the trials' files, then of the study's plans."""
    for one in track(trials, "packing", console=console, disable=not console.is_terminal):
        root = one.paths.root
        for path in sorted(root.rglob("*")):
            name = path.relative_to(root).as_posix()
            if path.is_file() and members.travels(name):
                yield f"trials/{root.name}/{name}", _as_sent(one.paths, path)
        if attempts.last(root) != one.attempt:
            raise UserError(f"{root.name} was started again during the export; export after it has ended")
    for path in sorted(outputs.plan("").parent.glob("*.json")):
        name = f"plans/{path.name}"
        with suppress(
            OSError, ValueError, LookupError, TypeError
        ):  # a damaged plan is skipped, because no command needs it
            if members.largest(name) and (study == ALL or study in json.loads(path.read_bytes())["sweeps"]):
                yield name, passwords.removed(path.read_bytes())


def _as_sent(paths: TrialPaths, path: Path) -> bytes:
    """Returns the content of a trial's file without passwords, and without the store's address.

    An attempt without a recorded end gets the time of its last sign of life, because the file's own time is lost.
    """
    content = path.read_bytes()
    if path == paths.config:
        return configuration(yaml.safe_load(content), uri=None)
    if path.parent.name == "attempts":
        return _ended(json.loads(content), path.stat().st_mtime)
    return passwords.removed(content) if path.suffix in (".json", ".jsonl", ".txt") else content


def configuration(config: dict[str, Any], uri: str | None, **changes: Any) -> bytes:
    """Returns a configuration in the plan's form, with another MLflow store and other top-level values."""
    changed = config | {"tracking": config["tracking"] | {"uri": uri}} | changes
    text: str = yaml.dump(changed, Dumper=yaml.CSafeDumper, sort_keys=False)
    return text.encode()


def _ended(facts: dict[str, Any], touched: float) -> bytes:
    status, ended = facts.get("status"), facts.get("ended")
    ending = {"status": status or names.KILLED, "ended": touched if ended is None else ended}
    return json.dumps(facts | ending, indent=2).encode()
