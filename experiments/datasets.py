"""Where a trial's images and annotations lie, and what they are: the same questions for drawn and for real data."""

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from experiments.errors import UserError, unknown
from experiments.paths import OutputPaths
from experiments.shapes_cache import ShapesSpec, ensure_shapes

SPLITS = ("train", "val")


@dataclass(frozen=True)
class Split:
    """One split of a data set in COCO's format."""

    annotations: Path
    images: Path


def locate(config: dict[str, Any]) -> dict[str, Split]:
    """Returns the splits of a trial's data set, drawn first where they are drawn; UserError where they are missing."""
    dataset = config["dataset"]
    if dataset["kind"] == "shapes":
        counts = {key: dataset[key] for key in ("seed", "train_images", "val_images", "image_size")}
        root = ensure_shapes(ShapesSpec(**counts), OutputPaths(Path(config["output_dir"])).data)
        return {split: Split(root / "annotations" / f"{split}.json", root / "images") for split in SPLITS}
    if dataset["kind"] == "coco":
        if not dataset["root"]:
            raise UserError("dataset.root is not set; give the folder that holds annotations and images")
        root = Path(dataset["root"])
        found = {
            split: Split(root / dataset[split]["annotations"], root / dataset[split]["images"]) for split in SPLITS
        }
        _require(dataset, root, found)
        for part in found.values():
            if not _read(part.annotations)[1]:
                raise _no_coco(part.annotations, "it has no images or no annotations")
        by_split = {split: classes(part.annotations) for split, part in found.items()}
        if set(by_split["train"]) != set(by_split["val"]):
            only = sorted(set(by_split["train"]) ^ set(by_split["val"]))
            raise UserError(
                f"dataset={dataset['name']} has other classes in {found['train'].annotations} than in "
                f"{found['val'].annotations} ({', '.join(only)} in one of them only); both need the same"
            )
        return found
    raise unknown("dataset.kind", dataset["kind"], ("shapes", "coco"))


def _require(dataset: dict[str, Any], root: Path, found: dict[str, Split]) -> None:
    missing = [path for split in found.values() for path in (split.annotations, split.images) if not path.exists()]
    if missing:
        raise UserError(
            f"dataset={dataset['name']} is incomplete: {', '.join(str(path) for path in missing)} not found "
            f"(dataset.root={root}, sought from {Path.cwd()}); set dataset.root to a folder in COCO's format, "
            "or use profile=demo, which draws its own images"
        )


def classes(annotations: Path) -> tuple[str, ...]:
    """Returns the class names of an annotation file in its own order, which is the order of MMDetection's labels.

    Raises UserError where the file has no categories in COCO's format.
    """
    return _read(annotations)[0]


@cache  # COCO's own take many seconds to read
def _read(annotations: Path) -> tuple[tuple[str, ...], bool]:
    """Returns an annotation file's class names and whether it has images and a list of annotations."""
    try:
        content = json.loads(annotations.read_text())
        names = tuple(str(kind["name"]) for kind in content["categories"] if kind["id"] >= 0)
    except (ValueError, LookupError, TypeError, OSError) as error:
        raise _no_coco(annotations, f"{type(error).__name__}: {error}") from error
    if not names or len(set(names)) < len(names):
        raise _no_coco(annotations, f"categories {names}")
    return names, bool(content.get("images")) and "annotations" in content


def _no_coco(annotations: Path, reason: str) -> UserError:
    return UserError(
        f"{annotations} is no annotation file in COCO's format ({reason}); it needs images, annotations and "
        "categories, each with an id and a name of its own"
    )


@cache
def fingerprint(annotations: Path) -> str:
    """Returns the SHA-256 of an annotation file, read in blocks."""
    with annotations.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
