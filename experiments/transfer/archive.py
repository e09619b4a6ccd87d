"""The file that a study travels in: a zip of the trials' files, and a manifest with size and SHA-256 of each.

It may come from anybody. Reading it writes below one folder alone, nothing but plain files under names that are known,
and no more of them than they were said to have.
"""

import errno
import hashlib
import shutil
import stat
import struct
import uuid
import zlib
from collections.abc import Callable, Iterable, Iterator
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

FORMAT = 2  # raise it when what an archive holds comes to mean something else
OLDEST = 1  # that is read: without `errors.json`, the errors among the metrics of the last epoch
MANIFEST = "manifest.json"
MANIFEST_BYTES = 16 * 2**20
BLOCK = 2**20  # bytes read at a time
GIB = 2**30
# What Python's zipfile raises for what is no zip, or was made to look like one.
BROKEN = (BadZipFile, EOFError, zlib.error, struct.error, NotImplementedError, RuntimeError, ValueError, OverflowError)

Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class ArchiveError(Exception):
    """What is wrong with an archive, in words that go on from its name."""


class Content(BaseModel):
    """A file as the manifest has it."""

    size: Annotated[int, Field(ge=0)]  # bytes
    sha256: Sha256


class Manifest(BaseModel):
    """What an archive says of itself."""

    format: int
    study: str
    made: str  # ISO 8601 with time zone
    commit: str | None  # of the program that made it
    files: dict[str, Content]


def write(path: Path, study: str, commit: str | None, contents: Iterable[tuple[str, bytes]]) -> Manifest:
    """Writes an archive as a whole or not at all; UserError where it cannot be written.

    Args:
        path: a new file.
        study: what it holds, as people call it.
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
        raise UserError(f"{path} cannot be written ({error.strerror}); give a file in a folder open to you") from error
    finally:
        part.unlink(missing_ok=True)
    return manifest


def _member(name: str) -> ZipInfo:
    member = ZipInfo(name)
    member.compress_type = ZIP_DEFLATED
    member.external_attr = (stat.S_IFREG | 0o644) << 16
    return member


def unpack(file: Path, folder: Path, limit: float, largest: Callable[[str], int | None]) -> Manifest:
    """Unpacks an archive into an empty folder; ArchiveError, in a sentence, where it is not what it should be.

    Args:
        file: the archive.
        folder: where everything is written.
        limit: GiB that it may unpack to.
        largest: bytes that a file of this name may have, None for a name that no archive has.
    """
    if not file.is_file():
        raise ArchiveError("is no file; give a file that export wrote")
    try:
        with ZipFile(file) as zipped:
            members = _members(zipped, largest)
            manifest = _manifest(zipped, members)
            _check_sizes(manifest, folder, limit)
            for name in track(manifest.files, "unpacking", console=console, disable=not console.is_terminal):
                _extract(zipped, members[name], manifest.files[name], folder)
    except (OSError, *BROKEN) as error:
        if isinstance(error, OSError) and error.errno != errno.EINVAL:  # EINVAL: it points to before its own start
            raise ArchiveError(f"cannot be unpacked into {folder.parent} ({error.strerror})") from error
        raise ArchiveError("is no export, or was cut off or changed on its way; have it sent again") from error
    return manifest


def _members(zipped: ZipFile, largest: Callable[[str], int | None]) -> dict[str, ZipInfo]:
    """Returns an archive's members by name, each a plain file that may be there."""
    members: dict[str, ZipInfo] = {}
    for member in zipped.infolist():
        name = member.orig_filename
        allowed = MANIFEST_BYTES if name == MANIFEST else largest(name)
        if allowed is None:
            raise ArchiveError(f"holds {shown(name)}, which no export holds")
        if name in members:
            raise ArchiveError(f"holds {name} twice")
        if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG):
            raise ArchiveError(f"holds {name} as something else than a plain file")
        if member.compress_type not in (ZIP_STORED, ZIP_DEFLATED) or member.flag_bits & 0x1:
            raise ArchiveError(f"holds {name} encrypted or compressed as no export is")
        if member.file_size > allowed:
            raise ArchiveError(f"holds {name} with {member.file_size} bytes, and {allowed} are the most")
        members[name] = member
    return members


def _manifest(zipped: ZipFile, members: dict[str, ZipInfo]) -> Manifest:
    """Returns the manifest; it names exactly what is there, with the sizes that the zip says."""
    if MANIFEST not in members:
        raise ArchiveError(f"holds no {MANIFEST}, so it is no export")
    content = zipped.read(members[MANIFEST])
    try:
        manifest = Manifest.model_validate_json(content, strict=True)
    except ValidationError as error:
        raise ArchiveError(f"holds a bad {MANIFEST}: {first(error)}") from error
    if not OLDEST <= manifest.format <= FORMAT:
        newer = "a newer version of this program; update it" if manifest.format > FORMAT else "no version of it"
        raise ArchiveError(
            f"has format {manifest.format}, this program reads formats {OLDEST} to {FORMAT}: it was made by {newer}"
        )
    for name in sorted(members.keys() ^ manifest.files.keys() ^ {MANIFEST}):
        where = (
            f"lacks {shown(name)}, which is in its" if name in manifest.files else f"holds {name}, which is not in its"
        )
        raise ArchiveError(f"{where} {MANIFEST}")
    for name, content_of in manifest.files.items():
        if members[name].file_size != content_of.size:
            raise ArchiveError(f"holds {name} with another size than its {MANIFEST} says")
    return manifest


def _check_sizes(manifest: Manifest, folder: Path, limit: float) -> None:
    total = sum(content.size for content in manifest.files.values())
    if total > limit * GIB:
        raise ArchiveError(
            f"unpacks to {total / GIB:.1f} GiB and {limit:g} are the limit; where that is right, give "
            f"--limit-gib {total // GIB + 1}"
        )
    free = shutil.disk_usage(folder).free
    if total > free:
        raise ArchiveError(f"unpacks to {total / GIB:.1f} GiB and {folder.parent} has {free / GIB:.1f} free; make room")


def _extract(zipped: ZipFile, member: ZipInfo, expected: Content, folder: Path) -> None:
    """Writes a member as the manifest describes it, or nothing."""
    target = folder / member.filename
    target.parent.mkdir(parents=True, exist_ok=True)
    with zipped.open(member) as source:
        files.write_parts(target, _checked(source, member.filename, expected))


def _checked(source: IO[bytes], name: str, expected: Content) -> Iterator[bytes]:
    """Yields the blocks of a member; ArchiveError where they are not what the manifest describes."""
    digest, size = hashlib.sha256(), 0
    while block := source.read(BLOCK):
        size += len(block)
        if size > expected.size:
            break
        digest.update(block)
        yield block
    if size != expected.size or digest.hexdigest() != expected.sha256:
        raise ArchiveError(f"holds {name} with another content than its {MANIFEST} says")
