"""Brings a study from a file into an output folder and into MLflow: each trial as a whole, and nothing of it executed.

Nor is anything trained that came from a file: a trial that had not finished there begins anew here, from the
configuration that the command composes which asks for it.
"""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout
from rich.progress import track

from experiments import files, names, output_folder, seeds, sqlite_uri
from experiments.commands import Place
from experiments.console import console
from experiments.errors import UserError
from experiments.mlflow_store import sync
from experiments.mlflow_store.runs import Store
from experiments.paths import OutputPaths, TrialPaths
from experiments.reading import DamagedError, of_json
from experiments.transfer import archive, export, forms, inspection
from experiments.transfer.archive import ArchiveError
from experiments.trial import attempts, described, status

NEW, FURTHER, THERE = "new", "further than before", "there already"  # a trial that comes, beside what is there


@dataclass(frozen=True)
class Incoming:
    """A trial that was unpacked, where it belongs, and whether it is NEW, FURTHER or THERE."""

    paths: TrialPaths
    target: TrialPaths
    novelty: str


def bring(file: Path, outputs: OutputPaths, uri: str | None, limit: float) -> None:
    """Adds the trials of an export to an output folder and makes MLflow say what they say.

    A trial that is there with the same record stays as it is, or is replaced by one with more attempts.

    Args:
        file: what `export.pack` wrote, wherever it has been since.
        outputs: the folder; made where it is missing.
        uri: the MLflow store; None for the one that run.py uses in this folder.
        limit: GiB that the file may unpack to.

    Raises UserError, and has added nothing, for a file that is not as it should be, for trials that are there with
    another record, and for a store that does not answer.
    """
    output_folder.accept(outputs.root)
    uri = names.tracking_uri(uri, sqlite_uri.of(outputs.root / "mlflow.db"))
    with _staging(outputs) as staging:
        try:
            manifest = archive.unpack(file, staging.root, limit, forms.largest)
            coming = _checked(staging, outputs)
        except ArchiveError as error:
            raise UserError(f"{file} {error}; nothing was imported") from error
        experiments = {_adapt(one, outputs, uri) for one in coming}
        for experiment in sorted(experiments):  # before anything is moved: it may not answer
            Store(Place(outputs.root, uri, experiment))
        try:
            for one in coming:
                _take(one, outputs, {"file": file.name, "made": manifest.made, "commit": manifest.commit})
            _take_plans(staging, outputs)
        except OSError as error:
            raise UserError(
                f"{outputs.root} cannot be written ({error.strerror}); then give the command again"
            ) from error
    counts = {novelty: sum(one.novelty == novelty for one in coming) for novelty in (NEW, FURTHER, THERE)}
    told = ", ".join(f"{count} {novelty}" for novelty, count in counts.items() if count)
    console.print(f"{len(coming)} trials for {outputs.root}: {told}", markup=False)
    brought = {one.target.root for one in coming}
    sync.all_trials([one for one in status.read(outputs) if one.paths.root in brought], uri)


@contextmanager
def _staging(outputs: OutputPaths) -> Iterator[OutputPaths]:
    """Yields an empty folder of the same layout, to unpack in; no trace is left of it, nor of a refused import."""
    fresh = not outputs.root.exists()
    output_folder.mark(outputs.root)
    try:
        with FileLock(outputs.import_lock, timeout=0):
            shutil.rmtree(outputs.importing, ignore_errors=True)  # of an import that was killed
            outputs.importing.mkdir()
            try:
                yield OutputPaths(outputs.importing)
            finally:
                shutil.rmtree(outputs.importing)
    except Timeout as error:
        raise UserError(f"another import into {outputs.root} has not ended; wait for it") from error
    finally:
        if fresh and {path.name for path in outputs.root.iterdir()} <= {output_folder.MARK, outputs.import_lock.name}:
            shutil.rmtree(outputs.root)


def _checked(staging: OutputPaths, outputs: OutputPaths) -> list[Incoming]:
    """Checks all that was unpacked, and each trial against the one that is there; ArchiveError, UserError."""
    for path in sorted(staging.plan("").parent.glob("*.json")):
        inspection.plan(path)
    folders = sorted(staging.trials.glob("*/"))
    if not folders:
        raise ArchiveError("holds no trial")
    records = {known: paths.root.name for paths in described.folders(outputs) if (known := described.noted(paths))}
    coming = []
    for folder in track(folders, "checking", console=console, disable=not console.is_terminal):
        paths = TrialPaths(folder)
        inspection.check(paths)
        if records.setdefault(paths.record.read_text(), folder.name) != folder.name:
            raise ArchiveError(f"gives {folder.name} the record of another trial")
        target = outputs.trial(folder.name)
        coming.append(Incoming(paths, target, _compared(paths, target)))
    other = [one.target.root.name for one in coming if not one.novelty]
    if other:
        raise UserError(
            f"{', '.join(other)} {'is' if len(other) == 1 else 'are'} in {outputs.root} with another record; import "
            "into another --output-dir (the --tracking-uri may be the same), nothing was imported"
        )
    return coming


def _compared(paths: TrialPaths, target: TrialPaths) -> str:
    """Returns what an unpacked trial is beside the one that is there; nothing where each has what the other lacks."""
    if not target.root.exists():
        return NEW
    if attempts.last(target.root) is None:  # DamagedError where that cannot be known
        return FURTHER
    described.read(target)
    described.configuration(target)
    mine, theirs = export.packed(target), export.packed(paths)
    tried = [{name: files[name] for name in files if name.startswith("attempts/")} for files in (mine, theirs)]
    if mine.get("record") != theirs["record"] or attempts.state(target.root) == names.RUNNING:
        return ""
    if tried[0] == tried[1]:
        return _compared_as_ended(paths, mine, theirs)
    if tried[0].items() < tried[1].items():
        return FURTHER
    return THERE if tried[1].items() < tried[0].items() else ""


def _compared_as_ended(paths: TrialPaths, mine: dict[str, bytes], theirs: dict[str, bytes]) -> str:
    """Returns the same of two trials with the same attempts, by their files: one may have got its matches since."""
    ours = {paths.config.name, paths.description.name}  # of each place
    differing = {name for name in {*mine, *theirs} - ours if mine.get(name) != theirs.get(name)}
    made = {paths.matches.name, paths.errors.name, paths.unmatched.name, paths.log.name}
    if not differing:
        return THERE
    if differing <= made and (paths.matches.name in mine) != (paths.matches.name in theirs):
        return FURTHER if paths.matches.name in theirs else THERE
    return ""


def _adapt(one: Incoming, outputs: OutputPaths, uri: str) -> str:
    """Makes an unpacked trial one of this output folder; returns the MLflow experiment that it is in."""
    config: dict[str, Any] = yaml.safe_load(one.paths.config.read_text())
    files.write(one.paths.config, export.configuration(config, uri, output_dir=str(outputs.root)))
    if one.target.description.exists():
        description = json.loads(one.paths.description.read_text())
        there = described.read(one.target) if one.novelty == THERE else _known(one.target)
        sweeps = _memberships(there.get("sweeps", {}), description["sweeps"])
        kept = there if one.novelty == THERE else description
        files.write(one.paths.description, json.dumps({**kept, "sweeps": sweeps}, indent=2))
    experiment: str = config["tracking"]["experiment"]
    return experiment


def _known(paths: TrialPaths) -> dict[str, Any]:
    with suppress(DamagedError):
        return described.read(paths)
    return {}


def _memberships(there: dict[str, str], coming: dict[str, str]) -> dict[str, str]:
    """Returns the tags of all sweeps that a trial belongs to; where both name one, those of its last planning count.

    But of rules for seeds, and of when a trial was asked for, those that were first.
    """

    def planned(tags: dict[str, str], key: str) -> datetime:
        told = tags.get(names.PLANNED + key)
        return datetime.fromisoformat(told) if told else datetime.min.replace(tzinfo=UTC)

    merged = dict(there)
    for key in [tag.removeprefix(names.SWEEP) for tag in coming if tag.startswith(names.SWEEP)]:
        if names.SWEEP + key not in there or planned(coming, key) > planned(there, key):
            for tag in (names.SWEEP + key, names.PLANNED + key, names.PLACE + key, names.ROWS + key):
                merged.pop(tag, None)
                merged |= {tag: coming[tag]} if tag in coming else {}
        asked = names.ASKED + key
        moments = [tags[asked] for tags in (there, coming) if asked in tags]
        merged |= {asked: min(moments, key=datetime.fromisoformat)} if moments else {}
        rules = names.RULES + key
        found = [seeds.read(tags[rules]) for tags in (there, coming) if rules in tags]
        merged |= {rules: seeds.earliest(*found).text()} if found else {}
    return merged


def _take(one: Incoming, outputs: OutputPaths, origin: dict[str, Any]) -> None:
    """Gives an unpacked trial its place, in one step."""
    if one.novelty == THERE:
        content = one.paths.description.read_bytes()
        if content != one.target.description.read_bytes():
            files.write(one.target.description, content)
        return
    files.write(one.paths.imported, json.dumps(origin, indent=2))
    outputs.trials.mkdir(exist_ok=True)
    if one.novelty == FURTHER:
        output_folder.put_aside(outputs, one.target)
    files.move(one.paths.root, one.target.root)


def _take_plans(staging: OutputPaths, outputs: OutputPaths) -> None:
    """Adds the sweeps' plans, where there is none of the sweep that was made later."""
    for path in sorted(staging.plan("").parent.glob("*.json")):
        target = outputs.plan(path.stem)
        if _made(target) < inspection.plan(path).made:
            target.parent.mkdir(exist_ok=True)
            files.write(target, path.read_bytes())


def _made(plan: Path) -> str:
    """Returns when a plan was made, "" where there is none, or a damaged one."""
    with suppress(DamagedError):
        return of_json(plan, forms.PLANNED)[1].made
    return ""
