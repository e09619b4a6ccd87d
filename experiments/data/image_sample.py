"""Compares a sample of a data set's images with the annotation files before anything is trained.

Most are compared by their headers, which is quick. Training and evaluation compare every image
(`experiments.training.images`).
"""

import hashlib
import json
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from experiments import files
from experiments.data import images
from experiments.data.images import Header, Size
from experiments.errors import UserError

VERSION = 1  # raise it when the rules change: images that passed the old rules are then checked again
LARGEST = 200  # images of each split whose headers are read
DECODED = 8  # images of each kind, such as grey PNG files of 16 bits, that are decoded too
HALF_DARK = 72  # of 255: OpenCV loads 14 bits in a 16-bit file as at most 64, or 70 for a lossy file
THREADS = 16  # threads, because a file server answers many requests at once

Stated = tuple[str, float, float]  # file name in the folder, width and height in the annotation file


@dataclass(frozen=True)
class Seen:
    """The facts about a sample that passed."""

    digest: str  # of the files' names, sizes and times, and of their entries in the annotation files
    exif: tuple[str, ...]  # formats of which an image shows that the boxes follow OpenCV's handling of the EXIF tag


def check(splits: Sequence[tuple[Path, Sequence[Stated]]], checked: Path) -> Seen:
    """Returns the facts about a data set's images, from the record of an earlier check if the sample is the same.

    Args:
        splits: for each, the folder of its images, and their entries in the annotation file.
        checked: folder of the records; `remember` writes there.

    Raises:
        UserError: an image differs from its entry in the annotation file, or cannot be read.
    """
    sample = [
        (folder / name, (width, height))
        for folder, stated in splits
        for name, width, height in _spread(stated, LARGEST)
    ]
    with ThreadPoolExecutor(THREADS) as pool:
        states = list(pool.map(_state, (path for path, _ in sample)))
        told = [VERSION, [(str(path), *size, *state) for (path, size), state in zip(sample, states, strict=True)]]
        digest = hashlib.sha256(json.dumps(told).encode()).hexdigest()
        record = _record(checked, digest)
        if record.exists():
            return Seen(digest, tuple(json.loads(record.read_text())["exif"]))
        Image.init()  # once, not in each thread
        with warnings.catch_warnings(action="ignore"):  # warnings about odd tags do not matter here
            headers = list(pool.map(images.header, (path for path, _ in sample)))
    return Seen(digest, _judge([(*one, known) for one, known in zip(sample, headers, strict=True)]))


def remember(seen: Seen, checked: Path) -> None:
    """Records that these images passed."""
    record = _record(checked, seen.digest)
    if not record.exists():
        checked.mkdir(parents=True, exist_ok=True)
        files.write(record, json.dumps({"exif": seen.exif}))


def _record(checked: Path, digest: str) -> Path:
    return checked / f"{digest}.json"


def _spread(items: Sequence[Any], most: int) -> list[Any]:
    """Returns at most `most` of the items, at equal distances."""
    count = min(most, len(items))
    return [items[place * len(items) // count] for place in range(count)]


def _state(path: Path) -> tuple[int, int]:
    """Returns what shows whether a file has changed: its size in bytes and its time of change in nanoseconds."""
    try:
        status = path.stat()
    except OSError:  # reported when the file is read
        return (-1, -1)
    return (status.st_size, status.st_mtime_ns)


def _judge(sample: list[tuple[Path, Size, Header | None]]) -> tuple[str, ...]:
    """Returns the formats whose EXIF tags are clear; UserError for the first image that differs from its entry."""
    suspects = [(path, stated) for path, stated, known in sample if known is None or known.expected != stated]
    clear = {
        known.format
        for _, stated, known in sample
        if known and known.stored != known.shown and known.expected == stated
    }
    count = (
        f" ({len(suspects)} of {len(sample)} checked images differ from the annotation file)"
        if len(suspects) > 1
        else ""
    )
    for path, stated in suspects:  # the loaded image decides, not the size that the header suggests
        _brightest(path, stated, clear, count)
    for path, _, known in sample:
        if known and known.unclear and known.format not in clear:
            raise UserError(images.unclear(path, known))
    kinds: dict[tuple[str, str, bool], list[tuple[Path, Size]]] = {}
    for path, stated, known in sample:
        if known:
            kinds.setdefault(known.kind, []).append((path, stated))
    for members in kinds.values():
        some = _spread(members, DECODED)
        brightest, path = max((_brightest(path, stated, clear), path) for path, stated in some)
        if brightest < HALF_DARK and (reason := images.dark(path, brightest)):
            raise UserError(reason)
    return tuple(sorted(clear))


def _brightest(path: Path, stated: Size, clear: set[str], count: str = "") -> int:
    """Returns the largest value of an image; UserError if the image differs from its entry."""
    loaded = images.load(path)
    if loaded is None:
        raise UserError(images.unreadable(path))
    if reason := images.flaw(path, stated, loaded, clear):
        raise UserError(reason + count)
    return int(loaded.max())
