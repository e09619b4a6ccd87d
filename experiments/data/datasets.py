"""Finds and checks a trial's images and annotations, for drawn and for real data."""

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
SHOWN = 10  # classes that an error lists
COCO_TRAINABLE = 117_266  # images of COCO 2017's train set that MMDetection trains on
COCO_VALIDATION = 5_000


@dataclass(frozen=True)
class Split:
    """One split of a data set, as training and evaluation read it."""

    annotations: Path  # in the normal form (`normal_form`)
    images: Path
    classes: tuple[str, ...]  # in the order of MMDetection's labels
    sha256: str = ""  # of the original annotation file
    exif: tuple[str, ...] = ()  # image formats whose EXIF tags are known to match the boxes


@dataclass(frozen=True)
class Passed:
    """The splits of a data set that passed the checks."""

    splits: dict[str, Checked]
    seen: image_sample.Seen


@dataclass(frozen=True)
class SplitPlace:
    """The paths of a split's files."""

    annotations: Path
    images: Path


def locate(settings: Settings) -> dict[str, Split]:
    """Returns the splits of a trial's data set; draws them first if necessary.

    Raises UserError if they are missing, or MMDetection cannot train this trial's detector on them.
    """
    places = _places(settings)
    passed = _passed(settings, places)
    _keep(settings, passed)
    return {
        split: Split(found.normal_form, places[split].images, found.contents.classes, found.sha256, passed.seen.exif)
        for split, found in passed.splits.items()
    }


def require(settings: Settings) -> None:
    """Raises UserError if data of the user are missing; drawn data need not exist yet."""
    dataset = settings.dataset
    if isinstance(dataset, Shapes):
        return
    if not dataset.root:
        raise UserError("dataset.root is not set; give the folder that holds annotations and images")
    _require(dataset, [path for place in _given(dataset).values() for path in (place.annotations, place.images)])


def look(settings: Settings) -> list[str]:
    """Checks the existing files of a trial's data set and draws nothing; returns a note on each file that needs one.

    Writes nothing. Raises UserError if the trial's detector cannot be trained on the files.
    """
    found = _passed(settings, _present(settings.dataset)).splits
    return [f"{one.file}: {one.contents.note}" for one in found.values() if one.contents.note]


def keep(settings: Settings) -> None:
    """Writes the results of `look`, so that later commands with this output folder do not repeat the checks."""
    _keep(settings, _passed(settings, _present(settings.dataset)))


def training_images(settings: Settings) -> int | None:
    """Returns how many images an epoch has; None if it is not COCO and the annotations are missing."""
    dataset = settings.dataset
    if isinstance(dataset, Shapes):
        return dataset.train_images
    found = _passed(settings, _present(dataset)).splits
    if "train" in found:
        return found["train"].contents.trainable
    return COCO_TRAINABLE if dataset.name == "coco" else None


def validation_images(settings: Settings) -> int | None:
    """Returns how many images are evaluated; None if it is not COCO and the annotations are missing."""
    dataset = settings.dataset
    if isinstance(dataset, Shapes):
        return dataset.val_images
    found = _passed(settings, _present(dataset)).splits
    if "val" in found:
        return len(found["val"].contents.file_names)
    return COCO_VALIDATION if dataset.name == "coco" else None


def facts(settings: Settings) -> dict[str, dict[str, Any]]:
    """Returns the facts about each split for a trial's record: the annotation file, its SHA-256, and counts.

    A split that cannot be read has the reason instead; the training will fail with the same reason.
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
    """Returns the paths of the splits, and draws them first if necessary; UserError if they are missing."""
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
    """Returns the splits whose annotation files exist."""
    places = _given(dataset) if isinstance(dataset, Coco) and dataset.root else {}
    return {split: place for split, place in places.items() if place.annotations.exists()}


def _passed(settings: Settings, places: dict[str, SplitPlace]) -> Passed:
    """Returns the checked splits and writes nothing; UserError if one does not pass."""
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
        if place.images.exists():  # else only a plan is made
            _require_images(name, found[split].contents.file_names, place)
    _require_same_classes(name, found)
    seen = image_sample.check(_stated(found, places), outputs.checked / "images")
    return Passed(found, seen)


def _stated(
    found: dict[str, Checked], places: tuple[tuple[str, SplitPlace], ...]
) -> list[tuple[Path, list[image_sample.Stated]]]:
    """Returns the annotation files' entries of the existing images, by their folder."""
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
            f"dataset={name} has different classes in {train} and {val} ({some} only in one of them); both need the "
            "same classes"
        )


def _require(dataset: Coco, paths: list[Path]) -> None:
    root = Path(str(dataset.root))
    missing = [
        str(path.relative_to(root) if path.is_relative_to(root) else path) for path in paths if not path.exists()
    ]
    if missing:
        kind = "" if root.is_dir() else ", which is not a folder" if root.exists() else ", which does not exist"
        raise UserError(
            f"dataset={dataset.name} is incomplete: {', '.join(missing)} not found in dataset.root={root}{kind}; "
            "set dataset.root to a folder in COCO's format, or use profile=demo, which draws its own images"
        )


def _require_images(name: str, file_names: tuple[str, ...], place: SplitPlace) -> None:
    """Raises UserError if image files are missing; it lists folders, which is quick, and opens no file."""
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
