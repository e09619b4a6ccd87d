"""Where a trial's images and annotations lie, and what they are: the same questions for drawn and for real data."""

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from experiments import files
from experiments.data import annotations, shapes
from experiments.data.annotations import Contents
from experiments.data.shapes_cache import ShapesSpec, ensure_shapes
from experiments.errors import UserError
from experiments.paths import OutputPaths
from experiments.planning import output_folder

SPLITS = ("train", "val")
PARTS = ("annotations", "images")
KINDS = {  # and what an option of each kind has
    "shapes": ("seed", "train_images", "val_images", "image_size"),
    "coco": ("root", "train", "val"),
}
COCO_TRAINABLE = 117_266  # images of COCO 2017's train set that MMDetection trains on


@dataclass(frozen=True)
class Split:
    """One split of a data set in COCO's format."""

    annotations: Path
    images: Path
    classes: tuple[str, ...]  # in the order of MMDetection's labels


def locate(config: dict[str, Any]) -> dict[str, Split]:
    """Returns the splits of a trial's data set, drawn first where they are drawn.

    Raises UserError where they are missing, or are not what MMDetection can train this trial's detector on.
    """
    return _drawn(config) if config["dataset"]["kind"] == "shapes" else _given(config)


def require(config: dict[str, Any]) -> None:
    """Raises UserError where data that the user has to bring are not there; drawn ones need not be there yet."""
    dataset = config["dataset"]
    if dataset["kind"] == "shapes":
        return
    if not dataset["root"]:
        raise UserError("dataset.root is not set; give the folder that holds annotations and images")
    _require(dataset, [Path(dataset["root"], dataset[split][part]) for split in SPLITS for part in PARTS])


def shapes_of(dataset: dict[str, Any]) -> ShapesSpec:
    """Returns which shapes are to be drawn; UserError for a value out of range."""
    return ShapesSpec(**{key: dataset[key] for key in KINDS["shapes"]})


def training_images(config: dict[str, Any]) -> int | None:
    """Returns how many images an epoch has; None where the annotations are not there to tell, but for COCO's own."""
    dataset = config["dataset"]
    if dataset["kind"] == "shapes":
        return int(dataset["train_images"])
    file = Path(dataset["root"] or "", dataset["train"]["annotations"])
    if file.is_file():
        return _contents(file, OutputPaths(Path(config["output_dir"])).data / "checked").trainable
    return COCO_TRAINABLE if dataset["name"] == "coco" else None


def facts(config: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Returns what a trial's record keeps of each split: the annotation file, its SHA-256, and counts.

    A split that cannot be read has the reason in their place: whoever trains on it will say so too.
    """
    checked = OutputPaths(Path(config["output_dir"])).data / "checked"
    try:
        return {split: _facts(part.annotations, checked) for split, part in locate(config).items()}
    except UserError as error:
        return {split: {"unreadable": str(error)} for split in SPLITS}


def _facts(file: Path, checked: Path) -> dict[str, Any]:
    found = _contents(file, checked)
    counts = {"images": len(found.file_names), "objects": found.objects, "classes": len(found.classes)}
    return {"annotations": str(file), "sha256": fingerprint(file), **counts}


@cache
def fingerprint(file: Path) -> str:
    """Returns the SHA-256 of an annotation file, read once."""
    return files.digest(file)


def _drawn(config: dict[str, Any]) -> dict[str, Split]:
    spec, outputs = shapes_of(config["dataset"]), OutputPaths(Path(config["output_dir"]))
    output_folder.mark(outputs.root)
    root = ensure_shapes(spec, outputs.data)
    return {split: Split(root / "annotations" / f"{split}.json", root / "images", shapes.CLASSES) for split in SPLITS}


def _given(config: dict[str, Any]) -> dict[str, Split]:
    dataset, outputs = config["dataset"], OutputPaths(Path(config["output_dir"]))
    require(config)
    root = Path(dataset["root"])
    places = {split: (root / dataset[split]["annotations"], root / dataset[split]["images"]) for split in SPLITS}
    checked = outputs.data / "checked"
    found = {split: _contents(file, checked) for split, (file, _) in places.items()}
    for split, (file, images) in places.items():
        _require_use(split, file, found[split], "segm" in config["architecture"]["iou_types"])
        _require_images(dataset["name"], file, images, checked)
    if set(found["train"].classes) != set(found["val"].classes):
        only = sorted(set(found["train"].classes) ^ set(found["val"].classes))
        raise UserError(
            f"dataset={dataset['name']} has other classes in {places['train'][0]} than in {places['val'][0]} "
            f"({', '.join(only)} in one of them only); both need the same"
        )
    output_folder.mark(outputs.root)
    for split, (file, _) in places.items():
        annotations.remember(found[split], fingerprint(file), checked)
    return {split: Split(file, images, found[split].classes) for split, (file, images) in places.items()}


@cache  # a sweep asks for it once per trial
def _contents(file: Path, checked: Path) -> Contents:
    try:
        return annotations.contents(file, fingerprint(file), checked)
    except OSError as error:
        raise UserError(f"{file} cannot be read as an annotation file ({error.strerror})") from error


def _require(dataset: dict[str, Any], paths: list[Path]) -> None:
    root = Path(dataset["root"])
    missing = [
        str(path.relative_to(root) if path.is_relative_to(root) else path) for path in paths if not path.exists()
    ]
    if missing:
        kind = "" if root.is_dir() else ", which is no folder" if root.exists() else ", which is not there"
        raise UserError(
            f"dataset={dataset['name']} is incomplete: {', '.join(missing)} not found in dataset.root={root}{kind}; "
            "set dataset.root to a folder in COCO's format, or use profile=demo, which draws its own images"
        )


def _require_use(split: str, file: Path, found: Contents, masks: bool) -> None:
    """Raises UserError for a good file that this split of this trial cannot use."""
    if split == "train" and not found.trainable:
        raise UserError(
            f"{file} has no image to train on: MMDetection leaves out images without objects and those with a side "
            f"below {annotations.LEAST_SIDE} pixels"
        )
    if split == "val" and found.zeroth:
        raise UserError(
            f"{file}: {found.zeroth} would count as missed, because pycocotools takes an annotation's id 0 for no "
            "match; number annotations from 1"
        )
    if masks and found.maskless:
        raise UserError(
            f"{file}: {found.maskless} has no segmentation, which a detector of masks needs; choose "
            "architecture=faster_rcnn or grid_rcnn, or annotations with masks"
        )


@cache
def _require_images(name: str, file: Path, folder: Path, checked: Path) -> None:
    """Raises UserError where image files are missing: folders are listed, which is quick, and no file is opened."""
    found = _contents(file, checked)
    by_folder: dict[str, set[str]] = {}
    for path in found.file_names:
        parent, _, last = path.rpartition("/")
        by_folder.setdefault(parent, set()).add(last)
    missing = []
    for parent, wanted in by_folder.items():
        place = folder / parent
        missing += [str(place / last) for last in sorted(wanted - set(os.listdir(place) if place.is_dir() else ()))]
    if missing:
        raise UserError(
            f"dataset={name} is incomplete: {len(missing)} of {len(found.file_names)} images of {file} are not found, "
            f"the first is {missing[0]}"
        )
