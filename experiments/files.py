"""Files written in one step: a reader sees all of the old or all of the new, whenever a writer is stopped."""

import hashlib
import os
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path


def write(path: Path, content: str | bytes) -> None:
    """Writes a file, in place of one that is there."""
    write_parts(path, [content.encode() if isinstance(content, str) else content])


def write_parts(path: Path, parts: Iterable[bytes]) -> int:
    """Writes a file that is too large to be in memory; returns its size in bytes."""
    with _whole(path, parts) as part:
        size = part.stat().st_size
        part.replace(path)
    return size


def create(path: Path, content: str | bytes) -> bool:
    """Makes a file; returns False and leaves it alone where it exists."""
    with _whole(path, [content.encode() if isinstance(content, str) else content]) as part:
        try:
            os.link(part, path)  # unlike a rename, fails where the name is taken
        except FileExistsError:
            return False
    return True


def digest(path: Path) -> str:
    """Returns a file's SHA-256 in hexadecimal, read in blocks."""
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


@contextmanager
def _whole(path: Path, parts: Iterable[bytes]) -> Iterator[Path]:
    part = path.with_name(f"{path.name}.{uuid.uuid4().hex}.part")  # of this writer alone
    try:
        with part.open("wb") as file:
            file.writelines(parts)
        yield part
    finally:
        part.unlink(missing_ok=True)
