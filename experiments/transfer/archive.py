"""The file of an exported study: a zip of the trials' files, and a manifest with the size and SHA-256 of each.

An archive may come from anybody. Unpacking writes only plain files below one folder, under names that exports use, and
at most as many bytes as the manifest says.
"""

import errno
import hashlib
import stat
import struct
import uuid
import zlib
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Annotated
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from pydantic import BaseModel, Field, ValidationError
from rich.progress import track

from experiments import files
from experiments.console import console
from experiments.errors import UserError
from experiments.reading import first, shown
from experiments.transfer import members

FORMAT = 2  # raise it when the meaning of an archive's content changes
OLDEST = 1  # oldest readable format: without `errors.json`; the errors are among the metrics of the last epoch
MANIFEST = "manifest.json"
MANIFEST_BYTES = 16 * 2**20
BLOCK = 2**20  # bytes read at a time
GIB = 2**30
# Errors of Python's zipfile for a file that is not a zip, or is damaged or forged.
BROKEN = (BadZipFile, EOFError, zlib.error, struct.error, NotImplementedError, RuntimeError, ValueError, OverflowError)


class ArchiveError(Exception):
    """An archive is wrong; the message completes a sentence that starts with its name."""


class Content(BaseModel):
    """A file in the manifest."""

    size: Annotated[int, Field(ge=0)]  # bytes
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Manifest(BaseModel):
    """`manifest.json`."""

    format: int
    study: str
    made: str  # ISO 8601 with time zone
    commit: str | None  # of the program that made it
    files: dict[str, Content]


def write(path: Path, study: str, commit: str | None, contents: Iterable[tuple[str, bytes]]) -> Manifest:
    """Writes a complete archive or none; UserError if it cannot be written.

    Args:
        path: a new file.
        study: the study's name.
        commit: of the program.
        contents: names, with slashes, and contents; read one after the other.
    """
    if path.exists():
        raise UserError(f"{path} exists; give another name, or remove it first")
    manifest = Manifest(format=FORMAT, study=study, made=datetime.now(UTC).isoformat(), commit=commit, files={})
    part = path.with_name(f"{path.name}.{uuid.uuid4().hex}.part")
    try:
        with ZipFile(part, "x", ZIP_DEFLATED) as zipped:
            for name, content in contents:
                manifest.files[name] = Content(size=len(content), sha256=hashlib.sha256(content).hexdigest())
                zipped.writestr(_member(name), content)
            zipped.writestr(_member(MANIFEST), manifest.model_dump_json(indent=1))
        files.settle(part)
        files.move(part, path)
    except OSError as error:
        raise UserError(
            f"{path} cannot be written ({error.strerror}); give a file in a folder that you may write to"
        ) from error
    finally:
        part.unlink(missing_ok=True)
    return manifest


def _member(name: str) -> ZipInfo:
    """Returns a zip member whose bytes do not depend on the time."""
    member = ZipInfo(name)
    member.compress_type = ZIP_DEFLATED
    member.external_attr = (stat.S_IFREG | 0o644) << 16
    return member


def unpack(file: Path, folder: Path, limit: float) -> Manifest:
    """Unpacks an archive into an empty folder, at most `limit` GiB; ArchiveError if it is damaged or forged."""
    if not file.is_file():
        raise ArchiveError("is not a file; give a file that export wrote")
    try:
        with ZipFile(file) as zipped:
            found = _members(zipped)
            manifest = _manifest(zipped, found)
            _check_size(manifest, limit)
            for name in track(manifest.files, "unpacking", console=console, disable=not console.is_terminal):
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                with zipped.open(found[name]) as source:
                    files.write_parts(target, _checked(source, name, manifest.files[name]))
    except (OSError, *BROKEN) as error:
        if isinstance(error, OSError) and error.errno != errno.EINVAL:  # EINVAL: an offset before the file's start
            raise ArchiveError(f"cannot be unpacked into {folder.parent} ({error.strerror})") from error
        raise ArchiveError("is not an export, or was cut off or changed in transit; get it again") from error
    return manifest


def _members(zipped: ZipFile) -> dict[str, ZipInfo]:
    """Returns an archive's members by name; ArchiveError for a member that exports do not write."""
    found: dict[str, ZipInfo] = {}
    for member in zipped.infolist():
        name = member.orig_filename
        allowed = MANIFEST_BYTES if name == MANIFEST else members.largest(name)
        if allowed is None:
            raise ArchiveError(f"holds {shown(name)}, which exports do not write")
        if name in found:
            raise ArchiveError(f"holds {name} twice")
        if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG):
            raise ArchiveError(f"holds {name}, which is not a plain file")
        if member.compress_type not in (ZIP_STORED, ZIP_DEFLATED) or member.flag_bits & 0x1:
            raise ArchiveError(f"holds {name} encrypted, or compressed in a way that exports do not use")
        if member.file_size > allowed:
            raise ArchiveError(f"holds {name} with {member.file_size} bytes; at most {allowed} are allowed")
        found[name] = member
    return found


def _manifest(zipped: ZipFile, found: dict[str, ZipInfo]) -> Manifest:
    """Returns the manifest; ArchiveError if it does not list exactly the members, with the zip's sizes."""
    if MANIFEST not in found:
        raise ArchiveError(f"holds no {MANIFEST}, so it is not an export")
    try:
        manifest = Manifest.model_validate_json(zipped.read(found[MANIFEST]), strict=True)
    except ValidationError as error:
        raise ArchiveError(f"holds a bad {MANIFEST}: {first(error)}") from error
    if not OLDEST <= manifest.format <= FORMAT:
        raise ArchiveError(
            f"has format {manifest.format}, and this program reads formats {OLDEST} to {FORMAT}; update this program"
        )
    sizes = {name: member.file_size for name, member in found.items() if name != MANIFEST}
    for name in sorted(sizes.keys() | manifest.files.keys()):
        if name not in sizes or name not in manifest.files or sizes[name] != manifest.files[name].size:
            raise ArchiveError(f"holds {shown(name)}, but its {MANIFEST} says otherwise")
    return manifest


def _check_size(manifest: Manifest, limit: float) -> None:
    total = sum(content.size for content in manifest.files.values())
    if total > limit * GIB:
        raise ArchiveError(
            f"unpacks to {total / GIB:.1f} GiB, more than the limit of {limit:g}; if that size is right, give "
            f"--limit-gib {total // GIB + 1}"
        )


def _checked(source: IO[bytes], name: str, expected: Content) -> Iterator[bytes]:
    """Yields the blocks of a member; ArchiveError if the manifest describes other content."""
    digest, size = hashlib.sha256(), 0
    while block := source.read(BLOCK):
        size += len(block)
        if size > expected.size:
            break
        digest.update(block)
        yield block
    if size != expected.size or digest.hexdigest() != expected.sha256:
        raise ArchiveError(f"holds {name}, but its {MANIFEST} says otherwise")
