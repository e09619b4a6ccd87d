"""Reads an annotation file in COCO's format once, checks it, and keeps it in the form for training and evaluation.

A kept form is found by the SHA-256 of the file's content, the split, and whether masks are read. A second record gives
the SHA-256 of a file by its path, size and times of change, so that an unchanged file is not read again.
"""

import hashlib
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.progress import track

from experiments import files
from experiments.console import console
from experiments.data import coco_records, judgement, normal_form
from experiments.data.coco_records import FlawError, MaskedRecords, Records
from experiments.data.judgement import Judged
from experiments.errors import UserError

VERSION = 3  # raise it when the rules or the form change: files are then read again
LONG = 50_000_000  # bytes from which on reading takes more than a second
SETTLED_SECONDS = 3.0  # a file that has just changed may change again without new times

UNKNOWN = (FileNotFoundError, ValueError, LookupError, TypeError)  # errors of a missing or incomplete record

State = list[int]  # with which a changed file is detected


@dataclass(frozen=True)
class Contents:
    """The facts about an annotation file that passed."""

    classes: tuple[str, ...]  # in the file's order, which is the order of MMDetection's labels
    file_names: tuple[str, ...]
    sizes: tuple[tuple[int, int], ...]  # width and height of each, in pixels
    objects: int  # objects that are used
    trainable: int  # images that MMDetection trains on
    note: str  # a sentence on what is left out or odd; empty if nothing is


@dataclass
class Checked:
    """An annotation file that passed, for one split of a detector of boxes or masks."""

    file: Path
    sha256: str  # of the file
    normal_form: Path  # the file that training and evaluation read
    contents: Contents
    state: State | None  # None if it is recorded already, or cannot be used
    judged: Judged | None  # None if the form exists

    def keep(self) -> None:
        """Writes the form and the facts about the file, for all commands with this output folder.

        Raises UserError if they cannot be written.
        """
        folder = self.normal_form.parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
            files.sweep(folder)
            if self.judged:
                size = files.write_parts(self.normal_form, normal_form.parts(self.judged))
                files.write(_record(self.normal_form), json.dumps({"size": size, "contents": asdict(self.contents)}))
            if self.state:
                files.write(_digest(self.file, folder), json.dumps({"state": self.state, "sha256": self.sha256}))
        except OSError as error:
            raise UserError(
                f"annotations cannot be written to {folder} ({error.strerror}); make room there or set output_dir to "
                "another folder"
            ) from error
        self.judged = self.state = None


def check(file: Path, split: str, masks: bool, folder: Path) -> Checked:
    """Returns a checked annotation file, from an earlier check's records or by reading it; writes nothing.

    Args:
        file: the annotation file.
        split: "train" or "val": objects that are marked `ignore` are left out of the first.
        masks: whether the detector learns masks; otherwise masks are ignored.
        folder: where `Checked.keep` writes.

    Raises:
        UserError: it is not an annotation file in COCO's format, or would be misread.
        OSError: it cannot be read.
    """
    state = _state(file)
    use = f"{split}-{'masks' if masks else 'boxes'}-{VERSION}"
    digest = _known_digest(file, state, folder)
    if digest and (contents := _kept(folder / f"{digest}-{use}.json")):
        return Checked(file, digest, folder / f"{digest}-{use}.json", contents, None, None)
    content = file.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    form = folder / f"{digest}-{use}.json"
    if contents := _kept(form):
        return Checked(file, digest, form, contents, state, None)
    found = _judged(file, content, split, masks)
    return Checked(file, digest, form, _contents(found, split), state, found)


def _judged(file: Path, content: bytes, split: str, masks: bool) -> Judged:
    long = len(content) >= LONG
    if long:
        use = "masks" if masks else "boxes"
        console.print(f"checking {file.name} for its {use} ({len(content) / 1e6:,.0f} MB), once", markup=False)
    try:
        records = coco_records.read(content, MaskedRecords if masks else Records)
        shown = long and console.is_terminal
        bar = track(records.annotations, "objects", console=console, transient=True, disable=not shown)
        return judgement.judge(records, split, bar)
    except FlawError as error:
        raise UserError(f"{file} {error.verdict}: {error}") from error


def _contents(found: Judged, split: str) -> Contents:
    return Contents(
        classes=tuple(str(kind.name) for kind in found.categories),
        file_names=tuple(image.file_name for image in found.images),
        sizes=tuple((image.width, image.height) for image in found.images),
        objects=len(found.objects),
        trainable=found.trainable,
        note=judgement.note(found, split),
    )


def _record(form: Path) -> Path:
    return form.with_suffix(".contents.json")


def _kept(form: Path) -> Contents | None:
    """Returns the facts that were kept with a form, if the form still exists and is complete."""
    try:
        known = json.loads(_record(form).read_text())
        if form.stat().st_size != known["size"]:
            return None
    except UNKNOWN:
        return None
    of: dict[str, Any] = known["contents"]
    lists = {"classes": tuple(of["classes"]), "file_names": tuple(of["file_names"])}
    return Contents(**of | lists | {"sizes": tuple(map(tuple, of["sizes"]))})


def _digest(file: Path, folder: Path) -> Path:
    """Returns the path of the record that keeps the digest of a file's content, by the file's path."""
    return folder / f"file-{hashlib.sha256(str(file.resolve()).encode()).hexdigest()[:16]}.json"


def _known_digest(file: Path, state: State | None, folder: Path) -> str | None:
    """Returns the SHA-256 of a file that has not changed since it was read."""
    try:
        known = json.loads(_digest(file, folder).read_text())
        return str(known["sha256"]) if known["state"] == state else None
    except UNKNOWN:
        return None


def _state(file: Path) -> State | None:
    """Returns size, times of change and inode of a file; None if a further change could go unnoticed."""
    status = file.stat()
    changed = max(status.st_mtime, status.st_ctime)
    if not changed < time.time() - SETTLED_SECONDS:
        return None
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
