"""One image and what its annotation file says: judged as MMDetection's own reading (mmcv.imread) delivers it."""

import contextlib
from pathlib import Path
from typing import Any

import cv2
import mmcv
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from experiments.data import images
from tests.support.pictures import deep, pixels, turned

TAGGED = ("jpg", "png", "tif", "webp", "avif")  # formats that keep an EXIF orientation


def size(picture: NDArray[Any]) -> tuple[int, int]:
    return picture.shape[1], picture.shape[0]


def judged(path: Path, stated: tuple[float, float], *clear: str) -> str | None:
    loaded = images.load(path)
    assert loaded is not None
    np.testing.assert_array_equal(loaded, mmcv.imread(path))
    return images.flaw(path, stated, loaded, clear)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("ending", TAGGED)
def test_header_tells_the_size_that_is_loaded(tmp_path: Path, ending: str, orientation: int) -> None:
    path = turned(tmp_path / f"1.{ending}", orientation)
    known = images.header(path)
    assert known is not None
    assert known.stored == (96, 64)
    assert known.orientation == orientation
    assert known.expected == size(mmcv.imread(path))


@pytest.mark.parametrize("boxes", ["stored", "turned"])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("ending", TAGGED)
def test_boxes_of_stored_and_of_turned_pixels(tmp_path: Path, ending: str, orientation: int, boxes: str) -> None:
    """What is loaded is right, or it is refused: by its size, or because no size tells."""
    path = turned(tmp_path / f"1.{ending}", orientation)
    sideways = orientation >= 5
    stated = (64, 96) if sideways and boxes == "turned" else (96, 64)
    loaded = size(mmcv.imread(path))
    reason = judged(path, stated)
    if loaded != stated:
        assert reason is not None
        assert f"{path} is loaded with {loaded[0]}x{loaded[1]} pixels" in reason
        assert f"says {stated[0]}x{stated[1]}" in reason
        assert f"EXIF tag (orientation {orientation})" in reason
        assert ("OpenCV turns it" if ending in ("jpg", "png", "tif") else "OpenCV does not turn it") in reason
        assert "exiftool -Orientation=" in reason or "mogrify -auto-orient" in reason
    elif orientation in (2, 3, 4):
        assert reason is not None
        assert f"{path} asks by its EXIF tag (orientation {orientation})" in reason
        assert "96x64" in reason
        assert "mogrify -auto-orient" in reason
        assert "exiftool -Orientation=" in reason
    else:
        assert reason is None


@pytest.mark.parametrize("orientation", range(2, 9))
def test_turn_of_a_square_image_is_unclear_unless_others_tell(tmp_path: Path, orientation: int) -> None:
    path = turned(tmp_path / "1.jpg", orientation, 64, 64)
    assert "no image of the data set shows whether the boxes follow" in (judged(path, (64, 64)) or "")
    assert "no image of the data set shows" in (judged(path, (64, 64), "PNG") or "")
    assert judged(path, (64, 64), "JPEG") is None


def test_tag_that_opencv_does_not_see_is_not_taken_for_a_turn(tmp_path: Path) -> None:
    """Behind XMP it reads no EXIF; a tag of 0 or 9 turns nothing."""
    plain = turned(tmp_path / "1.jpg", 6).read_bytes()
    xmp = b"http://ns.adobe.com/xap/1.0/\0<x/>"
    behind = tmp_path / "2.jpg"
    behind.write_bytes(plain[:2] + b"\xff\xe1" + (len(xmp) + 2).to_bytes(2) + xmp + plain[2:])
    assert size(mmcv.imread(behind)) == (96, 64)
    assert judged(behind, (96, 64)) is None
    assert "OpenCV does not turn it by its EXIF tag (orientation 6)" in (judged(behind, (64, 96)) or "")
    for number in (0, 9):
        assert judged(turned(tmp_path / "3.jpg", number), (96, 64)) is None


@pytest.mark.parametrize(
    ("stated", "cause"),
    [
        ((192, 128), "a shrunk copy, 0.5 times the size"),
        ((48, 32), "an enlarged copy, 2 times the size"),
        ((290, 193), "a shrunk copy, 0.331 times the size"),  # 64 is 193 x 96 / 290, rounded
        ((64, 96), "width and height are swapped in the annotation file"),
        ((128, 192), "or the image was turned later, and it is a copy of 0.5 times the size"),
        ((96, 63), "another image, or a cropped, padded or stretched copy"),
        ((640, 640), "another image, or a cropped, padded or stretched copy"),
    ],
)
def test_other_size_is_refused_with_the_likely_cause(tmp_path: Path, stated: tuple[float, float], cause: str) -> None:
    path = tmp_path / "1.png"
    Image.fromarray(pixels()).save(path)
    reason = judged(path, stated)
    assert reason is not None
    assert reason.startswith(
        f"{path} is loaded with 96x64 pixels, but its annotation file says {stated[0]}x{stated[1]}"
    )
    assert cause in reason
    assert reason.count("\n") == 0
    assert "; " in reason.partition(cause)[2]  # the remedy


def test_turned_and_shrunk(tmp_path: Path) -> None:
    reason = judged(turned(tmp_path / "1.jpg", 8), (192, 128))
    assert "OpenCV turns it by its EXIF tag (orientation 8), and it is a copy of 0.5 times the size" in (reason or "")


RIGHT = [
    *((mode, ending) for mode in ("1", "L", "LA", "P", "RGB", "RGBA") for ending in ("png", "tif", "webp", "gif")),
    *((mode, "jpg") for mode in ("1", "L", "RGB", "CMYK")),
    *((mode, "bmp") for mode in ("1", "L", "P", "RGB")),
    *(("RGB", ending) for ending in ("jp2", "avif", "ppm", "mpo")),
    ("CMYK", "tif"),
]


@pytest.mark.parametrize(("mode", "ending"), RIGHT)
def test_other_modes_and_formats_are_no_mistake(tmp_path: Path, mode: str, ending: str) -> None:
    path = tmp_path / f"1.{ending}"
    image = Image.fromarray(pixels()).convert(mode)
    image.save(path, **({"save_all": True, "append_images": [image.rotate(180)]} if ending == "mpo" else {}))
    known = images.header(path)
    assert known is not None
    assert known.expected == size(mmcv.imread(path)) == (96, 64)
    assert judged(path, (96, 64)) is None
    assert judged(path, (96.0, 64.0)) is None


@pytest.mark.parametrize("mode", ["grey", "colour", "alpha"])
@pytest.mark.parametrize("ending", ["png", "tif", "jp2"])
def test_twelve_bits_in_a_16_bit_file_are_refused(tmp_path: Path, ending: str, mode: str) -> None:
    """OpenCV makes black of them; files that use their range are right, and so is a black image."""
    if (mode, ending) != ("alpha", "jp2"):
        path = deep(tmp_path / f"12.{ending}", 4095, mode)
        assert mmcv.imread(path).max() < 20
        reason = judged(path, (96, 64))
        assert reason is not None
        assert f"{path} is loaded too dark" in reason
        assert " bits (values up to 4" in reason
        assert "in a 16-bit file" in reason
        assert "scaled to 0..255" in reason
    for name, top in (("full", 65535), ("shifted", 4095 << 4), ("black", 0)):
        assert judged(deep(tmp_path / f"{name}.{ending}", top, mode), (96, 64)) is None


@pytest.mark.parametrize(("top", "held"), [(255, "8 bits"), (1023, "10 bits"), (4095, "12 bits")])
def test_sentence_counts_the_bits(tmp_path: Path, top: int, held: str) -> None:
    reason = judged(deep(tmp_path / "1.png", top, "grey"), (96, 64))
    assert f"it holds {held} (values up to {top}) in a 16-bit file" in (reason or "")


def test_shares_in_floating_point_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "1.pfm"
    assert cv2.imwrite(str(path), (pixels() / 255).astype(np.float32))
    assert mmcv.imread(path).max() <= 1
    assert "floating-point values up to 1, and" in (judged(path, (96, 64)) or "")


def test_dark_image_of_8_bits_is_no_mistake(tmp_path: Path) -> None:
    path = tmp_path / "1.png"
    Image.fromarray(pixels(top=3)).save(path)
    assert judged(path, (96, 64)) is None


def damaged(folder: Path) -> dict[str, tuple[Path, str]]:
    """Returns files that OpenCV cannot read, and what is said of each."""
    image = Image.fromarray(pixels())
    for ending in ("jpg", "png", "tga"):
        image.save(folder / f"whole.{ending}")
    image.save(folder / "zstd.tif", compression="zstd")
    image.convert("CMYK").save(folder / "cmyk.jp2")
    image.convert("I").save(folder / "int32.tif")
    (folder / "empty.png").touch()
    (folder / "page.jpg").write_text("<html>not found</html>")
    (folder / "folder.png").mkdir()
    for name in ("whole.jpg", "whole.png"):
        content = (folder / name).read_bytes()
        (folder / f"half_{name}").write_bytes(content[: len(content) * 9 // 10])
        (folder / f"start_{name}").write_bytes(content[:20])
    return {
        "half_whole.jpg": "a damaged or incomplete JPEG file",
        "half_whole.png": "a damaged or incomplete PNG file",
        "start_whole.jpg": "damaged, or not an image",
        "start_whole.png": "damaged, or not an image",
        "empty.png": "it is empty",
        "page.jpg": "damaged, or not an image",
        "folder.png": "Is a directory",
        "missing.png": "No such file",
        "whole.tga": "a TGA file (mode RGB) of a kind that OpenCV does not support",
        "zstd.tif": "a TIFF file (mode RGB) of a kind that OpenCV does not support",
        "int32.tif": "a TIFF file (mode I) of a kind",
        "cmyk.jp2": "a JPEG2000 file (mode CMYK) of a kind",
    }


def test_unreadable_image_is_named_with_the_cause(tmp_path: Path) -> None:
    for name, cause in damaged(tmp_path).items():
        path = tmp_path / name
        assert images.load(path) is None
        reason = images.unreadable(path)
        assert reason.startswith(f"{path} cannot be read")
        assert cause in reason, reason
        with contextlib.suppress(OSError, cv2.error):
            assert mmcv.imread(path) is None
