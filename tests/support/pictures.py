"""What tests of images share: pictures that differ in every corner, written as cameras and tools write them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.support import harness
from tests.support.mistakes import own_data

ORIENTATION = 0x0112  # EXIF's and TIFF's tag


def pixels(width: int = 96, height: int = 64, top: int = 255) -> NDArray[Any]:
    """Returns random blocks of values from 0 to `top`, which is there, as a picture in RGB."""
    blocks = np.random.default_rng(0).integers(0, top + 1, (4, 6, 3))
    blocks[0, 0] = top
    kind = np.uint8 if top < 256 else np.uint16
    return cv2.resize(blocks.astype(kind), (width, height), interpolation=cv2.INTER_NEAREST)


def turned(path: Path, orientation: int, width: int = 96, height: int = 64) -> Path:
    """Writes a picture of so many stored pixels, with an EXIF tag that says how to turn it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image, exif = Image.fromarray(pixels(width, height)), Image.Exif()
    exif[ORIENTATION] = orientation
    image.save(
        path, **({"tiffinfo": {ORIENTATION: orientation}} if path.suffix == ".tif" else {"exif": exif.tobytes()})
    )
    return path


def deep(path: Path, top: int, mode: str) -> Path:
    """Writes a 16-bit file whose largest value is `top`, but for an opaque alpha."""
    values = pixels(top=top).astype(np.uint16)
    if mode == "grey":
        values = values[..., 0]
    elif mode == "alpha":
        values = np.dstack([values, np.full(values.shape[:2], 65535, np.uint16)])
    assert cv2.imwrite(str(path), values)
    return path


def described(root: Path, train: Sequence[tuple[str, int, int]], val: Sequence[tuple[str, int, int]] = ()) -> list[str]:
    """Writes annotation files that give each image of root/images a size and a box, and returns what to type for them.

    Args:
        root: the data set's folder.
        train: file name, width and height of each image; the same may be there more than once.
        val: the same, as train where it is not given.
    """
    for split, stated in (("train", train), ("val", val or train)):
        images = [
            {"id": number, "file_name": name, "width": width, "height": height}
            for number, (name, width, height) in enumerate(stated, 1)
        ]
        box = {"bbox": [10, 10, 30, 30], "area": 900, "iscrowd": 0, "category_id": 1}
        boxes = [{"id": image["id"], "image_id": image["id"], **box} for image in images]
        harness.annotation_file(root / f"{split}.json", harness.categories("cat"), images=images, annotations=boxes)
    return own_data(root, "train.json", "val.json", "images")


def only_with_boxes(file: Path, kept: set[int]) -> None:
    """Takes the boxes of all but some images out of an annotation file: MMDetection then trains on these alone."""
    content = json.loads(file.read_text())
    content["annotations"] = [one for one in content["annotations"] if one["image_id"] in kept]
    file.write_text(json.dumps(content))
