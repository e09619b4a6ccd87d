"""Where a trial's images and annotations lie, and what they are: the same questions for drawn and for real data."""

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from experiments import output_folder
from experiments.data import annotations, image_sample
from experiments.data.annotations import Checked
from experiments.data.shapes_cache import ShapesSpec, ensure_shapes
from experiments.errors import UserError
from experiments.paths import OutputPaths
from experiments.settings import Coco, Settings, Shapes

SPLITS = ("train", "val")
SHOWN = 10  # classes that a sentence names
COCO_TRAINABLE = 117_266  # images of COCO 2017's train set that MMDetection trains on
COCO_VALIDATION = 5_000


@dataclass(frozen=True)
class Split:
    """One split of a data set, as training and evaluation read it."""

    annotations: Path  # in the normal form (`normal_form`)
    images: Path
    classes: tuple[str, ...]  # in the order of MMDetection's labels
    sha256: str = ""  # of the annotation file that was given
    exif: tuple[str, ...] = ()  # image formats whose EXIF tags the boxes are known to agree with


@dataclass(frozen=True)
class Passed:
    """The splits of a data set that can be used."""

    splits: dict[str, Checked]
    seen: image_sample.Seen


@dataclass(frozen=True)
class SplitPlace:
    """Where the parts of a split lie that the user has."""

    annotations: Path
    images: Path


def locate(settings: Settings) -> dict[str, Split]:
    """Returns the splits of a trial's data set, drawn first where they are drawn.

    Raises UserError where they are missing, or are not what MMDetection can train this trial's detector on.
    """
    places = _places(settings)
    passed = _passed(settings, places)
    _keep(settings, passed)
    return {
        split: Split(found.normal_form, places[split].images, found.contents.classes, found.sha256, passed.seen.exif)
        for split, found in passed.splits.items()
    }


def require(settings: Settings) -> None:
    """Raises UserError where data that the user has to bring are not there; drawn ones need not be there yet."""
    dataset = settings.dataset
    if isinstance(dataset, Shapes):
        return
    if not dataset.root:
        raise UserError("dataset.root is not set; give the folder that holds annotations and images")
    _require(dataset, [path for place in _given(dataset).values() for path in (place.annotations, place.images)])


def look(settings: Settings) -> list[str]:
    """Judges what is there of a trial's data set before anything is drawn; returns a note on each file that needs one.

    Writes nothing. Raises UserError where the trial's detector cannot be trained on it.
    """
    found = _passed(settings, _present(settings.dataset)).splits
    return [f"{one.file}: {one.contents.note}" for one in found.values() if one.contents.note]


def keep(settings: Settings) -> None:
    """Writes what `look` found, so that no later command with this output folder judges the same files again."""
    _keep(settings, _passed(settings, _present(settings.dataset)))


def training_images(settings: Settings) -> int | None:
    """Returns how many images an epoch has; None where the annotations are not there to tell, but for COCO's own."""
    dataset = settings.dataset
    if isinstance(dataset, Shapes):
        return dataset.train_images
    found = _passed(settings, _present(dataset)).splits
    if "train" in found:
        return found["train"].contents.trainable
    return COCO_TRAINABLE if dataset.name == "coco" else None


def validation_images(settings: Settings) -> int | None:
    """Returns how many images are evaluated; None where the annotations are not there to tell, but for COCO's own."""
    dataset = settings.dataset
    if isinstance(dataset, Shapes):
        return dataset.val_images
    found = _passed(settings, _present(dataset)).splits
    if "val" in found:
        return len(found["val"].contents.file_names)
    return COCO_VALIDATION if dataset.name == "coco" else None


def facts(settings: Settings) -> dict[str, dict[str, Any]]:
    """Returns what a trial's record keeps of each split: the annotation file, its SHA-256, and counts.

    A split that cannot be read has the reason in their place: the training will say so too.
    """
    try:
        return {split: _facts(found) for split, found in _passed(settings, _places(settings)).splits.items()}
    except UserError as error:
        return {split: {"unreadable": str(error)} for split in SPLITS}


def _facts(found: Checked) -> dict[str, Any]:
    known = found.contents
    counts = {"images": len(known.file_names), "objects": known.objects, "classes": len(known.classes)}
    return {"annotations": str(found.file), "sha256": found.sha256, **counts}


def _places(settings: Settings) -> dict[str, SplitPlace]:
    """Returns where the splits lie, drawn first where they are drawn; UserError where they are missing."""
    dataset, outputs = settings.dataset, OutputPaths(Path(settings.output_dir))
    if isinstance(dataset, Shapes):
        output_folder.mark(outputs.root)
        root = ensure_shapes(ShapesSpec.of(dataset), outputs.data)
        return {split: SplitPlace(root / "annotations" / f"{split}.json", root / "images") for split in SPLITS}
    require(settings)
    return _given(dataset)


def _given(dataset: Coco) -> dict[str, SplitPlace]:
    root, splits = Path(str(dataset.root)), {"train": dataset.train, "val": dataset.val}
    return {split: SplitPlace(root / files.annotations, root / files.images) for split, files in splits.items()}


def _present(dataset: Shapes | Coco) -> dict[str, SplitPlace]:
    """Returns the splits whose annotations the user has, by now."""
    places = _given(dataset) if isinstance(dataset, Coco) and dataset.root else {}
    return {split: place for split, place in places.items() if place.annotations.exists()}


def _passed(settings: Settings, places: dict[str, SplitPlace]) -> Passed:
    """Returns the splits, which pass, and writes nothing; UserError where one does not."""
    masks = "segm" in settings.architecture.iou_types
    return _pass(settings.dataset.name, masks, OutputPaths(Path(settings.output_dir)), tuple(places.items()))


def _keep(settings: Settings, passed: Passed) -> None:
    outputs = OutputPaths(Path(settings.output_dir))
    if passed.splits:
        output_folder.mark(outputs.root)
        image_sample.remember(passed.seen, outputs.checked / "images")
    for one in passed.splits.values():
        one.keep()


@cache  # a sweep asks for it once per trial
def _pass(name: str, masks: bool, outputs: OutputPaths, places: tuple[tuple[str, SplitPlace], ...]) -> Passed:
    found = {split: _checked(place.annotations, split, masks, outputs.checked) for split, place in places}
    for split, place in places:
        if place.images.exists():  # else only a plan is asked for
            _require_images(name, found[split].contents.file_names, place)
    _require_same_classes(name, found)
    seen = image_sample.check(_stated(found, places), outputs.checked / "images")
    return Passed(found, seen)


def _stated(
    found: dict[str, Checked], places: tuple[tuple[str, SplitPlace], ...]
) -> list[tuple[Path, list[image_sample.Stated]]]:
    """Returns what the annotation files say of the images that are there, by their folder."""
    return [
        (place.images, [(name, *size) for name, size in zip(known.file_names, known.sizes, strict=True)])
        for split, place in places
        if place.images.exists()
        for known in (found[split].contents,)
    ]


def _checked(file: Path, split: str, masks: bool, folder: Path) -> Checked:
    try:
        return annotations.check(file, split, masks, folder)
    except OSError as error:
        raise UserError(f"{file} cannot be read as an annotation file ({error.strerror})") from error


def _require_same_classes(name: str, found: dict[str, Checked]) -> None:
    classes = [set(one.contents.classes) for one in found.values()]
    if len(classes) == 2 and classes[0] != classes[1]:
        only = sorted(classes[0] ^ classes[1])
        some = f"{', '.join(only[:SHOWN])}{f' and {len(only) - SHOWN} more' if len(only) > SHOWN else ''}"
        train, val = (one.file for one in found.values())
        raise UserError(
            f"dataset={name} has other classes in {train} than in {val} ({some} in one of them only); "
            "both need the same"
        )


def _require(dataset: Coco, paths: list[Path]) -> None:
    root = Path(str(dataset.root))
    missing = [
        str(path.relative_to(root) if path.is_relative_to(root) else path) for path in paths if not path.exists()
    ]
    if missing:
        kind = "" if root.is_dir() else ", which is no folder" if root.exists() else ", which is not there"
        raise UserError(
            f"dataset={dataset.name} is incomplete: {', '.join(missing)} not found in dataset.root={root}{kind}; "
            "set dataset.root to a folder in COCO's format, or use profile=demo, which draws its own images"
        )


def _require_images(name: str, file_names: tuple[str, ...], place: SplitPlace) -> None:
    """Raises UserError where image files are missing: folders are listed, which is quick, and no file is opened."""
    by_folder: dict[str, set[str]] = {}
    for path in file_names:
        parent, _, last = path.rpartition("/")
        by_folder.setdefault(parent, set()).add(last)
    missing = []
    for parent, wanted in by_folder.items():
        folder = place.images / parent
        missing += [str(folder / last) for last in sorted(wanted - set(os.listdir(folder) if folder.is_dir() else ()))]
    if missing:
        raise UserError(
            f"dataset={name} is incomplete: {len(missing)} of {len(file_names)} images of {place.annotations} are not "
            f"found, the first is {missing[0]}"
        )
