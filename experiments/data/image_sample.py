"""A sample of a data set's images is compared with the annotation files before anything is trained.

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

VERSION = 1  # raise it when the rules change: images that passed the old ones are then looked at again
LARGEST = 200  # images of each split whose headers are read
DECODED = 8  # images of each kind, such as grey PNG files of 16 bits, that are decoded too
HALF_DARK = 72  # of 255: the brightest value that OpenCV makes of 14 bits in a 16-bit file is 64, a lossy file's 70
THREADS = 16  # a file server answers many questions at once

Stated = tuple[str, float, float]  # file name in the folder, width and height in the annotation file


@dataclass(frozen=True)
class Seen:
    """What is known of a sample that passed."""

    digest: str  # of the files' names, sizes and times, and of what is said about them
    exif: tuple[str, ...]  # formats of which some image shows that boxes are as OpenCV turns, or does not turn, it


def check(splits: Sequence[tuple[Path, Sequence[Stated]]], checked: Path) -> Seen:
    """Returns what is known of a data set's images, from the record of an earlier check if the sample is the same.

    Args:
        splits: for each, the folder of its images, and what its annotation file says of each of them.
        checked: folder of the records; `remember` writes there.

    Raises:
        UserError: an image is not what its annotation file says, or cannot be read.
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
        with warnings.catch_warnings(action="ignore"):  # of odd tags, which are no matter here
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
    """Returns `most` of the items or all of them, from the whole length at equal distances."""
    count = min(most, len(items))
    return [items[place * len(items) // count] for place in range(count)]


def _state(path: Path) -> tuple[int, int]:
    """Returns by what a changed file is known: its bytes and the time of its last change in nanoseconds."""
    try:
        status = path.stat()
    except OSError:  # told when it is read
        return (-1, -1)
    return (status.st_size, status.st_mtime_ns)


def _judge(sample: list[tuple[Path, Size, Header | None]]) -> tuple[str, ...]:
    """Returns the formats whose EXIF tags are clear; UserError for the first image that is not as stated."""
    suspects = [(path, stated) for path, stated, known in sample if known is None or known.expected != stated]
    clear = {
        known.format
        for _, stated, known in sample
        if known and known.stored != known.shown and known.expected == stated
    }
    count = f" ({len(suspects)} of {len(sample)} images looked at are not as stated)" if len(suspects) > 1 else ""
    for path, stated in suspects:  # what OpenCV delivers decides, not what a header lets expect
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
    """Returns the largest value of an image that is as stated; UserError for another."""
    loaded = images.load(path)
    if loaded is None:
        raise UserError(images.unreadable(path))
    if reason := images.flaw(path, stated, loaded, clear):
        raise UserError(reason + count)
    return int(loaded.max())
