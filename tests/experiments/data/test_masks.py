"""Masks of annotation files: what passes is drawn by pycocotools and hotcoco alike, all else is refused or left out."""

import json
import subprocess
import sys
from typing import Any

import hotcoco
import msgspec
import numpy as np
import pytest
from pycocotools import mask

from experiments.data import coco_masks
from experiments.data.coco_records import FlawError

WIDTH, HEIGHT = 37, 23
PIXELS = WIDTH * HEIGHT
SQUARE = [1, 1, 20, 1, 20, 20, 1, 20]

# Run in another process: pycocotools may never end, or end the process.
DRAW = """
import json, sys
from pycocotools import mask
height, width = json.loads(sys.argv[1])
for line in sys.stdin:
    one = json.loads(line)
    if isinstance(one, list):
        one = mask.merge(mask.frPyObjects(one, height, width))
    elif isinstance(one["counts"], list):
        one = mask.frPyObjects(one, height, width)
    pixels = mask.decode(one)
    print(json.dumps([int(mask.area(one)), pixels.tobytes().hex()]), flush=True)
"""


def passed(segmentation: Any) -> Any:
    """What the check makes of a mask; FlawError where it refuses it."""
    found = coco_masks.normal(msgspec.Raw(json.dumps(segmentation).encode()), WIDTH, HEIGHT)
    return None if found is None else json.loads(bytes(found))


def drawn_by_pycocotools(masks: list[Any]) -> list[tuple[int, str]]:
    """Area and pixels of each mask."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", DRAW, json.dumps([HEIGHT, WIDTH])],
        input="\n".join(map(json.dumps, masks)),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [(area, pixels) for area, pixels in map(json.loads, done.stdout.splitlines())]


def drawn_by_hotcoco(masks: list[Any]) -> list[tuple[int, str]]:
    shared = {"image_id": 1, "category_id": 1, "bbox": [0, 0, 1, 1], "area": 1, "iscrowd": 0}
    whole = hotcoco.COCO(
        {
            "images": [{"id": 1, "width": WIDTH, "height": HEIGHT, "file_name": "1.png"}],
            "categories": [{"id": 1, "name": "a"}],
            "annotations": [{"id": n, "segmentation": one, **shared} for n, one in enumerate(masks, 1)],
        }
    )
    pixels = [whole.ann_to_mask(one) for one in whole.load_anns(list(range(1, len(masks) + 1)))]
    return [(int(one.sum()), one.tobytes().hex()) for one in pixels]


FLAWS: dict[str, tuple[Any, str]] = {
    "text": ("round", 'has the segmentation "round"; give polygons'),
    "a number": (7, "has the segmentation 7; give polygons"),
    "numbers alone": (
        SQUARE,
        "has the segmentation [1, 1, 20, 1, 20, 20, 1, 20]; give polygons, each [x1, y1, x2, y2, ...]",
    ),
    "points": ([[[1, 1], [20, 1], [20, 20]]], "has a polygon of [[1, 1], [20, 1], [20, 20]]; give polygons, each"),
    "text in a polygon": ([[1, 1, "20", 1, 20, 20]], 'has a polygon of [1, 1, "20", 1, 20, 20]'),
    "null in a polygon": ([[1, 1, 20, None, 20, 20]], "has a polygon of [1, 1, 20, null, 20, 20]"),
    "true in a polygon": ([[1, 1, 20, True, 20, 20]], "has a polygon of [1, 1, 20, true, 20, 20]"),
    "null for a polygon": ([SQUARE, None], "has a polygon of null"),
    "a polygon in words": (["1 1 20 1 20 20"], 'has a polygon of "1 1 20 1 20 20"'),
    "an x without y": ([[*SQUARE, 5]], "has a polygon of 9 numbers; give [x1, y1, x2, y2, ...]"),
    "an x without y, second": ([SQUARE, [1, 2, 3, 4, 5]], "has a polygon of 5 numbers"),
    "far away": ([[1e9, 1, 20, 1, 20, 20]], "has a polygon with 1e+09 on 37x23 pixels"),
    "far up": ([[1, 1, 20, -1e300, 20, 20]], "has a polygon with -1e+300 on 37x23 pixels"),
    "a little too far": ([[75, 1, 20, 1, 20, 20]], "has a polygon with 75 on 37x23 pixels"),
    "RLE without size": ({"counts": [PIXELS]}, "has an RLE of size null; give its size, [height, width], and counts"),
    "RLE without counts": ({"size": [HEIGHT, WIDTH]}, "has an RLE without counts"),
    "RLE turned": ({"size": [WIDTH, HEIGHT], "counts": [PIXELS]}, "of size [37, 23] on an image of size [23, 37]"),
    "RLE of half": ({"size": [HEIGHT, WIDTH], "counts": [100, 20]}, "has an RLE with counts that sum to 120"),
    "RLE of more": ({"size": [HEIGHT, WIDTH], "counts": [PIXELS, 1]}, f"counts that sum to {PIXELS + 1}"),
    "RLE of nothing": ({"size": [HEIGHT, WIDTH], "counts": []}, "counts that sum to 0; give runs that fill the 851"),
    "RLE below 0": ({"size": [HEIGHT, WIDTH], "counts": [PIXELS + 5, -5]}, "has an RLE with a count of -5"),
    "RLE with fractions": ({"size": [HEIGHT, WIDTH], "counts": [0.5, PIXELS - 0.5]}, "with the counts [0.5, 850.5]"),
    "RLE with text": ({"size": [HEIGHT, WIDTH], "counts": ["0", PIXELS]}, 'has an RLE with the counts ["0", 851]'),
    "RLE of null": ({"size": [HEIGHT, WIDTH], "counts": None}, "has an RLE with the counts null"),
    "size in words": ({"size": "23x37", "counts": [PIXELS]}, 'has an RLE of size "23x37"'),
    "packed, empty": ({"size": [HEIGHT, WIDTH], "counts": ""}, "counts that sum to 0"),
    "packed, garbage": ({"size": [HEIGHT, WIDTH], "counts": "hello world"}, 'with the counts "hello world"; give them'),
    "packed, cut": ({"size": [HEIGHT, WIDTH], "counts": "cj"}, 'has an RLE with the counts "cj"'),
    "packed, of half": ({"size": [HEIGHT, WIDTH], "counts": "0d0"}, "has an RLE with counts that sum to 20"),
    "packed, with a zero": ({"size": [HEIGHT, WIDTH], "counts": "\0"}, "has an RLE with the counts"),
    "packed, of 200 bits": ({"size": [HEIGHT, WIDTH], "counts": "o" * 40 + "0"}, "has an RLE with the counts"),
}


@pytest.mark.parametrize("flaw", FLAWS)
def test_flawed_mask_is_refused_in_words(flaw: str) -> None:
    segmentation, words = FLAWS[flaw]
    with pytest.raises(FlawError) as refused:
        passed(segmentation)
    assert words in str(refused.value)
    assert "give " in str(refused.value)
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize("nothing", [None, [], [[]], [[1, 2]], [[1, 2, 3, 4]], [[], [1, 2], [1, 2, 3, 4]]], ids=str)
def test_no_mask(nothing: Any) -> None:
    assert passed(nothing) is None


def test_absent_mask() -> None:
    assert coco_masks.normal(msgspec.Raw(b""), WIDTH, HEIGHT) is None


def test_polygon_longer_than_pycocotools_can_draw_is_refused() -> None:
    """Its memory is 50 bytes a pixel of the outline."""
    zigzag = [value for _ in range(600) for value in (0, 0, 20_000, 20_000)]
    with pytest.raises(FlawError, match="outline of more than 10,000,000 pixels"):
        coco_masks.normal(msgspec.Raw(json.dumps([zigzag]).encode()), 20_000, 20_000)
    many = [value for n in range(600) for value in (n, 0, n, 20_000 * (n == 5))]  # as many points on a short way
    assert coco_masks.normal(msgspec.Raw(json.dumps([many]).encode()), 20_000, 20_000) is not None


def test_valid_polygon_is_copied_digit_for_digit() -> None:
    text = b"[[1.10, 1e0,\n 20, 1.0, 20, 20]]"
    assert bytes(coco_masks.normal(msgspec.Raw(text), WIDTH, HEIGHT) or b"") == text


def odd_mask(rng: np.random.Generator) -> Any:
    """A mask of any kind, often a wrong one."""
    kind = rng.integers(6)
    if kind < 3:
        return [_odd_polygon(rng) for _ in range(rng.integers(0, 4))]
    block = np.asfortranarray(rng.random((HEIGHT, WIDTH)) < rng.choice([0, 0.02, 0.5, 1]), np.uint8)
    size = [HEIGHT, WIDTH] if rng.random() < 0.9 else [int(n) for n in rng.integers(0, 60, 2)]
    if kind == 3:
        ends = np.flatnonzero(np.diff(block.ravel("F"), prepend=0, append=0))
        counts = np.diff(ends, prepend=0, append=PIXELS).tolist()
        for _ in range(rng.integers(0, 3)):  # a run of none, which changes nothing; one that is lost, or moved
            place = int(rng.integers(len(counts) + 1))
            counts[place:place] = [0, 0] if rng.random() < 0.5 else [int(rng.integers(-3, 4))]
        return {"size": size, "counts": counts}
    text = mask.encode(block)["counts"].decode()
    if kind == 4:
        for _ in range(rng.integers(0, 3)):
            place = int(rng.integers(len(text) + 1))
            text = text[:place] + chr(rng.integers(32, 120)) * int(rng.integers(0, 2)) + text[place + 1 :]
    return {"size": size, "counts": text}


def _odd_polygon(rng: np.random.Generator) -> list[Any]:
    count = int(rng.choice([0, 2, 4, 5, 6, 7, 8, 20, 60]))
    scale = rng.choice([1, 1, 1, 2, 4, 1e3, 1e9])
    points = rng.uniform(-0.2, 1.2, count) * WIDTH * scale
    if rng.random() < 0.5:
        points = np.round(points * 2) / 2  # on pixels' borders and centres
    polygon: list[Any] = points.tolist()
    if count and rng.random() < 0.05:
        polygon[rng.integers(count)] = rng.choice(np.array([None, "3", True, float(2**70)], object))
    return polygon


def test_accepted_masks_are_drawn_alike_by_pycocotools_and_hotcoco() -> None:
    rng = np.random.default_rng(0)
    masks, refused, without = [], 0, 0
    for _ in range(6000):
        try:
            found = passed(odd_mask(rng))
        except FlawError:
            refused += 1
            continue
        if found is None:
            without += 1
        else:
            masks.append(found)
    theirs, ours = drawn_by_pycocotools(masks), drawn_by_hotcoco(masks)
    assert theirs == ours
    kinds = [type(one["counts"]) if isinstance(one, dict) else list for one in masks]
    assert min(refused, without * 10, kinds.count(list), kinds.count(str)) > 500
    assert sum(0 < area < PIXELS for area, _ in theirs) > 500


def test_right_masks_are_drawn_as_they_are_written() -> None:
    """Against pycocotools on the mask as it was given, which it can read."""
    rng = np.random.default_rng(1)
    given: list[Any] = []
    for _ in range(300):
        block = np.asfortranarray(rng.random((HEIGHT, WIDTH)) < rng.choice([0, 0.1, 0.5, 1]), np.uint8)
        packed = mask.encode(block)
        ends = np.flatnonzero(np.diff(block.ravel("F"), prepend=0, append=0))
        given.append({"size": packed["size"], "counts": packed["counts"].decode()})
        given.append({"size": packed["size"], "counts": np.diff(ends, prepend=0, append=PIXELS).tolist()})
        corners = [(rng.uniform(-0.5, 1.5, 2 * rng.integers(3, 9)) * WIDTH).tolist() for _ in range(rng.integers(1, 4))]
        given.append([*corners, *[[1, 2, 3, 4], [5, 6], []][: rng.integers(0, 4)]])
    kept = [passed(one) for one in given]
    assert drawn_by_pycocotools(kept) == drawn_by_pycocotools(given)
