"""Made sets as large as COCO's: val2017 and detections on it, and the annotation file of train2017."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask

IMAGES, OBJECTS, CLASSES, DETECTIONS = 5000, 36000, 80, 100  # as val2017 has; detections in an image
SIDE = 640  # of every image, pixels
CORNERS = 16  # of each mask


def validation_set(rng: np.random.Generator, images: int, objects: int) -> dict[str, Any]:
    """Returns ground truth in COCO's format with as uneven classes as COCO's: a third of all is of one."""
    share = 1 / np.arange(3, CLASSES + 3) ** 1.2
    share[0] = share[1:].sum() / 2
    boxes = _boxes(rng, objects)
    return {
        "info": {},
        "images": [{"id": number, "width": SIDE, "height": SIDE} for number in range(1, images + 1)],
        "categories": [{"id": number, "name": str(number)} for number in range(1, CLASSES + 1)],
        "annotations": [
            {
                "id": number,
                "image_id": image,
                "category_id": kind,
                "bbox": box,
                "area": box[2] * box[3],
                "iscrowd": crowd,
            }
            for number, (image, kind, box, crowd) in enumerate(
                zip(
                    rng.integers(1, images + 1, objects).tolist(),
                    (1 + rng.choice(CLASSES, objects, p=share / share.sum())).tolist(),
                    boxes.tolist(),
                    (rng.random(objects) < 0.01).astype(int).tolist(),
                    strict=True,
                ),
                1,
            )
        ],
    }


def detections(rng: np.random.Generator, truth: dict[str, Any]) -> list[dict[str, Any]]:
    """Returns results in COCO's format, DETECTIONS an image: most objects once or twice, displaced, and much else."""
    of = [(one["image_id"], one["category_id"], one["bbox"]) for one in truth["annotations"]]
    of = [
        of[number]
        for number in rng.permutation(np.repeat(np.arange(len(of)), rng.choice(3, len(of), p=[0.1, 0.6, 0.3])))
    ]
    moved = rng.normal(0, 0.08, (len(of), 4))
    boxes = np.array([box for _, _, box in of]).reshape(-1, 4)
    boxes += moved * boxes[:, [2, 3, 2, 3]]
    scores = np.clip(rng.beta(3, 1.5, len(of)) - np.abs(moved).sum(axis=1), 0.05, 1)
    spare = len(truth["images"]) * DETECTIONS - len(of)
    known = np.array([kind for _, kind, _ in of])
    image = np.array([image for image, _, _ in of])
    places = np.concatenate([image, rng.integers(1, len(truth["images"]) + 1, spare)])
    kinds = np.concatenate([known, rng.choice(known, spare)])
    boxes = np.concatenate([boxes, _boxes(rng, spare)])
    scores = np.concatenate([scores, rng.beta(1, 8, spare)])
    return [
        {"image_id": image, "category_id": kind, "bbox": box, "score": score}
        for image, kind, box, score in zip(
            places.tolist(), kinds.tolist(), boxes.tolist(), scores.tolist(), strict=True
        )
    ]


def _boxes(rng: np.random.Generator, count: int) -> np.ndarray:
    size = np.exp(rng.uniform(np.log(8), np.log(SIDE / 1.5), (count, 1))) * rng.uniform(0.7, 1.4, (count, 2))
    return np.concatenate([rng.random((count, 2)) * (SIDE - size).clip(1), size], axis=1)


def with_masks(truth: dict[str, Any], records: list[dict[str, Any]]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Returns the same with an ellipse in each box: objects as polygons, detections as RLE and without their boxes."""
    objects = [{**one, "segmentation": [_ellipse(one["bbox"])]} for one in truth["annotations"]]
    found = []
    for one in records:
        drawn = mask.frPyObjects([_ellipse(one["bbox"])], SIDE, SIDE)[0]
        record = {key: value for key, value in one.items() if key != "bbox"}
        found.append({**record, "segmentation": {"size": drawn["size"], "counts": drawn["counts"].decode()}})
    return {**truth, "annotations": objects}, found


def write_train_set(rng: np.random.Generator, file: Path, images: int, objects: int) -> None:
    """Writes an annotation file with a mask for each object, its numbers and fields as long as COCO's are."""
    truth = validation_set(rng, images, objects)
    for image in truth["images"]:
        name = f"{image['id']:012d}.jpg"
        urls = dict.fromkeys(("coco_url", "flickr_url"), f"http://images.cocodataset.org/train2017/{name}")
        image |= {"file_name": name, "license": 3, "date_captured": "2013-11-14 11:18:45", **urls}
    corners = rng.integers(6, 48, objects).tolist()
    for one, count in zip(truth["annotations"], corners, strict=True):
        one["bbox"] = [round(value, 2) for value in one["bbox"]]
        if one["iscrowd"]:
            runs = rng.integers(1, 40, 400).tolist()
            one["segmentation"] = {"counts": [*runs, SIDE * SIDE - sum(runs)], "size": [SIDE, SIDE]}
        else:
            one["segmentation"] = [[round(value, 2) for value in _ellipse(one["bbox"], count)]]
    with file.open("w") as target:
        json.dump(truth, target)


def _ellipse(box: list[float], corners: int = CORNERS) -> list[float]:
    x, y, width, height = box
    turn = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    return np.stack([x + width * (1 + np.cos(turn)) / 2, y + height * (1 + np.sin(turn)) / 2], axis=1).ravel().tolist()
