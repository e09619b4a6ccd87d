"""Checks whether an image is loaded as its annotation file says: its size, its orientation, and that it is not black.

OpenCV loads the images, which is mmcv's default. It turns JPEG, PNG and TIFF files by their EXIF tag, and keeps the
upper 8 bits of a 16-bit file. Boxes do not follow: a model trained on wrong pixels has a low AP and raises no error.
"""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, TiffImagePlugin

Size = tuple[float, float]  # width and height in pixels

TURNS = (2, 3, 4, 5, 6, 7, 8)  # EXIF orientations of an image that is not upright
SIDEWAYS = (5, 6, 7, 8)  # those that swap width and height
TURNED = ("JPEG", "PNG", "TIFF")  # formats that OpenCV turns by their EXIF tag
DARK = 20  # of 255: OpenCV loads 12 bits in a 16-bit file as at most 16, or slightly more for a lossy file

Image.MAX_IMAGE_PIXELS = None  # Pillow decodes nothing here, and OpenCV has another limit


@dataclass(frozen=True)
class Header:
    """The header of an image file, before any decoding."""

    kind: tuple[str, str, bool]  # format, Pillow's mode, whether values have 16 bits
    stored: Size  # before any turn
    orientation: int  # EXIF's, 1 for upright

    @property
    def format(self) -> str:
        return self.kind[0]

    @property
    def shown(self) -> Size:
        """The size after the turn that the EXIF tag asks for."""
        return self.stored[::-1] if self.orientation in SIDEWAYS else self.stored

    @property
    def expected(self) -> Size:
        """The size of the image after OpenCV has loaded it."""
        return self.shown if self.format in TURNED else self.stored

    @property
    def unclear(self) -> bool:
        """Whether the EXIF tag asks for a turn that keeps the size, so that the size does not show if boxes follow."""
        return self.orientation != 1 and self.shown == self.stored


def header(path: Path) -> Header | None:
    """Returns the header of a file; None if Pillow cannot read it."""
    try:
        with path.open("rb") as file:
            start = file.read(25)
            with Image.open(file) as image:
                return _header(image, start)
    except Exception:  # what Pillow raises depends on what it is given
        return None


def _header(image: Image.Image, start: bytes) -> Header:
    known, width, height = image.format or "", *image.size
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        orientation = image.tag_v2.get(ExifTags.Base.Orientation)
        deep = max(image.tag_v2.get(ExifTags.Base.BitsPerSample, (1,))) > 8
        if orientation in SIDEWAYS:  # for a TIFF, Pillow gives the size after the turn
            width, height = height, width
    else:
        # Not `image.getexif()`, which decodes a PNG file, and uses XMP, which OpenCV ignores.
        exif = Image.Exif()
        exif.load(image.info.get("exif") or b"")
        orientation = exif.get(ExifTags.Base.Orientation)
        deep = image.mode.startswith(("I", "F")) or (known == "PNG" and start[24] == 16)
    kind = ("JPEG" if known == "MPO" else known, image.mode, deep)
    return Header(kind, (width, height), orientation if orientation in TURNS else 1)


def load(path: Path, flag: int = cv2.IMREAD_COLOR) -> NDArray[Any] | None:
    """Returns an image as MMDetection loads it, (height, width, 3) bytes in BGR; None if OpenCV cannot read it."""
    try:
        return cv2.imdecode(np.fromfile(path, np.uint8), flag)
    except (OSError, cv2.error):  # OpenCV raises for an empty file
        return None


def unreadable(path: Path) -> str:
    """Returns the error message for a file that `load` cannot read."""
    try:
        with path.open("rb") as file:
            empty = not file.read(1)
    except OSError as error:
        return f"{path} cannot be read as an image ({error.strerror}); put the image there"
    known = header(path)
    if empty:
        cause = "it is empty"
    elif known is None:
        cause = "it is damaged, or not an image"
    elif known.format in ("JPEG", "PNG", "BMP", "WEBP"):
        cause = f"it is a damaged or incomplete {known.format} file"
    else:
        cause = f"it is damaged, or a {known.format} file (mode {known.kind[1]}) of a kind that OpenCV does not support"
    return f"{path} cannot be read by OpenCV: {cause}; give a complete JPEG or PNG file"


def flaw(path: Path, stated: Size, loaded: NDArray[Any], clear: Collection[str]) -> str | None:
    """Returns the error message for a loaded image that differs from its annotation file; None if it does not.

    Args:
        path: its file.
        stated: its width and height in the annotation file.
        loaded: (height, width, 3) bytes, as `load` returns them.
        clear: formats of which other images show that the boxes follow OpenCV's handling of the EXIF tag.
    """
    known = header(path)
    height, width = loaded.shape[:2]
    if (width, height) != stated:
        return _other_size(path, stated, (width, height), known)
    if loaded.max() < DARK and (reason := dark(path, int(loaded.max()))):
        return reason
    return unclear(path, known) if known and known.unclear and known.format not in clear else None


def unclear(path: Path, known: Header) -> str:
    """Returns the error message for a file whose EXIF tag asks for a turn that keeps the size."""
    return (
        f"{path} asks by its EXIF tag (orientation {known.orientation}) to be turned or mirrored, which keeps its size "
        f"of {_size(known.stored)} pixels, and no image of the data set shows whether the boxes follow; if they do, "
        "turn the pixels of such images (mogrify -auto-orient), else remove their tag (exiftool -Orientation=)"
    )


def dark(path: Path, brightest: int) -> str | None:
    """Returns the error message for a dark image with more than 8 bits per value; None for other images.

    Args:
        path: its file.
        brightest: the largest loaded value, of 255.
    """
    values = load(path, cv2.IMREAD_UNCHANGED)
    if values is None or values.dtype == np.uint8:
        return None
    largest = (values[..., :3] if values.ndim == 3 else values).max()  # without alpha
    if largest <= 0:
        return None
    if values.dtype.kind == "f":
        held = f"floating-point values up to {largest:.3g}"
    else:
        held = f"{int(largest).bit_length()} bits (values up to {largest}) in a {8 * values.dtype.itemsize}-bit file"
    return (
        f"{path} is loaded too dark, with values up to {brightest} of 255: it holds {held}, and OpenCV keeps the upper "
        "8 bits; give copies with values scaled to 0..255 in 8 bits"
    )


def _other_size(path: Path, stated: Size, loaded: Size, known: Header | None) -> str:
    same, crosswise = _scale(stated, loaded), _scale(stated, loaded[::-1])
    asks = known is not None and known.orientation in SIDEWAYS
    if same is None and crosswise is not None:
        copy = "" if crosswise == 1 else f", and it is a copy of {crosswise:.3g} times the size"
        if asks and known and loaded == known.shown:
            cause = f"OpenCV turns it by its EXIF tag (orientation {known.orientation}){copy}"
            remedy = (
                "if the boxes fit the stored pixels, remove the tag of all images (exiftool -Orientation=), "
                "else give the size of the turned image in the annotation file"
            )
        elif asks and known:
            cause = f"OpenCV does not turn it by its EXIF tag (orientation {known.orientation}){copy}"
            remedy = "if the boxes fit the turned image, turn the pixels (mogrify -auto-orient)"
        else:
            cause = f"probably width and height are swapped in the annotation file, or the image was turned later{copy}"
            remedy = "correct width and height, or give the image that was annotated"
    elif same is not None:
        cause = f"probably it is {'a shrunk' if same < 1 else 'an enlarged'} copy, {same:.3g} times the size"
        remedy = f"give the images that were annotated, or annotations scaled by {same:.3g}"
    else:
        cause = "probably it is another image, or a cropped, padded or stretched copy"
        remedy = "give the image that was annotated, or annotations of this one"
    return (
        f"{path} is loaded with {_size(loaded)} pixels, but its annotation file says {_size(stated)}: {cause}; {remedy}"
    )


def _scale(before: Size, after: Size) -> float | None:
    """Returns the factor by which a size was scaled, up to rounding; None if it was changed in another way."""
    if before == after:
        return 1
    factor = max(after) / max(before)
    fits = all(abs(side * factor - scaled) <= 1 for side, scaled in zip(before, after, strict=True))
    return factor if fits and factor != 1 else None


def _size(size: Size) -> str:
    return "x".join(f"{side:.10g}" for side in size)
