"""COCO's decision about each detection, in a small file, from which AP on any set of images can be computed.

This needs neither ground truth nor images, so analysis reads it with numpy alone. It has plain arrays without pickles.
"""

import io
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from experiments import files

if TYPE_CHECKING:
    from pycocotools.cocoeval import COCOeval

AREAS = ("all", "small", "medium", "large")  # COCO's area ranges, in its order
THRESHOLDS = 10  # IoU .50, .55, ..., .95: bits 0 to 9 of the masks
MOST = 100  # detections of a class that COCO counts in an image, those with the highest scores


@dataclass(frozen=True, eq=False)
class Matches:
    """COCO's decisions for I images, D detections, and C pairs of an image and a class that have any annotation.

    Detections come by class, then by image, then by falling score in the evaluation's own order. An object is ignored
    where it is a crowd or outside the area range, a detection where its object is, or where it has none and is itself
    outside. Only what is not ignored counts.
    """

    image_ids: np.ndarray  # (I,) int64, rising
    class_ids: np.ndarray  # (K,) int64, rising: COCO's category ids
    image: np.ndarray  # (D,) int32, place in image_ids
    category: np.ndarray  # (D,) int16, place in class_ids
    score: np.ndarray  # (D,) float64
    matched: np.ndarray  # (D, 4) uint16, by area range: bit t says that the detection has an object at IoU threshold t
    ignored: np.ndarray  # (D, 4) uint16, the same for ignored
    object_image: np.ndarray  # (C,) int32, place in image_ids
    object_category: np.ndarray  # (C,) int16, place in class_ids
    objects: np.ndarray  # (C, 4) int32, by area range: objects that are not ignored


def decided(evaluation: "COCOeval") -> Matches:
    """Returns the decisions of an evaluation of boxes or masks after its `evaluate()`.

    Raises ValueError if its settings are not COCO's own, because AP computed from the matches would not be COCO's.
    """
    settings = evaluation.params
    if not isinstance(evaluation.evalImgs, list):
        raise ValueError("the evaluation has no decisions yet; call its evaluate() first")
    thresholds = np.linspace(0.5, 0.95, THRESHOLDS)
    if tuple(settings.areaRngLbl) != AREAS or not (
        len(settings.iouThrs) == THRESHOLDS and np.allclose(settings.iouThrs, thresholds)
    ):
        raise ValueError("the evaluation has other IoU thresholds or area ranges than COCO's")
    if settings.maxDets[-1] != MOST or not settings.useCats:
        raise ValueError(f"the evaluation is not by class with at most {MOST} detections, as COCO's is")
    image_ids, class_ids = np.array(settings.imgIds, np.int64), np.array(settings.catIds, np.int64)
    # one entry for each class, area range and image, None if there is neither object nor detection
    entries = np.empty(len(evaluation.evalImgs), object)
    entries[:] = evaluation.evalImgs
    grid = entries.reshape(len(class_ids), len(AREAS), len(image_ids))
    category, image = np.nonzero(grid[:, 0] != None)  # noqa: E711 (element by element)
    by_area = [grid[category, area, image] for area in range(len(AREAS))]
    found = [len(entry["dtScores"]) for entry in by_area[0]]
    objects = np.array([[np.count_nonzero(entry["gtIgnore"] == 0) for entry in of] for of in by_area], np.int32)
    annotated = np.array([len(entry["gtIds"]) > 0 for entry in by_area[0]], bool)
    return _checked(
        Matches(
            image_ids=image_ids,
            class_ids=class_ids,
            image=np.repeat(image, found).astype(np.int32),
            category=np.repeat(category, found).astype(np.int16),
            score=np.array([score for entry in by_area[0] for score in entry["dtScores"]], np.float64),
            # The id of the object; COCO itself takes an object with the id 0 for none.
            matched=np.stack([_bits([entry["dtMatches"] != 0 for entry in of]) for of in by_area], axis=1),
            ignored=np.stack([_bits([entry["dtIgnore"] for entry in of]) for of in by_area], axis=1),
            object_image=image[annotated].astype(np.int32),
            object_category=category[annotated].astype(np.int16),
            objects=objects.T[annotated],
        )
    )


def save(path: Path, matches: dict[str, Matches]) -> None:
    """Writes matches by IoU type as a compressed npz file, in one step; the same matches give the same bytes."""
    arrays = {
        f"{iou_type}/{field.name}": getattr(one, field.name)
        for iou_type, one in sorted(matches.items())
        for field in fields(Matches)
    }
    content = io.BytesIO()
    np.savez_compressed(content, allow_pickle=False, **arrays)
    files.write(path, content.getvalue())


def load(path: Path) -> dict[str, Matches]:
    """Returns what was saved, by IoU type; ValueError says in one sentence what a file lacks or has wrong."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except OSError:
        raise
    except Exception as error:  # a damaged npz file raises BadZipFile, zlib.error, EOFError, ValueError, ...
        raise ValueError(f"{path} is not a complete npz file of plain arrays: {error}") from error
    matches = {}
    for iou_type in sorted({name.partition("/")[0] for name in arrays}):
        lacks = [field.name for field in fields(Matches) if f"{iou_type}/{field.name}" not in arrays]
        if lacks:
            raise ValueError(f"{path} lacks {iou_type}/{lacks[0]}; it is not a file of matches")
        try:
            own = {field.name: arrays[f"{iou_type}/{field.name}"] for field in fields(Matches)}
            matches[iou_type] = _checked(Matches(**own))
        except ValueError as error:
            raise ValueError(f"{path}, {iou_type}: {error}") from error
    return matches


def _bits(by_image: list[np.ndarray]) -> np.ndarray:
    """Returns masks (D,) of decisions, each (10, its image's detections)."""
    decisions = np.concatenate([np.zeros((THRESHOLDS, 0), bool), *by_image], axis=1).astype(np.uint16)
    return (decisions << np.arange(THRESHOLDS, dtype=np.uint16)[:, None]).sum(axis=0, dtype=np.uint16)


def _checked(matches: Matches) -> Matches:
    images, classes = len(matches.image_ids), len(matches.class_ids)
    found, annotated, areas = len(matches.image), len(matches.object_image), len(AREAS)
    expected = {
        "image_ids": (np.int64, (images,)),
        "class_ids": (np.int64, (classes,)),
        "image": (np.int32, (found,)),
        "category": (np.int16, (found,)),
        "score": (np.float64, (found,)),
        "matched": (np.uint16, (found, areas)),
        "ignored": (np.uint16, (found, areas)),
        "object_image": (np.int32, (annotated,)),
        "object_category": (np.int16, (annotated,)),
        "objects": (np.int32, (annotated, areas)),
    }
    for name, (kind, shape) in expected.items():
        array = getattr(matches, name)
        if array.dtype != kind or array.shape != shape:
            wanted = f"{np.dtype(kind)} {shape}"
            raise ValueError(f"{name} is {array.dtype} {array.shape} and not {wanted}")
    for name in ("image_ids", "class_ids"):
        if not (np.diff(getattr(matches, name)) > 0).all():
            raise ValueError(f"{name} are not in ascending order")
    for name, end in (("image", images), ("category", classes), ("object_image", images), ("object_category", classes)):
        places = getattr(matches, name)
        if len(places) and not (places.min() >= 0 and places.max() < end):
            raise ValueError(f"{name} has an index outside 0..{end - 1}")
    if not np.isfinite(matches.score).all():
        raise ValueError("a score is not a finite number")
    groups = matches.category.astype(np.int64) * images + matches.image
    steps, falls = np.diff(groups), np.diff(matches.score)
    if (steps < 0).any() or (falls[steps == 0] > 0).any():
        raise ValueError("detections are not in the order of class, image and falling score")
    if (np.diff(matches.object_category.astype(np.int64) * images + matches.object_image) <= 0).any():
        raise ValueError("objects are not in the order of class and image")
    if (matches.objects < 0).any() or ((matches.matched | matches.ignored) >> THRESHOLDS).any():
        raise ValueError(f"objects are negative, or bits beyond the {THRESHOLDS} IoU thresholds are set")
    return matches
