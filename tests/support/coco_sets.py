"""Small random validation sets in COCO's format, made to be awkward, and pycocotools' evaluation of them."""

import contextlib
import io
import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from pycocotools import mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

SIDES = (5, 16, 32, 50, 96, 120)  # 32 x 32 and 96 x 96 lie on the borders of two area ranges

Records = list[dict[str, Any]]


@dataclass(frozen=True)
class CocoSet:
    """Ground truth in parts, and detections as COCO's result format has them."""

    images: Records
    annotations: Records
    detections: Records
    classes: int

    def truth(self) -> dict[str, Any]:
        """Returns the content of an annotation file, copied: pycocotools writes into it."""
        kinds = [{"id": number, "name": f"class {number}"} for number in range(1, self.classes + 1)]
        annotations = [dict(one) for one in self.annotations]
        return {"info": {}, "images": self.images, "categories": kinds, "annotations": annotations}


def awkward(rng: np.random.Generator, images: int, classes: int, tied: bool = True, crowded: bool = False) -> CocoSet:
    """Returns a set with crowds, areas on the borders, images without objects or detections, and an absent class.

    `tied` scores are .2, .4, .6 or .8, so that many are equal within an image and across images; in a `crowded` set
    images have up to 130 detections, most of class 1.
    """
    ids = np.sort(rng.choice(1000, images, replace=False)).tolist()
    annotations: Records = []
    detections: Records = []
    for image in ids:
        objects = [
            (*rng.integers(0, 100, 2), *rng.choice(SIDES, 2), rng.integers(1, classes + 1))
            for _ in range(rng.integers(0, 7) * (rng.random() > 0.15))
        ]
        for x, y, width, height, category in objects:
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image,
                    "category_id": int(category),
                    "bbox": [float(x), float(y), float(width), float(height)],
                    "area": float(width * height),
                    "iscrowd": int(rng.random() < 0.15),
                }
            )
        for _ in range(rng.integers(0, 131 if crowded else 15) * (rng.random() > 0.15)):
            if objects and rng.random() < 0.7:
                *box, category = objects[rng.integers(len(objects))]
                box = np.array(box) + rng.integers(-6, 7, 4) * (rng.random() < 0.7)
            else:
                box = np.concatenate([rng.integers(0, 100, 2), rng.choice(SIDES, 2)])
                category = rng.integers(1, classes + 1)
            detections.append(
                {
                    "image_id": image,
                    "category_id": 1 if crowded and rng.random() < 0.9 else int(category),
                    "bbox": [*map(float, box[:2]), *map(float, np.maximum(box[2:], 1))],
                    "score": float(rng.integers(1, 5)) / 5 if tied else float(rng.random()),
                }
            )
    pictures = [{"id": image, "width": 300, "height": 300} for image in ids]
    return CocoSet(pictures, annotations, detections, classes + 1)


def drawn(whole: CocoSet, counts: Iterable[int]) -> CocoSet:
    """Returns the set in which each image, in the order of their ids, is there so often, each time with a new id."""
    annotations_of, detections_of = defaultdict(list), defaultdict(list)
    for one in whole.annotations:
        annotations_of[one["image_id"]].append(one)
    for one in whole.detections:
        detections_of[one["image_id"]].append(one)
    images: Records = []
    annotations: Records = []
    detections: Records = []
    for image, count in zip(sorted(whole.images, key=lambda one: one["id"]), counts, strict=True):
        for _ in range(count):
            new = {"image_id": len(images) + 1}
            images.append({**image, "id": new["image_id"]})
            for one in annotations_of[image["id"]]:
                annotations.append({**one, **new, "id": len(annotations) + 1})
            detections += [{**one, **new} for one in detections_of[image["id"]]]
    return replace(whole, images=images, annotations=annotations, detections=detections)


def with_masks(whole: CocoSet, rng: np.random.Generator) -> CocoSet:
    """Returns the set with a mask for each box: one polygon or two, numbers for a crowd, text for what is found."""
    annotations = [dict(one) for one in whole.annotations]
    for one in annotations:
        x, y, width, height = one["bbox"]
        if one["iscrowd"]:
            block = np.zeros((300, 300), np.uint8, order="F")
            block[int(y) : int(y + height), int(x) : int(x + width)] = 1
            ends = np.flatnonzero(np.diff(block.ravel("F"), prepend=0, append=0))
            one["segmentation"] = {"size": [300, 300], "counts": np.diff(ends, prepend=0, append=block.size).tolist()}
        else:
            triangle = [x, y, x + width, y, x, y + height]
            other = [x + width, y + height, x + width, y + height / 2, x + width / 2, y + height]
            one["segmentation"] = [triangle, other][: rng.integers(1, 3)]
            one["area"] = float(mask.area(mask.merge(mask.frPyObjects(one["segmentation"], 300, 300))))
    detections = []
    for one in whole.detections:
        x, y, width, height = np.array(one["bbox"]).round().astype(int)
        block = np.zeros((300, 300), np.uint8, order="F")
        block[max(y, 0) : y + height, max(x, 0) : x + width] = np.tri(height, width)[::-1][max(-y, 0) :, max(-x, 0) :]
        drawn_as = mask.encode(block)
        record = {key: value for key, value in one.items() if key != "bbox"}
        detections.append({**record, "segmentation": {**drawn_as, "counts": drawn_as["counts"].decode()}})
    return replace(whole, annotations=annotations, detections=detections)


def indexed(truth: dict[str, Any]) -> COCO:
    """Returns the content of an annotation file as pycocotools has it, copied: it writes into it."""
    made = COCO()
    made.dataset = json.loads(json.dumps(truth))
    with contextlib.redirect_stdout(io.StringIO()):
        made.createIndex()
    return made


def by_pycocotools(truth: COCO, records: Records, iou_type: str) -> COCOeval:
    """Returns pycocotools' finished evaluation of detections."""
    with contextlib.redirect_stdout(io.StringIO()):
        if records:
            found = truth.loadRes([dict(one) for one in records])  # it writes into them
        else:  # which loadRes refuses
            found = indexed({**truth.dataset, "annotations": []})
        evaluation = COCOeval(truth, found, iou_type)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


def evaluated(whole: CocoSet, iou_type: str = "bbox") -> COCOeval:
    """Returns pycocotools' finished evaluation of a set."""
    return by_pycocotools(indexed(whole.truth()), whole.detections, iou_type)


def six(evaluation: COCOeval) -> np.ndarray:
    """Returns AP, AP50, AP75, APs, APm and APl, NaN for COCO's -1."""
    values = np.array(evaluation.stats[:6])
    return np.where(values == -1, np.nan, values)
