"""What tests of the user's mistakes share: a command that is refused, and data of one's own to make mistakes in."""

import json
from pathlib import Path
from typing import Any

from tests.support import harness
from tests.support.running import Preloaded


def refused(preloaded: Preloaded, outputs: Path, *arguments: str, cwd: Path = harness.ROOT) -> str:
    """Returns the sentence that refuses a command before anything is written."""
    before = present(outputs)
    sentence = refusal(preloaded, *arguments, f"output_dir={outputs}", cwd=cwd)
    assert present(outputs) == before
    return sentence


def refusal(preloaded: Preloaded, *arguments: str, cwd: Path = harness.ROOT) -> str:
    """Returns the sentence that refuses a command: one line, exit code 2, no traceback."""
    command = preloaded.run(*arguments, cwd=cwd, fake_training=True)
    errors = [line for line in command.stderr.splitlines() if line.startswith("error: ")]
    assert command.code == 2, command.stdout + command.stderr
    assert len(errors) == 1, command.stderr
    assert "Traceback" not in command.stdout + command.stderr
    return errors[0].removeprefix("error: ")


def present(folder: Path) -> set[str]:
    """Returns what is in a folder, nothing where there is none."""
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


def content() -> dict[str, Any]:
    """Returns a good annotation file: two images, three objects with masks, one of them a crowd, two classes."""
    images = [{"id": number, "file_name": f"{number}.png", "width": 100, "height": 80} for number in (1, 2)]
    shared = {"bbox": [10, 20, 30, 40], "area": 1200, "iscrowd": 0, "segmentation": [[10, 20, 40, 20, 40, 60, 10, 60]]}
    annotations = [{"id": 10 + n, "image_id": 1 + n // 2, "category_id": 1 + n % 2, **shared} for n in range(3)]
    annotations[2] |= {"iscrowd": 1, "segmentation": {"counts": [8000], "size": [80, 100]}}
    return {"images": images, "annotations": annotations, "categories": harness.categories("cat", "dog")}


def data(root: Path, train: Any, val: Any | None = None) -> list[str]:
    """Writes data of one's own, its images of 100x80 pixels; returns what to type for it."""
    for split, file in (("train", train), ("val", train if val is None else val)):
        (root / f"{split}.json").write_text(file if isinstance(file, str) else json.dumps(file))
    (root / "images").mkdir()
    for number in (1, 2):
        harness.picture(root / "images" / f"{number}.png", 100, 80)
    return own_data(root, "train.json", "val.json", "images")


def own_data(root: Path, train: str, val: str, images: str) -> list[str]:
    """Returns what to type for data of one's own."""
    files = [f"dataset.train.annotations={train}", f"dataset.val.annotations={val}"]
    folders = [f"dataset.{split}.images={images}" for split in ("train", "val")]
    return ["dataset=coco", "dataset.name=mine", f"dataset.root={root}", *files, *folders]
