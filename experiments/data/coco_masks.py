"""Masks of an annotation file: checks whether pycocotools can draw each, and writes it in the form of all readers.

pycocotools stops at some wrong masks, crashes at others or never ends. hotcoco draws the same pixels as pycocotools. A
polygon of fewer than three points encloses nothing: pycocotools draws nothing, or stops if it is the first polygon of
an object, and MMDetection leaves it out. So it is left out for all of them.
"""

import re
from functools import lru_cache
from itertools import pairwise
from types import UnionType

import msgspec
from msgspec import Raw, Struct

from experiments.data.coco_records import FlawError, short

LONGEST = 10_000_000  # pixels of a polygon's outline: pycocotools takes 50 bytes for each
MOST_DIGITS = 7  # of a count: 35 bits
_GROUP = re.compile("[P-o]*[0-O]")  # of a compressed RLE: six bits a character, the highest for "more follow"


class Rle(Struct, gc=False):
    """Lengths of runs, outside and inside in turn, column by column."""

    size: tuple[int, int]  # height, width
    counts: str | list[int]


_decoder = msgspec.json.Decoder(list[list[float]] | Rle | None)


def normal(written: Raw, width: int, height: int) -> Raw | None:
    """Returns a mask that pycocotools can draw on an image of this size, None if there is no mask.

    Raises FlawError, without the place, if it is neither polygons nor an RLE of this size.
    """
    try:
        mask = _decoder.decode(written) if memoryview(written) else None
    except msgspec.ValidationError:
        raise FlawError(_form(msgspec.json.decode(written))) from None
    if isinstance(mask, Rle):
        return _normal_rle(mask, width, height)
    drawn = [polygon for polygon in mask or () if _draws(polygon, width, height)]
    if not drawn:
        return None
    return written if len(drawn) == len(mask or ()) else Raw(msgspec.json.encode(drawn))


def _draws(polygon: list[float], width: int, height: int) -> bool:
    """Returns whether a polygon encloses anything; FlawError for a wrong polygon."""
    if len(polygon) % 2:
        raise FlawError(f"has a polygon of {len(polygon)} numbers; give [x1, y1, x2, y2, ...] in pixels")
    if len(polygon) < 6:
        return False
    longer = max(width, height)
    low, high = min(polygon), max(polygon)
    if low < -longer or high > 2 * longer:
        far = low if low < -longer else high
        raise FlawError(f"has a polygon with {far:g} on {width}x{height} pixels; give [x1, y1, x2, y2, ...] in pixels")
    if len(polygon) // 2 * 3 * longer > LONGEST and _outline(polygon) > LONGEST:
        raise FlawError(f"has a polygon with an outline of more than {LONGEST:,} pixels; draw it more simply")
    return True


def _outline(polygon: list[float]) -> float:
    points = [*zip(polygon[::2], polygon[1::2], strict=True), (polygon[0], polygon[1])]
    return sum(max(abs(x - u), abs(y - v)) for (x, y), (u, v) in pairwise(points))


def _normal_rle(mask: Rle, width: int, height: int) -> Raw:
    if mask.size != (height, width):
        size = f"{list(mask.size)} on an image of size {[height, width]}"
        raise FlawError(f"has an RLE of size {size}; give the image's [height, width]")
    counts = mask.counts if isinstance(mask.counts, list) else _counts(mask.counts)
    if min(counts, default=0) < 0 or sum(counts) != width * height:
        wrong = f"a count of {min(counts)}" if min(counts, default=0) < 0 else f"counts that sum to {sum(counts)}"
        raise FlawError(f"has an RLE with {wrong}; give runs that fill the {width * height} pixels of its image")
    return Raw(msgspec.json.encode(mask))


def _counts(text: str) -> list[int]:
    """Returns the counts of a compressed RLE: from the fourth on, each number is a difference from the last but one."""
    groups = _GROUP.findall(text)
    if "".join(groups) != text or any(len(group) > MOST_DIGITS for group in groups):
        raise FlawError(f"has an RLE with the counts {short(text)}; give them as pycocotools' encode() does")
    counts: list[int] = []
    for place, group in enumerate(groups):
        counts.append(_number(group) + (counts[place - 2] if place > 2 else 0))
    return counts


@lru_cache(2**16)
def _number(group: str) -> int:
    """Returns the number in six-bit characters: five bits each, lowest first; the highest bit of all is the sign."""
    digits = [ord(character) - 48 & 0x1F for character in group]
    value = sum(digit << 5 * place for place, digit in enumerate(digits))
    return value - (1 << 5 * len(digits)) if digits[-1] & 0x10 else value


def _form(mask: object) -> str:
    """Returns the error for a mask that is neither polygons nor an RLE."""
    if isinstance(mask, dict):
        wrong = "without counts" if "counts" not in mask else f"with the counts {short(mask['counts'])}"
        if "counts" in mask and not _is_list(mask.get("size"), int):
            wrong = f"of size {short(mask.get('size'))}"
        return f"has an RLE {wrong}; give its size, [height, width], and counts, whole numbers or text"
    what = f"the segmentation {short(mask)}"
    if isinstance(mask, list) and not _is_list(mask, int | float):
        what = next((f"a polygon of {short(one)}" for one in mask if not _is_list(one, int | float)), what)
    return f"has {what}; give polygons, each [x1, y1, x2, y2, ...] in pixels, or an RLE"


def _is_list(value: object, of: type | UnionType) -> bool:
    return isinstance(value, list) and all(isinstance(one, of) and not isinstance(one, bool) for one in value)
