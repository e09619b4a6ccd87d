"""Annotation files that MMDetection or pycocotools would misread: refused with file, place and remedy; COCO's pass."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from experiments.data import datasets
from experiments.errors import UserError
from tests.support import harness
from tests.support.mistakes import content, data, refused
from tests.support.running import Preloaded

pytestmark = pytest.mark.filterwarnings("ignore")
Content = dict[str, Any]


def changed(**values: Any) -> Callable[[Content], Any]:
    """A change of the second annotation."""
    return lambda file: file["annotations"][1].update(values)


def without(part: str, key: str) -> Callable[[Content], Any]:
    return lambda file: file[part][1].pop(key)


OBJECT = "annotations[1] (id 11)"
FLAWS: dict[str, tuple[Callable[[Content], Any], list[str]]] = {
    **{f"no {part}": (lambda file, part=part: file.pop(part), [part]) for part in content()},
    **{f"empty {part}": (lambda file, part=part: file[part].clear(), [part, "empty"]) for part in content()},
    **{
        f"{part} without {key}": (without(part, key), [f"{part}[1]", f"has no {key}"])
        for part, keys in (
            ("images", ("id", "file_name", "width", "height")),
            ("annotations", ("id", "image_id", "category_id", "bbox", "area", "iscrowd")),
            ("categories", ("id", "name")),
        )
        for key in keys
    },
    "an image that is a name": (lambda file: file["images"].append("3.png"), ["images[2]", "3.png", "file_name"]),
    "image id twice": (lambda file: file["images"][1].update(id=1), ["images[1]", "id 1", "its own id"]),
    "annotation id twice": (changed(id=10), ["annotations[1]", "id 10", "its own id"]),
    "category id twice": (lambda file: file["categories"][1].update(id=1), ["categories[1]", "id 1", "its own id"]),
    "two classes of one name": (
        lambda file: file["categories"][1].update(name="cat"),
        ['2 categories are called "cat"'],
    ),
    "id in words": (lambda file: file["images"][0].update(id="1"), ["images[0]", '"1"', "whole number"]),
    "image of no width": (lambda file: file["images"][1].update(width=0), ["images[1] (id 2)", "width 0", "1 or more"]),
    "no path": (lambda file: file["images"][1].update(file_name=7), ["images[1] (id 2)", "file_name 7"]),
    "unknown image": (changed(image_id=99), [OBJECT, "image_id 99", "none of its 2 images"]),
    "image by name": (changed(image_id="1"), [OBJECT, 'image_id "1"']),
    "unknown category": (changed(category_id=3), [OBJECT, "category_id 3", "none of its 2 categories"]),
    "three numbers": (changed(bbox=[1, 2, 3]), [OBJECT, "[1, 2, 3]", "[x, y, width, height]"]),
    "words in a box": (changed(bbox=[1, 2, "3", 4]), [OBJECT, "[x, y, width, height]"]),
    "NaN in a box": (changed(bbox=[1, 2, float("nan"), 4]), [OBJECT, "NaN", "[x, y, width, height]"]),
    "a box too far to be a number": (changed(bbox=[1, 2, 10**400, 4]), [OBJECT, "[x, y, width, height]"]),
    "no width": (changed(bbox=[10, 20, 0, 40]), ["1 of 3", OBJECT, "[10, 20, 0, 40]", "100x80"]),
    "negative height": (changed(bbox=[10, 20, 5, -40]), ["1 of 3", OBJECT, "-40"]),
    "corners for sizes": (changed(bbox=[70, 50, 95, 75]), ["1 of 3", OBJECT, "beyond", "[x, y, width, height]"]),
    "left of its image": (changed(bbox=[-2, 20, 30, 40]), ["1 of 3", OBJECT, "beyond"]),
    "shares for pixels": (changed(bbox=[0.1, 0.2, 0.3, 0.4]), ["1 of 3", OBJECT, "thinner than a pixel", "in pixels"]),
    "no area": (changed(area=0), ["1 of 3", OBJECT, "without area"]),
    "area in words": (changed(area="big"), [OBJECT, '"big"', "square pixels"]),
    "area that is no number": (changed(area=float("nan")), [OBJECT, '"NaN"', "square pixels"]),
    "area without end": (changed(area=float("inf")), [OBJECT, '"Infinity"', "square pixels"]),
    "half a crowd": (changed(iscrowd=0.5), [OBJECT, "iscrowd 0.5", "1 for a crowd"]),
    "ignored in words": (changed(ignore="no"), [OBJECT, 'ignore "no"']),
    "id with a fraction": (lambda file: file["images"][1].update(id=2.0), ["images[1]", "2.0", "whole number"]),
    "id that is true": (lambda file: file["images"][0].update(id=True), ["images[0]", "true", "whole number"]),
    "id below 0": (lambda file: file["images"][0].update(id=-1), ["images[0]", "-1", "whole number"]),
    "id of 64 bits": (lambda file: file["images"][0].update(id=2**63), ["images[0]", str(2**63), "whole number"]),
    "id of 200 digits": (lambda file: file["images"][0].update(id=10**200), ["images[0]", "1000", "whole number"]),
    "category id of 64 bits": (lambda file: file["categories"][1].update(id=2**63), ["categories[1]", str(2**63)]),
    "object's id in words": (changed(id="a"), ["annotations[1]", '"a"', "whole number"]),
    "image id with a fraction": (changed(image_id=1.0), [OBJECT, "image_id 1.0", "whole number"]),
    "width with a fraction": (lambda file: file["images"][1].update(width=99.5), ["images[1] (id 2)", "width 99.5"]),
    "height in words": (lambda file: file["images"][1].update(height="80"), ["images[1] (id 2)", 'height "80"']),
    "too many pixels": (
        lambda file: file["images"][1].update(width=2**30, height=2),
        ["images[1] (id 2)", "1073741824x2"],
    ),
    "name with a fraction": (lambda file: file["categories"][1].update(name=1.5), ["categories[1] (id 2)", "name 1.5"]),
    "no name": (lambda file: file["categories"][1].update(name=""), ["categories[1] (id 2)", 'name ""']),
    "name that is true": (lambda file: file["categories"][1].update(name=True), ["categories[1] (id 2)", "name true"]),
    "8 and '8'": (
        lambda file: [kind.update(name=name) for kind, name in zip(file["categories"], (8, "8"), strict=True)],
        ['2 categories are called "8"'],
    ),
    "two classes of one odd name": (
        lambda file: [kind.update(name="\né") for kind in file["categories"]],
        [r'2 categories are called "\n\u00e9"'],
    ),
    "too many classes": (
        lambda file: file["categories"].extend({"id": n, "name": n} for n in range(3, 2**15 + 3)),
        ["32770 categories", "32767"],
    ),
    "half of a letter": (lambda file: file["categories"][1].update(name="\ud83d"), ["surrogates not allowed"]),
}


@pytest.mark.parametrize("flaw", FLAWS)
def test_flawed_file_is_refused_with_the_place(tmp_path: Path, flaw: str) -> None:
    file = content()
    FLAWS[flaw][0](file)
    with pytest.raises(UserError) as refused:
        datasets.locate(harness.settings(*data(tmp_path, file), f"output_dir={tmp_path / 'outputs'}"))
    sentence = str(refused.value)
    assert sentence.startswith(f"{tmp_path / 'train.json'} is not an annotation file in COCO's format")
    assert [part for part in FLAWS[flaw][1] if part not in sentence] == [], sentence
    assert len(sentence) < 500
    assert "\n" not in sentence
    assert not (tmp_path / "outputs").exists()


@pytest.mark.parametrize("dry", ["false", "true"])
@pytest.mark.parametrize("split", ["train", "val"])
def test_command_is_refused_with_that_sentence(preloaded: Preloaded, tmp_path: Path, split: str, dry: str) -> None:
    """A plan, too: else it would look as if the trials could be run."""
    file = content()
    FLAWS["corners for sizes"][0](file)
    arguments = data(tmp_path, **{"train": content(), "val": content(), split: file})
    with pytest.raises(UserError) as wanted:
        datasets.locate(harness.settings(*arguments))
    assert refused(preloaded, tmp_path / "outputs", *arguments, f"dry_run={dry}") == str(wanted.value)
    assert f"{split}.json" in str(wanted.value)
    assert not (tmp_path / "outputs").exists()


def test_plan_compares_classes_and_looks_for_images(preloaded: Preloaded, tmp_path: Path) -> None:
    other = content()
    other["categories"][1]["name"] = "cow"
    arguments = data(tmp_path, content(), other)
    sentence = refused(preloaded, tmp_path / "outputs", *arguments, "dry_run=true")
    assert "different classes" in sentence
    assert "val.json (cow, dog only in one of them)" in sentence
    (tmp_path / "val.json").write_text(json.dumps(content()))
    (tmp_path / "images" / "2.png").unlink()
    sentence = refused(preloaded, tmp_path / "outputs", *arguments, "dry_run=true")
    assert "1 of 2 images" in sentence
    assert not (tmp_path / "outputs").exists()


@pytest.mark.parametrize("missing", ["train.json", "val.json", "images", "all"])
def test_plan_can_do_without_data(preloaded: Preloaded, tmp_path: Path, missing: str) -> None:
    """As on a machine of one's own before a study on a cluster; what is there is judged."""
    arguments = (*data(tmp_path, content()), "dry_run=true", f"output_dir={tmp_path / 'outputs'}")
    for part in ("train.json", "val.json", "images") if missing == "all" else (missing,):
        (tmp_path / part).rename(tmp_path / f"no {part}")
    done = preloaded.run(*arguments)
    assert done.code == 0, done.stdout + done.stderr
    sentence = refused(preloaded, tmp_path / "outputs", *arguments[:-2])
    assert "incomplete" in sentence
    if missing != "all":
        (tmp_path / ("val.json" if missing == "train.json" else "train.json")).write_text("{}")
        assert "has no list of images" in refused(preloaded, tmp_path / "outputs", *arguments[:-1])


@pytest.mark.parametrize("text", ["this is no JSON", "[1, 2]", "", "\x00"])
def test_file_of_another_format_is_refused(preloaded: Preloaded, tmp_path: Path, text: str) -> None:
    assert "val.json is not an annotation" in refused(preloaded, tmp_path / "outputs", *data(tmp_path, content(), text))
    assert not (tmp_path / "outputs").exists()


@pytest.mark.parametrize("folder", ["images", "more/images"])
def test_missing_image_files_are_counted_and_named(preloaded: Preloaded, tmp_path: Path, folder: str) -> None:
    file = content()
    file["images"].append({"id": 3, "file_name": f"{folder}/3.png", "width": 50, "height": 50})
    arguments = data(tmp_path, file)
    sentence = refused(preloaded, tmp_path / "outputs", *arguments)
    assert f"1 of 3 images of {tmp_path / 'train.json'}" in sentence
    assert str(tmp_path / "images" / folder / "3.png") in sentence
    harness.picture(tmp_path / "images" / folder / "3.png", 50, 50)
    done = preloaded.run(*arguments, f"output_dir={tmp_path / 'outputs'}", fake_training=True)
    assert done.code == 0, done.stdout + done.stderr
