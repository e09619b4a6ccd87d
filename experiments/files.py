"""Writes files so that a reader sees the whole old or the whole new content, also after a kill or a power cut.

Content is on the disk before a file gets its name, and the name is on the disk before the function returns. A writer
locks its partial file, so `sweep` can tell partial files of killed writers from those that are being written.
"""

import errno
import fcntl
import hashlib
import os
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

NO_FOLDERS = (errno.EINVAL, errno.ENOTSUP, errno.EBADF)  # from file systems that cannot flush a folder to disk


def write(path: Path, content: str | bytes) -> None:
    """Writes a file; replaces an existing one."""
    write_parts(path, [content.encode() if isinstance(content, str) else content])


def write_parts(path: Path, parts: Iterable[bytes]) -> int:
    """Writes a file that is too large to be in memory; returns its size in bytes."""
    with _whole(path, parts) as part:
        size = part.stat().st_size
        move(part, path)
    return size


def create(path: Path, content: str | bytes) -> bool:
    """Creates a file; returns False and changes nothing if it exists."""
    with _whole(path, [content.encode() if isinstance(content, str) else content]) as part:
        try:
            os.link(part, path)  # unlike a rename, this fails if the name is taken
        except FileExistsError:
            return False
        settle(path.parent)
    return True


def move(source: Path, target: Path) -> None:
    """Renames a file or a folder, replacing an existing file; its content must be on the disk."""
    source.replace(target)
    settle(target.parent)
    if source.parent != target.parent:
        settle(source.parent)


def settle(path: Path) -> None:
    """Returns once a file's content, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in NO_FOLDERS or not path.is_dir():
            raise
    finally:
        os.close(descriptor)


def digest(path: Path) -> str:
    """Returns a file's SHA-256 in hexadecimal, read in blocks."""
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def sweep(folder: Path) -> None:
    """Removes the partial files of killed writers in a folder and its subfolders."""
    for part in folder.rglob(f"*.{'[0-9a-f]' * 32}.part"):
        with suppress(OSError), part.open("r+b") as file:  # it was removed, or is being written
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            part.unlink()


@contextmanager
def _whole(path: Path, parts: Iterable[bytes]) -> Iterator[Path]:
    part = path.with_name(f"{path.name}.{uuid.uuid4().hex}.part")  # of this writer alone
    try:
        with _locked(part) as file:
            file.writelines(parts)
            file.flush()
            os.fsync(file.fileno())
            yield part
    finally:
        part.unlink(missing_ok=True)


def _locked(part: Path) -> BinaryIO:
    while True:
        file = part.open("wb")
        with suppress(OSError):  # from file systems without locks; there `sweep` removes nothing
            fcntl.flock(file, fcntl.LOCK_EX)
        if part.exists():  # else `sweep` removed it before it was locked
            return file
        file.close()
