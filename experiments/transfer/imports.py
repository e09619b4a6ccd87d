"""Adds the trials of an export to an output folder and to MLflow, each completely; nothing in it is executed.

An unfinished trial starts again here, from the configuration that its command composes.
"""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from pydantic import BaseModel, TypeAdapter
from rich.progress import track

from experiments import files, names, output_folder, reading, seeds, sqlite_uri
from experiments.commands import Place
from experiments.console import console
from experiments.errors import UserError
from experiments.mlflow_store import store_file, sync
from experiments.mlflow_store.runs import Store
from experiments.paths import OutputPaths, TrialPaths
from experiments.reading import DamagedError
from experiments.transfer import archive, checks, export
from experiments.transfer.archive import ArchiveError
from experiments.trial import attempts, described, status

NEW, FURTHER, THERE = (
    "new",
    "further than before",
    "there already",
)  # states of an incoming trial, compared with the folder's


class Tracking(BaseModel):
    """The tracking settings of an exported trial; the store's address is left out."""

    experiment: str


class Exported(BaseModel):
    """The values that an import changes in `config.yaml`."""

    tracking: Tracking


EXPORTED = TypeAdapter(Exported)
EARLIEST = (names.ASKED, names.RULES)  # tags of a sweep whose earliest value counts


@dataclass(frozen=True)
class Incoming:
    """An unpacked trial, its place, and whether it is NEW, FURTHER or THERE; "" if it must be refused."""

    paths: TrialPaths
    target: TrialPaths
    novelty: str
    description: str  # the content of its `trial.json`


def bring(file: Path, outputs: OutputPaths, uri: str | None, limit: float) -> None:
    """Adds the trials of an export to an output folder and to MLflow.

    An existing trial with the same record does not change, unless the archive has more of its attempts or results.

    Args:
        file: a file of `export.pack`, which is not trusted.
        outputs: the folder; it is created if it is missing.
        uri: the MLflow store; None for the store that run.py uses in this folder.
        limit: largest unpacked size in GiB.

    Raises UserError, without having added anything, for a damaged or forged file, for existing trials with another
    record, and for a store that does not answer.
    """
    output_folder.accept(outputs.root)
    uri = names.tracking_uri(uri, sqlite_uri.of(outputs.root / "mlflow.db"))
    with _staging(outputs) as staging:
        try:
            manifest = archive.unpack(file, staging.root, limit)
            coming = _checked(staging, outputs, uri)
        except ArchiveError as error:
            raise UserError(f"{file} {error}; nothing was imported") from error
        experiments = {described.configuration(one.paths)["tracking"]["experiment"] for one in coming}
        for experiment in sorted(experiments):  # before any file is moved, because the store may not answer
            Store(Place(outputs.root, uri, experiment))
        try:
            for one in coming:
                _take(one, outputs, {"file": file.name, "made": manifest.made, "commit": manifest.commit})
            _take_plans(staging, outputs)
        except OSError as error:
            raise UserError(
                f"{outputs.root} cannot be written ({error.strerror}); make it writable, then give the same command"
            ) from error
    counts = {novelty: sum(one.novelty == novelty for one in coming) for novelty in (NEW, FURTHER, THERE)}
    told = ", ".join(f"{count} {novelty}" for novelty, count in counts.items() if count)
    console.print(f"{len(coming)} trials for {outputs.root}: {told}", markup=False)
    sync.all_trials([status.of(one.target) for one in coming], uri)


@contextmanager
def _staging(outputs: OutputPaths) -> Iterator[OutputPaths]:
    """Yields an empty folder of the same layout to unpack in; afterwards removes it, and a new unused output folder."""
    fresh = not outputs.root.exists()
    output_folder.mark(outputs.root)
    try:
        with FileLock(outputs.import_lock, timeout=0):
            shutil.rmtree(outputs.importing, ignore_errors=True)  # leftovers of a killed import
            outputs.importing.mkdir()
            try:
                yield OutputPaths(outputs.importing)
            finally:
                shutil.rmtree(outputs.importing)
    except Timeout as error:
        raise UserError(f"another import into {outputs.root} has not ended; wait for it") from error
    finally:
        unused = {output_folder.MARK, outputs.import_lock.name, store_file.LOCK}
        if fresh and {path.name for path in outputs.root.iterdir()} <= unused:
            shutil.rmtree(outputs.root)


def _checked(staging: OutputPaths, outputs: OutputPaths, uri: str) -> list[Incoming]:
    """Returns the unpacked trials, adapted to the output folder; ArchiveError or UserError if one must be refused."""
    folders = described.folders(staging)
    if not folders:
        raise ArchiveError("holds no trial")
    owners = {known: paths.root.name for paths in described.folders(outputs) if (known := described.own_record(paths))}
    coming = []
    for paths in track(folders, "checking", console=console, disable=not console.is_terminal):
        try:
            config = reading.of_yaml(paths.config, EXPORTED)
            files.write(paths.config, export.configuration(config, uri, output_dir=str(outputs.root)))
        except DamagedError as error:
            raise ArchiveError(_told(str(error), staging)) from error
        one = status.of(paths)
        if flaw := checks.flaw(one):
            raise ArchiveError(_told(flaw, staging))
        if one.attempt is None or one.attempt.status is None:
            raise ArchiveError(f"is refused: no attempt at {paths.root.name} has ended")
        # The record finds MLflow's run: with another trial's record, this trial would write into that trial's run.
        if owners.setdefault(one.description[names.RECORD], paths.root.name) != paths.root.name:
            raise ArchiveError(f"is refused: {paths.root.name} has the record of another trial")
        target = outputs.trial(paths.root.name)
        novelty = _novelty(one, target)
        coming.append(Incoming(paths, target, novelty, _description(one, target, novelty)))
    other = [one.target.root.name for one in coming if not one.novelty]
    if other:
        raise UserError(
            f"{', '.join(other)} {'is' if len(other) == 1 else 'are'} in {outputs.root} with another record; import "
            "into another --output-dir (the --tracking-uri may be the same), nothing was imported"
        )
    return coming


def _told(flaw: str, staging: OutputPaths) -> str:
    """Returns the error of an unpacked file, without the temporary folder and without the remedy for that folder."""
    return f"is refused: {flaw.replace(f'{staging.trials}/', '').partition('; ')[0]}"


def _novelty(one: status.Progress, target: TrialPaths) -> str:
    """Returns an unpacked trial's state, compared with the folder's; "" if each has records that the other lacks."""
    if not target.root.exists():
        return NEW
    tried = attempts.every(target.root), attempts.every(one.paths.root)  # DamagedError if it is unknown
    if not tried[0]:
        return FURTHER
    ours, theirs = [[(each.host, each.process, each.started) for each in all_of] for all_of in tried]
    common = min(len(ours), len(theirs))
    same = described.read(target)[names.RECORD] == one.description[names.RECORD] and ours[:common] == theirs[:common]
    if not same or tried[0][-1].alive:
        return ""
    far = [
        (len(all_of), all_of[-1].status == names.FINISHED, paths.matches.exists())
        for all_of, paths in zip(tried, (target, one.paths), strict=True)
    ]
    return FURTHER if far[1] > far[0] else THERE


def _description(one: status.Progress, target: TrialPaths, novelty: str) -> str:
    """Returns the `trial.json` of an incoming trial, with the sweeps of the existing one added."""
    there = one.description if novelty == NEW else described.without_record(target)
    kept = there if novelty == THERE else one.description
    return json.dumps({**kept, "sweeps": joined(there["sweeps"], one.description["sweeps"])}, indent=2)


def joined(there: dict[str, str], coming: dict[str, str]) -> dict[str, str]:
    """Returns the tags of all sweeps that a trial belongs to; if both have a sweep, the tags of its last plan count.

    For the rules of seeds, and for the time when a trial was first planned, the earliest count.
    """
    merged = dict(there)
    for key in [tag.removeprefix(names.SWEEP) for tag in coming if tag.startswith(names.SWEEP)]:
        if names.SWEEP + key not in there or coming.get(names.PLANNED + key, "") > there.get(names.PLANNED + key, ""):
            planned = [kind + key for kind in (names.SWEEP, names.PLANNED, names.PLACE, names.ROWS)]
            merged = {tag: text for tag, text in merged.items() if tag not in planned}
            merged |= {tag: coming[tag] for tag in planned if tag in coming}
        asked, rules = ([tags[kind + key] for tags in (there, coming) if kind + key in tags] for kind in EARLIEST)
        merged |= {names.ASKED + key: min(asked)} if asked else {}
        merged |= {names.RULES + key: seeds.earliest(*map(seeds.read, rules)).text()} if rules else {}
    return merged


def _take(one: Incoming, outputs: OutputPaths, origin: dict[str, Any]) -> None:
    """Moves an unpacked trial to its place; an existing trial only becomes a member of more sweeps."""
    if one.novelty == THERE:
        files.write(one.target.description, one.description)
        return
    files.write(one.paths.description, one.description)
    files.write(one.paths.imported, json.dumps(origin, indent=2))
    outputs.trials.mkdir(exist_ok=True)
    if one.novelty == FURTHER:
        output_folder.put_aside(outputs, one.target)
    files.move(one.paths.root, one.target.root)


def _take_plans(staging: OutputPaths, outputs: OutputPaths) -> None:
    """Adds plans of sweeps that have no plan here; no command reads them."""
    for path in sorted(staging.plan("").parent.glob("*.json")):
        target = outputs.plan(path.stem)
        if not target.exists():
            target.parent.mkdir(exist_ok=True)
            files.move(path, target)
