"""An annotation file in COCO's format, read once and judged: what MMDetection or pycocotools would misread is refused.

Both read most mistakes without a word: an object on an unknown image, of an unknown category or with a box of no extent
is left out, and a box [x1, y1, x2, y2] is taken for [x, y, width, height]. So records must be whole, ids must be whole
numbers that are given once, and what an object names must exist. Boxes are judged by their share, because COCO's own
files hold a few odd ones, which MMDetection leaves out of training (train2017 has two without height among 860,001):

- without width or height, or more than a pixel beyond their image: at most one in a thousand;
- thinner than a pixel, without area, or with polygons of fewer than three points: at most one in a hundred.

A crowd's mask is an RLE, counts compressed or not, of the size of its image. Objects without any mask are no mistake of
the file; a detector of masks is refused them (`Contents.maskless`).
"""

import json
import math
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from experiments import files
from experiments.display import console
from experiments.errors import UserError

VERSION = 3  # raise it when the rules change: files that passed the old ones are then read again
LONG = 50_000_000  # bytes that take more than a second

IMAGE_KEYS = ("id", "file_name", "width", "height")
ANNOTATION_KEYS = ("id", "image_id", "category_id", "bbox", "area", "iscrowd")
BAD_BOX = "without width or height or more than a pixel beyond their image"
LEFT_OUT = "thinner than a pixel, without area or with a mask of fewer than three points"
MOST = {BAD_BOX: 0.001, LEFT_OUT: 0.01}  # accepted share of a file's annotations
LEAST_SIDE = 32  # pixels: MMDetection trains on no image with a shorter side (filter_cfg of its COCO configs)


@dataclass(frozen=True)
class Contents:
    """What is known of an annotation file that passed."""

    classes: tuple[str, ...]  # in the file's order, which is the order of MMDetection's labels
    file_names: tuple[str, ...]
    sizes: tuple[tuple[float, float], ...]  # width and height of each, in pixels
    objects: int
    trainable: int  # images that MMDetection trains on
    maskless: str | None  # the first annotation without a mask
    zeroth: str | None  # the annotation with id 0, which pycocotools takes for "no match"


class FlawError(Exception):
    """What is wrong with a file and where, without the file's name."""


def contents(annotations: Path, digest: str, checked: Path) -> Contents:
    """Returns what is in an annotation file, from the record of an earlier check if its content is the same.

    Args:
        annotations: the file.
        digest: SHA-256 of its content.
        checked: folder of the records; `remember` writes there.

    Raises:
        UserError: it is no annotation file in COCO's format, or one that would be misread.
        OSError: it cannot be read.
    """
    record = checked / f"{digest}.json"
    if record.exists():
        known: dict[str, Any] = json.loads(record.read_text())
        if known.pop("version") == VERSION:
            known["sizes"] = map(tuple, known["sizes"])
            return Contents(**known | {key: tuple(known[key]) for key in ("classes", "file_names", "sizes")})
    size = annotations.stat().st_size
    try:
        if size < LONG:
            return _judge(json.loads(annotations.read_bytes()), annotations)
        with console.status(f"checking {annotations.name} ({size / 1e6:.0f} MB), once"):
            return _judge(json.loads(annotations.read_bytes()), annotations)
    except (FlawError, ValueError) as error:
        raise UserError(f"{annotations} is no annotation file in COCO's format: {error}") from error


def remember(found: Contents, digest: str, checked: Path) -> None:
    """Records that a file with this content passed."""
    record = checked / f"{digest}.json"
    if not record.exists():
        checked.mkdir(parents=True, exist_ok=True)
        files.write(record, json.dumps({"version": VERSION, **asdict(found)}))


def _judge(content: Any, file: Path) -> Contents:
    for key in ("images", "annotations", "categories"):
        if not isinstance(content, dict) or not isinstance(content.get(key), list):
            raise FlawError(f"it has no list of {key}; it needs images, annotations and categories")
        if not content[key]:
            raise FlawError(f"its list of {key} is empty")
    categories = _by_id(content["categories"], "categories", ("id", "name"))
    classes = tuple(str(kind["name"]) for kind in categories.values())
    for name, count in Counter(classes).items():
        if count > 1:
            raise FlawError(f"{count} categories are called {name}; each needs a name of its own")
    images = _by_id(content["images"], "images", IMAGE_KEYS)
    for place, image in enumerate(images.values()):
        _check_image(image, f"images[{place}]")
    annotations = _by_id(content["annotations"], "annotations", ANNOTATION_KEYS)

    odd: dict[str, list[str]] = {BAD_BOX: [], LEFT_OUT: []}
    maskless = zeroth = None
    with_objects = set()
    for place, annotation in enumerate(annotations.values()):
        where = f"annotations[{place}] (id {annotation['id']})"
        image = _named(annotation, "image_id", images, where, "images")
        _named(annotation, "category_id", categories, where, "categories")
        with_objects.add(image["id"])
        for reason in _oddities(annotation, image, where):
            odd[reason].append(f"{where} with bbox {annotation['bbox']} on {image['width']}x{image['height']} pixels")
        if not annotation.get("segmentation"):
            maskless = maskless or where
        if annotation["id"] == 0:
            zeroth = where
    for reason, found in odd.items():
        share = f"{len(found)} of {len(annotations)} objects are {reason}"
        if len(found) > MOST[reason] * len(annotations):
            raise FlawError(f"{share}, the first in {found[0]}; a bbox is [x, y, width, height] in pixels")
        if found:
            console.print(f"note: {file}: {share}; MMDetection leaves them out of training", markup=False)
    trainable = sum(min(images[number]["width"], images[number]["height"]) >= LEAST_SIDE for number in with_objects)
    names = tuple(image["file_name"] for image in images.values())
    sizes = tuple((image["width"], image["height"]) for image in images.values())
    return Contents(classes, names, sizes, len(annotations), trainable, maskless, zeroth)


def _by_id(records: list[Any], name: str, keys: tuple[str, ...]) -> dict[int, dict[str, Any]]:
    """Returns records by their id, in their order; FlawError for a missing key, or a wrong or repeated id."""
    found: dict[int, dict[str, Any]] = {}
    for place, record in enumerate(records):
        if not isinstance(record, dict):
            raise FlawError(f"{name}[{place}] is {_short(record)}, not an object with {', '.join(keys)}")
        for key in keys:
            if record.get(key) is None:
                raise FlawError(f"{name}[{place}] (id {record.get('id')}) has no {key}; each needs {', '.join(keys)}")
        number = record["id"]
        if type(number) is not int or number < 0:
            raise FlawError(f"{name}[{place}] has the id {_short(number)}; give a whole number, 0 or more")
        if number in found:
            raise FlawError(f"{name}[{place}] has the id {number}, which an earlier one has; ids are given once")
        found[number] = record
    return found


def _named(annotation: dict[str, Any], key: str, known: dict[int, dict[str, Any]], where: str, name: str) -> Any:
    """Returns the record that an annotation names."""
    number = annotation[key]
    if type(number) is not int or number not in known:
        raise FlawError(f"{where} has the {key} {_short(number)}, which none of its {len(known)} {name} has")
    return known[number]


def _check_image(image: dict[str, Any], where: str) -> None:
    if not isinstance(image["file_name"], str) or not image["file_name"]:
        raise FlawError(f"{where} (id {image['id']}) has the file_name {_short(image['file_name'])}; give a path")
    for side in ("width", "height"):
        if not _number(image[side]) or image[side] < 1:
            raise FlawError(f"{where} (id {image['id']}) has the {side} {_short(image[side])}; give pixels, 1 or more")


def _oddities(annotation: dict[str, Any], image: dict[str, Any], where: str) -> list[str]:
    """Returns what is odd about an object that can be read; FlawError where it cannot."""
    box = annotation["bbox"]
    if not isinstance(box, list) or len(box) != 4 or not all(map(_number, box)):
        raise FlawError(f"{where} has the bbox {_short(box)}; give [x, y, width, height] in pixels")
    if not _number(annotation["area"]):
        raise FlawError(f"{where} has the area {_short(annotation['area'])}; give square pixels")
    if annotation["iscrowd"] not in (0, 1):
        raise FlawError(f"{where} has iscrowd {_short(annotation['iscrowd'])}; give 0, or 1 for a crowd")
    x, y, width, height = box
    beyond = max(-x, -y, x + width - image["width"], y + height - image["height"])
    if width <= 0 or height <= 0 or beyond > 1:
        return [BAD_BOX]
    pointless = annotation.get("segmentation") and not _masks(annotation["segmentation"], image, where)
    return [LEFT_OUT] if min(width, height) < 1 or annotation["area"] <= 0 or pointless else []


def _masks(segmentation: Any, image: dict[str, Any], where: str) -> bool:
    """Returns whether a mask has an outline; FlawError where it is neither polygons nor an RLE of the image's size."""
    if isinstance(segmentation, dict):
        if not isinstance(segmentation.get("counts"), str | list):
            raise FlawError(f"{where} has an RLE segmentation without counts; give polygons or counts and size")
        if segmentation.get("size") != [image["height"], image["width"]]:
            size = f"{_short(segmentation.get('size'))} on an image of size [{image['height']}, {image['width']}]"
            raise FlawError(f"{where} has an RLE of size {size}; give the image's [height, width]")
        return True
    if not isinstance(segmentation, list) or not all(isinstance(polygon, list) for polygon in segmentation):
        raise FlawError(f"{where} has the segmentation {_short(segmentation)}; give a list of polygons, or an RLE")
    if not all(_number(value) for polygon in segmentation for value in polygon[:2]):  # all would take twice as long
        raise FlawError(f"{where} has a polygon of {_short(segmentation[0])}; give [x1, y1, x2, y2, ...] in pixels")
    return any(len(polygon) >= 6 and len(polygon) % 2 == 0 for polygon in segmentation)


def _number(value: object) -> bool:
    return type(value) in (int, float) and math.isfinite(value)  # type: ignore[arg-type]


def _short(value: object) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 40 else f"{text[:37]}..."
