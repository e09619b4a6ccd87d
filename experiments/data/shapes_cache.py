"""Keeps drawn shapes on disk in COCO format: complete or absent, and drawn once even if several processes need them."""

import hashlib
import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
from filelock import FileLock, Timeout
from rich.console import Console
from rich.progress import Progress

from experiments import files
from experiments.data import shapes
from experiments.errors import UserError
from experiments.settings import Shapes

VERSION = 1  # raise it whenever the same spec gives other pixels or annotations: old folders are then ignored


@dataclass(frozen=True)
class ShapesSpec:
    """Which shapes: any seed, how many images in each split, and the side of the square images in pixels."""

    seed: int
    train_images: int
    val_images: int
    image_size: int

    @classmethod
    def of(cls, dataset: Shapes) -> "ShapesSpec":
        """Returns the spec of a trial's settings."""
        return cls(dataset.seed, dataset.train_images, dataset.val_images, dataset.image_size)

    @property
    def folder(self) -> str:
        """The name of the data's folder: readable, and different for every spec and version."""
        digest = hashlib.sha256(json.dumps([VERSION, asdict(self)]).encode()).hexdigest()[:8]
        counts = f"{self.train_images}train-{self.val_images}val"
        return f"shapes-{self.image_size}px-{counts}-seed{self.seed}-{digest}"


def ensure_shapes(spec: ShapesSpec, root: Path) -> Path:
    """Returns the folder below `root` with images/ and annotations/{train,val}.json; draws them if necessary.

    File names in the annotations are relative to images/. Raises UserError if `root` cannot be written.
    """
    target = Path(root) / spec.folder
    if target.is_dir():
        return target
    console = Console(stderr=True)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(f"{target}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            console.print(f"another process draws {target.name}; waiting for it")
            lock.acquire()
        try:
            if not target.is_dir():
                _draw_all(spec, target, console)
        finally:
            lock.release()
    except OSError as error:
        reason = error.strerror or error
        raise UserError(
            f"shapes cannot be written to {root} ({reason}); make room there or set output_dir to another folder"
        ) from error
    return target


def _draw_all(spec: ShapesSpec, target: Path, console: Console) -> None:
    """Draws into a folder next to `target` and renames it at the end; removes the leftovers of a killed process."""
    partial = target.with_name(target.name + ".partial")
    if partial.exists():
        shutil.rmtree(partial)
    (partial / "annotations").mkdir(parents=True)
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("Drawing shapes", total=spec.train_images + spec.val_images)
        for split, count in zip(shapes.SPLITS, (spec.train_images, spec.val_images), strict=True):
            (partial / "images" / split).mkdir(parents=True)
            images: list[dict[str, object]] = []
            annotations: list[dict[str, object]] = []
            for index in range(count):
                scene = shapes.describe(spec.seed, split, index)
                name = f"{split}/{index:06d}.png"
                _, png = cv2.imencode(".png", shapes.draw(scene, spec.image_size))
                # not cv2.imwrite, which does not report a full disk
                files.write(partial / "images" / name, png.tobytes())
                size = {"width": spec.image_size, "height": spec.image_size}
                images.append({"id": index + 1, "file_name": name, **size})
                for annotation in shapes.annotate(scene, spec.image_size):
                    annotations.append({"id": len(annotations) + 1, "image_id": index + 1, **annotation})
                progress.advance(task)
            categories = [{"id": i + 1, "name": name} for i, name in enumerate(shapes.CLASSES)]
            info = {"description": "shapes, drawn by this repository", "version": str(VERSION), **asdict(spec)}
            content = {"info": info, "images": images, "annotations": annotations, "categories": categories}
            files.write(partial / "annotations" / f"{split}.json", json.dumps(content))
    files.move(partial, target)
