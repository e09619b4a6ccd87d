"""Writes tide_reference.json: small random sets in COCO's format, and what TIDE's own code finds in them.

    python -m venv tide && tide/bin/pip install tidecv==1.0.1 && tide/bin/python tests/support/tide_reference.py

In an environment of its own: tidecv needs OpenCV and more that nothing else here does. Each class has objects, and no
two scores are equal; there tidecv and COCO agree on AP50 but for the recalls where they read precision (`RECALLS`).
"""

import json
import tempfile
from pathlib import Path

import numpy as np
from pycocotools import mask

CLASSES, IMAGES, SIZE, SETS = 3, 9, 100, 4
RECALLS = [i / 100 for i in range(101)]  # as tidecv; COCO's np.linspace has 0.35000000000000003
PATH = Path(__file__).with_suffix(".json")


def triangle(box: list[float]) -> list[list[float]]:
    """Returns a polygon that fills half of a box, so that masks and boxes have different IoUs."""
    x, y, width, height = box
    return [[x, y, x + width, y, x, y + height]]


def random_set(rng: np.random.Generator) -> tuple[dict, list[dict]]:
    """Returns annotations and detections with errors of every kind, crowds, and images without either."""
    annotations: list[dict] = []
    detections: list[dict] = []
    for image in range(1, IMAGES + 1):
        for _ in range(0 if image == 3 else int(rng.integers(1, 6))):
            box = [round(float(value), 1) for value in (*rng.uniform(0, 60, 2), *rng.uniform(10, 40, 2))]
            crowd = int(rng.random() < 0.25)
            own = {"image_id": image, "category_id": int(rng.integers(1, CLASSES + 1)), "bbox": box}
            shape = {"segmentation": triangle(box), "area": box[2] * box[3] / 2, "iscrowd": crowd}
            annotations.append({"id": len(annotations) + 1, **own, **shape})
            for _ in range(0 if image == 4 else int(rng.integers(0, 4))):  # near an object, sometimes of another class
                moved = np.array(box) + rng.normal(0, rng.choice([0.5, 4, 10]), 4)
                category = own["category_id"] if rng.random() < 0.7 else int(rng.integers(1, CLASSES + 1))
                detections.append(detection(image, category, moved, rng))
        for _ in range(0 if image == 4 else int(rng.integers(0, 3))):  # anywhere
            place = np.concatenate([rng.uniform(0, 60, 2), rng.uniform(10, 40, 2)])
            detections.append(detection(image, int(rng.integers(1, CLASSES + 1)), place, rng))
    missing = set(range(1, CLASSES + 1)) - {one["category_id"] for one in annotations if not one["iscrowd"]}
    assert not missing
    images = [{"id": i, "width": SIZE, "height": SIZE, "file_name": f"{i}.png"} for i in range(1, IMAGES + 1)]
    categories = [{"id": i, "name": f"class {i}"} for i in range(1, CLASSES + 1)]
    return {"images": images, "categories": categories, "annotations": annotations}, detections


def detection(image: int, category: int, box: np.ndarray, rng: np.random.Generator) -> dict:
    """Returns a detection in COCO's result format, with a box and a mask."""
    rounded = [round(float(value), 1) for value in (*box[:2], *np.maximum(box[2:], 3))]
    rle = mask.merge(mask.frPyObjects(triangle(rounded), SIZE, SIZE))
    shape = {"size": rle["size"], "counts": rle["counts"].decode()}
    score = round(float(rng.random()), 6)
    return {"image_id": image, "category_id": category, "bbox": rounded, "segmentation": shape, "score": score}


def by_tidecv(truth: dict, detections: list[dict], iou_type: str) -> dict[str, float]:
    """Returns tidecv's AP50 and what each kind of error costs, times 100."""
    from tidecv import TIDE, datasets

    with tempfile.TemporaryDirectory() as folder:
        paths = [str(Path(folder) / name) for name in ("truth.json", "found.json")]
        for path, content in zip(paths, (truth, detections), strict=True):
            Path(path).write_text(json.dumps(content))
        mode = {"bbox": TIDE.BOX, "segm": TIDE.MASK}[iou_type]
        run = TIDE().evaluate(datasets.COCO(paths[0]), datasets.COCOResult(paths[1]), mode=mode)
    found = {**run.fix_main_errors(), **run.fix_special_errors()}
    return {"AP50": run.ap, **{kind.short_name: float(value) for kind, value in found.items()}}


def main() -> None:
    sets = []
    for seed in range(SETS):
        truth, detections = random_set(np.random.default_rng(seed))
        if seed == SETS - 2:  # a class all of whose objects are missed, with detections elsewhere
            for one in truth["annotations"]:
                one["image_id"] = 4 if one["category_id"] == CLASSES else one["image_id"]
        if seed == SETS - 1:  # a class of which nothing is detected
            detections = [one for one in detections if one["category_id"] != CLASSES]
        assert len({one["score"] for one in detections}) == len(detections)
        tide = {iou_type: by_tidecv(truth, detections, iou_type) for iou_type in ("bbox", "segm")}
        sets.append({"truth": truth, "detections": detections, "tide": tide})
    PATH.write_text("".join(["[\n", ",\n".join(json.dumps(one) for one in sets), "\n]\n"]))


if __name__ == "__main__":
    main()
