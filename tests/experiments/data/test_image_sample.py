"""The sample of images that a plan looks at: few are opened, once, and what is wrong stops it before it starts."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from experiments.data import image_sample, images
from experiments.data.image_sample import Stated
from experiments.errors import UserError
from tests.support import harness
from tests.support.mistakes import present, refusal
from tests.support.pictures import deep, described, pixels, turned
from tests.support.running import Preloaded

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Path]]:
    """The files whose headers are read, and those that are decoded."""
    found: dict[str, list[Path]] = {"header": [], "load": []}

    def counted(name: str) -> Callable:
        real = getattr(images, name)

        def count(path: Path, *arguments: int) -> object:
            found[name].append(path)
            return real(path, *arguments)

        return count

    for name in found:
        monkeypatch.setattr(images, name, counted(name))
    return found


def copies(folder: Path, count: int, name: str = "{}.png") -> list[Stated]:
    """Writes pictures of 96x64 pixels and returns what a good annotation file says of them."""
    first = folder / name.format(0)
    folder.mkdir(exist_ok=True)
    Image.fromarray(pixels()).save(first)
    for number in range(1, count):
        (folder / name.format(number)).write_bytes(first.read_bytes())
    return [(name.format(number), 96, 64) for number in range(count)]


def test_at_most_200_images_from_the_whole_length_are_opened(tmp_path: Path, opened: dict[str, list[Path]]) -> None:
    stated = copies(tmp_path, 1000)
    seen = image_sample.check([(tmp_path, stated)], tmp_path / "checked")
    numbers = [int(path.stem) for path in dict.fromkeys(opened["header"])]
    assert len(numbers) == 200
    assert np.array_equal(np.diff(sorted(numbers)), [5] * 199)
    assert len(opened["load"]) == 8
    assert {int(path.stem) for path in opened["load"]} <= set(numbers)
    assert image_sample.check([(tmp_path, stated)], tmp_path / "checked") == seen  # the same draw


def test_each_split_has_its_sample_and_small_ones_are_seen_whole(tmp_path: Path, opened: dict[str, list[Path]]) -> None:
    splits = [(tmp_path / name, copies(tmp_path / name, count)) for name, count in (("train", 401), ("val", 7))]
    image_sample.check(splits, tmp_path / "checked")
    found = set(opened["header"])
    assert len([path for path in found if path.parent.name == "train"]) == 200
    assert len([path for path in found if path.parent.name == "val"]) == 7


def test_images_that_passed_are_opened_again_only_after_a_change(tmp_path: Path, opened: dict[str, list[Path]]) -> None:
    stated = copies(tmp_path / "images", 3)
    splits, checked = [(tmp_path / "images", stated)], tmp_path / "checked"
    seen = image_sample.check(splits, checked)
    assert not checked.exists()  # only what passed as a whole is remembered
    image_sample.remember(seen, checked)

    def again() -> int:
        opened["header"].clear()
        assert image_sample.check(splits, checked).exif == seen.exif
        return len(opened["header"])

    assert again() == 0
    os.utime(tmp_path / "images" / "1.png", ns=(1, 1))
    assert again() > 0
    with pytest.raises(UserError, match="says 64x96"):
        image_sample.check([(tmp_path / "images", [("0.png", 64, 96), *stated[1:]])], checked)


def test_formats_whose_tags_are_clear_are_remembered(tmp_path: Path) -> None:
    for orientation in (1, 3, 6):
        turned(tmp_path / f"{orientation}.jpg", orientation)
    splits = [(tmp_path, [("1.jpg", 96, 64), ("3.jpg", 96, 64), ("6.jpg", 64, 96)])]
    for _ in range(2):
        seen = image_sample.check(splits, tmp_path / "checked")
        assert seen.exif == ("JPEG",)
        image_sample.remember(seen, tmp_path / "checked")


def refused(folder: Path, *splits: list[Stated]) -> str:
    with pytest.raises(UserError) as error:
        image_sample.check([(folder, stated) for stated in splits], folder / "checked")
    return str(error.value)


def test_half_turn_is_refused_unless_another_image_tells(tmp_path: Path) -> None:
    """In either split, but of the same format, as OpenCV does not turn all."""
    for name, orientation in (("3.jpg", 3), ("6.jpg", 6), ("6.webp", 6), ("1.jpg", 1)):
        turned(tmp_path / name, orientation)
    half, aside = [("1.jpg", 96, 64), ("3.jpg", 96, 64)], [("6.jpg", 64, 96)]
    assert "3.jpg asks by its EXIF tag (orientation 3)" in refused(tmp_path, half)
    assert "3.jpg asks" in refused(tmp_path, half, [("6.webp", 96, 64)])
    assert "6.jpg is loaded with 64x96 pixels, but its annotation file says 96x64" in refused(
        tmp_path, half, [("6.jpg", 96, 64)]
    )
    assert image_sample.check([(tmp_path, half), (tmp_path, aside)], tmp_path).exif == ("JPEG",)


def test_number_of_wrong_images_is_told(tmp_path: Path) -> None:
    stated = copies(tmp_path, 300)
    wrong = [
        (name, width / 2, height / 2) if place % 3 else (name, width, height)
        for place, (name, width, height) in enumerate(stated)
    ]
    assert refused(tmp_path, wrong).endswith("(100 of 200 checked images differ from the annotation file)")
    assert "looked at" not in refused(tmp_path, [("0.png", 1, 1), *stated[1:]])


def test_some_of_each_kind_are_decoded(tmp_path: Path) -> None:
    """One file in 200 that OpenCV cannot read, one of 12 bits."""
    stated = copies(tmp_path, 199)
    Image.fromarray(pixels()).save(tmp_path / "odd.tif", compression="zstd")
    assert "odd.tif cannot be read by OpenCV" in refused(tmp_path, [*stated, ("odd.tif", 96, 64)])
    deep(tmp_path / "odd.png", 4095, "colour")
    assert "odd.png is loaded too dark" in refused(tmp_path, [*stated, ("odd.png", 96, 64)])


@pytest.mark.parametrize("ending", ["png", "tif", "ppm"])
def test_fourteen_bits_are_refused_unless_a_file_uses_all(tmp_path: Path, ending: str) -> None:
    """One alone could be a dark image."""
    stated = [(deep(tmp_path / f"{number}.{ending}", 16383, "colour").name, 96, 64) for number in range(3)]
    stated.append((deep(tmp_path / f"black.{ending}", 0, "colour").name, 96, 64))
    assert f"2.{ending} is loaded too dark, with values up to 6" in (sentence := refused(tmp_path, stated))
    assert "14 bits (values up to 16383) in a 16-bit file" in sentence
    full = [(deep(tmp_path / f"full.{ending}", 65535, "colour").name, 96, 64)]
    image_sample.check([(tmp_path, [*stated, *full])], tmp_path)


def upright(image: Path) -> None:
    Image.fromarray(pixels()).save(image)


WRONG = {
    "turned by EXIF": (lambda file: turned(file, 6), "turns it by its EXIF tag (orientation 6)"),
    "half the size": (lambda file: Image.fromarray(pixels(48, 32)).save(file), "a shrunk copy, 0.5 times the size"),
    "upright": (upright, None),
}


@pytest.mark.parametrize("dry_run", [False, True])
@pytest.mark.parametrize("wrong", WRONG)
def test_plan_is_refused_and_nothing_written(
    preloaded: Preloaded, tmp_path: Path, output_folder: Callable[[], Path], wrong: str, dry_run: bool
) -> None:
    """Exit code 2 and one sentence; also where nothing is to be run."""
    (tmp_path / "images").mkdir()
    upright(tmp_path / "images" / "1.jpg")
    change, cause = WRONG[wrong]
    change(tmp_path / "images" / "2.jpg")
    arguments = described(tmp_path, [("1.jpg", 96, 64)], [("2.jpg", 96, 64)])
    outputs = tmp_path / "outputs" if cause else output_folder()
    command = [*arguments, *harness.TINY[3:], f"output_dir={outputs}", f"dry_run={str(dry_run).lower()}"]
    if cause:
        sentence = refusal(preloaded, *command)
        assert cause in sentence
        assert str(tmp_path / "images" / "2.jpg") in sentence
        assert not present(outputs)
    else:
        done = preloaded.run(*command, fake_training=True)
        assert done.code == 0, done.stdout + done.stderr
        (record,) = (outputs / "data" / "checked" / "images").iterdir()
        assert json.loads(record.read_text()) == {"exif": []}
