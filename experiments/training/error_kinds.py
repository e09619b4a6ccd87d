"""The cost in AP50 of each kind of error, as in TIDE (Bolya et al., ECCV 2020), from pycocotools' evaluation.

A detection without an object at IoU .5 has the first of these kinds that holds:
  Loc   its best IoU with an object of its class is .1 to .5
  Cls   it has IoU .5 or more with an object of another class
  Dupe  it has IoU .5 or more with an object of its class, which another detection has
  Bkg   it has IoU .1 or less with every object
  Both  all others: another class, and badly placed
An object without a detection is Miss, unless a Loc or Cls is about it.

Each kind is corrected alone, and AP50 is computed again. A Loc or Cls becomes a true detection of its object's class if
it has the highest score of all errors about that object and the object has no detection; otherwise it is removed. Dupe,
Bkg and Both are removed; a Miss no longer counts as an object. The differences of AP50 do not add up. FalsePos gives
all false detections lower scores than the true ones; FalseNeg leaves out all objects that are not found.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from pycocotools import mask
from pycocotools.cocoeval import COCOeval

from experiments import names

FOREGROUND, BACKGROUND = 0.5, 0.1
CLS, LOC, BOTH, DUPE, BKG, MISS = range(len(names.ERROR_KINDS))
NONE = -1


@dataclass(frozen=True, eq=False)
class Judged:
    """D detections, by image, then class, then falling score, and the objects of K classes that COCO counts."""

    category: np.ndarray  # (D,) place of the class in the evaluation
    score: np.ndarray  # (D,)
    true: np.ndarray  # (D,) bool
    counted: np.ndarray  # (D,) bool: False for a detection on a crowd, which tidecv also sorts by kind and corrects
    kind: np.ndarray  # (D,) CLS to BKG; NONE for a true detection
    becomes_true: np.ndarray  # (D,) bool: whether it becomes true when corrected; otherwise it is removed
    becomes_category: np.ndarray  # (D,)
    objects: np.ndarray  # (K,)
    not_found: np.ndarray  # (K,) of them
    missed: np.ndarray  # (K,) of those
    recalls: np.ndarray  # (R,) where precision is read

    def average_precision(self, classes: np.ndarray) -> float:
        """Returns the mean AP50 of the classes (K,) bool.

        A class without objects has 0 if it has detections, else it is left out, as in tidecv; 1 if no class is left.
        """
        order = np.lexsort((-self.score, self.category))  # stable, so that equal scores stay in COCO's order
        order = order[self.counted[order]]
        starts = np.searchsorted(self.category[order], np.arange(len(self.objects) + 1))
        values = []
        for category in np.flatnonzero(classes):
            true = self.true[order[starts[category] : starts[category + 1]]]
            if self.objects[category]:
                values.append(_average_precision(true, self.objects[category], self.recalls))
            elif len(true):
                values.append(0.0)
        return float(np.mean(values)) if values else 1.0

    def put_right(self, kind: int) -> "Judged":
        """Returns the detections and objects after one kind of error is corrected."""
        if kind == MISS:
            return replace(self, objects=self.objects - self.missed)
        wrong = self.kind == kind
        return replace(
            self,
            category=np.where(wrong, self.becomes_category, self.category),
            true=np.where(wrong, self.becomes_true, self.true),
            counted=np.where(wrong, self.becomes_true, self.counted),
        )


def costs(evaluation: COCOeval) -> dict[str, float]:
    """Returns by how much AP50 would rise without each kind of error: `names.ERROR_KINDS`, then `names.ERROR_SIDES`.

    Args:
        evaluation: of boxes or masks, after its `evaluate()`.

    Returns:
        Fractions in 0..1; -1 if there is no object. Classes without objects are left out, as in COCO's AP.
    """
    found = judged(evaluation)
    classes = found.objects > 0
    if not classes.any():
        return dict.fromkeys((*names.ERROR_KINDS, *names.ERROR_SIDES), -1.0)
    right = {name: found.put_right(kind) for kind, name in enumerate(names.ERROR_KINDS)}
    right["FalsePos"] = replace(found, score=found.true.astype(np.float64))
    right["FalseNeg"] = replace(found, objects=found.objects - found.not_found)
    now = found.average_precision(classes)
    return {name: max(one.average_precision(classes) - now, 0.0) for name, one in right.items()}


def judged(evaluation: COCOeval) -> Judged:
    """Returns every detection of an evaluation with the kind of its error, if any."""
    counts = np.zeros((3, len(evaluation.params.catIds)), np.int64)
    parts = [_in_image(evaluation, entries, counts) for entries in _by_image(evaluation)]
    types = (np.int64, np.float64, bool, bool, np.int8, bool, np.int64)
    columns = [np.concatenate([np.empty(0, of), *(part[i] for part in parts)]) for i, of in enumerate(types)]
    category, score, true, counted, kind, becomes_true, becomes_category = columns
    objects, not_found, missed = counts
    recalls = np.asarray(evaluation.params.recThrs)
    return Judged(
        category, score, true, counted, kind, becomes_true, becomes_category, objects, not_found, missed, recalls
    )


Entries = list[tuple[int, dict[str, Any]]]  # the place of a class, and COCO's decisions on it in an image


def _by_image(evaluation: COCOeval) -> Iterator[Entries]:
    settings = evaluation.params
    images = len(settings.imgIds)
    step = len(settings.areaRng) * images  # evalImgs goes by class, area range ("all" is the first) and image
    for image in range(images):
        every = ((k, evaluation.evalImgs[k * step + image]) for k in range(len(settings.catIds)))
        yield [(category, entry) for category, entry in every if entry is not None]


def _in_image(evaluation: COCOeval, entries: Entries, counts: np.ndarray) -> tuple[np.ndarray, ...]:
    """Returns the first seven columns of `Judged` for an image, and adds its objects to `counts` (3, K)."""
    score = np.array([score for _, entry in entries for score in entry["dtScores"]], np.float64)
    category = np.repeat([k for k, _ in entries], [len(entry["dtIds"]) for _, entry in entries]).astype(np.int64)
    matched = np.concatenate([[], *(entry["dtMatches"][0] for _, entry in entries)]) != 0  # at the first IoU, .5
    ignored = np.concatenate([[], *(entry["dtIgnore"][0] for _, entry in entries)]) != 0
    true = matched & ~ignored
    kind = np.full(len(score), NONE, np.int8)
    becomes_true, becomes_category = np.zeros(len(score), bool), category.copy()

    every = [
        (k, number, bool(match))
        for k, entry in entries
        for number, match, ignore in zip(entry["gtIds"], entry["gtMatches"][0], entry["gtIgnore"], strict=True)
        if not ignore
    ]
    objects, has = np.array([k for k, _, _ in every], np.int64), np.array([match for _, _, match in every], bool)
    wrong = np.flatnonzero(~true)
    wrong = wrong[np.argsort(-score[wrong], kind="stable")]  # over the classes, highest score first
    usable = np.zeros(len(objects), bool)
    if len(objects) and len(wrong):
        numbers = [number for _, entry in entries for number in entry["dtIds"]]
        what = (
            "bbox" if evaluation.params.iouType == "bbox" else "segmentation"
        )  # converted to an RLE by the evaluation
        shapes = [evaluation.cocoDt.anns[numbers[place]][what] for place in wrong]
        of_objects = [evaluation.cocoGt.anns[number][what] for _, number, _ in every]
        iou = np.asarray(mask.iou(shapes, of_objects, [0] * len(objects)))
        kind[wrong], about = _kinds(iou, category[wrong][:, None] == objects, has)
        for place, target in zip(wrong, about, strict=True):
            if target != NONE and not has[target] and not usable[target]:  # the first has the highest score
                usable[target] = becomes_true[place] = True
                becomes_category[place] = objects[target]
    else:
        kind[wrong] = BKG
    for row, of in zip(counts, (objects, objects[~has], objects[~has & ~usable]), strict=True):
        np.add.at(row, of, 1)
    return category, score, true, ~ignored, kind, becomes_true, becomes_category


def _kinds(iou: np.ndarray, same: np.ndarray, has: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the kind (n,) of false detections and the object (n,) that a Loc or Cls is about, else NONE.

    Args:
        iou: (n, m), of detections with objects.
        same: (n, m), whether they are of one class.
        has: (m,), whether a detection has the object.
    """
    own, other = iou * same, iou * ~same
    best = own.max(axis=1)
    kind = np.select(
        [
            (best >= BACKGROUND) & (best <= FOREGROUND),
            other.max(axis=1) >= FOREGROUND,
            (own * has).max(axis=1) >= FOREGROUND,
            iou.max(axis=1) <= BACKGROUND,
        ],
        [LOC, CLS, DUPE, BKG],
        BOTH,
    )
    about = np.select([kind == LOC, kind == CLS], [own.argmax(axis=1), other.argmax(axis=1)], NONE)
    return kind, about


def _average_precision(true: np.ndarray, objects: int, recalls: np.ndarray) -> float:
    """Returns AP as pycocotools does, from detections (n,) with the highest score first."""
    hits = np.cumsum(true)
    precision = hits / (np.arange(1, len(true) + 1) + np.spacing(1))
    falling = np.maximum.accumulate(precision[::-1])[::-1]
    reached = np.searchsorted(hits / objects, recalls, side="left")
    return float(np.append(falling, np.zeros(1))[np.minimum(reached, len(true))].mean())
