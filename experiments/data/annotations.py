"""An annotation file in COCO's format, read once: judged, and kept in the form that training and evaluation read.

What is kept is found again by the content of the given file, by the split and by whether masks are read; and which
content a file has, without reading it, by its path, size and times of change.
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
LONG = 50_000_000  # bytes that take more than a second
SETTLED_SECONDS = 3.0  # a file that has just changed may change again and bear the same times

UNKNOWN = (FileNotFoundError, ValueError, LookupError, TypeError)  # a record that is absent or torn

State = list[int]  # by which a file that has changed is known


@dataclass(frozen=True)
class Contents:
    """What is known of an annotation file that passed."""

    classes: tuple[str, ...]  # in the file's order, which is the order of MMDetection's labels
    file_names: tuple[str, ...]
    sizes: tuple[tuple[int, int], ...]  # width and height of each, in pixels
    objects: int  # that are used
    trainable: int  # images that MMDetection trains on
    note: str  # what is left out or odd, in words; empty where nothing is


@dataclass
class Checked:
    """An annotation file that passed, for one split of a detector of boxes or masks."""

    file: Path
    sha256: str  # of the file
    normal_form: Path  # what training and evaluation read
    contents: Contents
    state: State | None  # None where it is known or tells nothing
    judged: Judged | None  # None where the form is there

    def keep(self) -> None:
        """Writes the form, and what is known of the file, for all commands with this output folder.

        Raises UserError where they cannot be written.
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
    """Returns an annotation file that passes, from what an earlier check kept, or read and judged; writes nothing.

    Args:
        file: the annotation file.
        split: "train" or "val": objects that are marked `ignore` are left out of the first.
        masks: whether the detector learns masks; else none is looked at.
        folder: of what `Checked.keep` writes.

    Raises:
        UserError: it is no annotation file in COCO's format, or one that would be misread.
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
    """Returns what was kept with a form that is still there whole."""
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
    """Returns where is written which content a file has: by its path, because digests are of its content."""
    return folder / f"file-{hashlib.sha256(str(file.resolve()).encode()).hexdigest()[:16]}.json"


def _known_digest(file: Path, state: State | None, folder: Path) -> str | None:
    """Returns the SHA-256 of a file that has not changed since it was read."""
    try:
        known = json.loads(_digest(file, folder).read_text())
        return str(known["sha256"]) if known["state"] == state else None
    except UNKNOWN:
        return None


def _state(file: Path) -> State | None:
    """Returns size, times of change and the number of a file; None where it may change again unseen."""
    status = file.stat()
    changed = max(status.st_mtime, status.st_ctime)
    if not changed < time.time() - SETTLED_SECONDS:
        return None
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
