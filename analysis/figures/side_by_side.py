"""The images on which two trials disagree most, with the objects and both trials' boxes, as plain data."""

import json
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from analysis.figures.curves import Heading
from analysis.figures.disagreement import Disagreement, Place, Shown, disagreement
from analysis.read.runs import Run, of_experiment
from analysis.read.study import MATCHES
from experiments import names
from experiments.errors import UserError
from experiments.trial import detections, matches
from experiments.trial.matches import MOST, Matches

if TYPE_CHECKING:
    from mlflow import MlflowClient

DETECTIONS = "detections.npz"  # a run's artifact
NOTE = (
    "Each trial's detections are shown above the score with its best F1 at IoU .5 over all images. Mistakes are false "
    "positives and missed objects; the greatest difference comes first."
)


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels, with the text beside it."""

    x: float
    y: float
    width: float
    height: float
    kind: str  # "object", "crowd", "found", "false" or "missed"
    text: str


@dataclass(frozen=True, eq=False)
class Line:
    """An image and its three panels: the objects, the first trial's boxes and the second's."""

    place: Place
    pixels: np.ndarray  # (height, width, 3) uint8
    panels: tuple[tuple[Box, ...], tuple[Box, ...], tuple[Box, ...]]


@dataclass(frozen=True)
class SideBySide:
    """The images of a figure, by the trial that makes fewer mistakes."""

    labels: tuple[str, str]  # of the two trials
    heading: Heading
    first_better: tuple[Line, ...]
    second_better: tuple[Line, ...]


@dataclass(frozen=True)
class Trial:
    """The box detections of a trial's last evaluation."""

    label: str
    matches: Matches
    records: list[dict[str, Any]]  # in COCO's result format


def disagree(
    client: "MlflowClient",
    experiment: str,
    uri: str,
    asked: tuple[str, str],
    annotations: Path,
    images: Path,
    most: int = 3,
) -> SideBySide:
    """Returns the images on which two finished trials disagree most, at most `most` in each direction.

    Args:
        uri: of the store, for messages.
        asked: of each of the two, its trial id, or a part of the id or of the variant that no other trial has.
        annotations: of the validation set, in COCO's format.
        images: the folder that its file names are relative to.
    """
    recorded = of_experiment(client, experiment, uri)
    first, second = (_trial(uri, _find(recorded, one)) for one in asked)
    return of_trials(first, second, annotations, images, most)


def of_trials(first: Trial, second: Trial, annotations: Path, images: Path, most: int) -> SideBySide:
    """Returns the same for two trials that are already read."""
    found = disagreement(first.matches, second.matches, most)
    truth = _read(annotations)
    if _counts(truth) != _evaluated(first.matches):
        raise UserError(
            f"--annotations {annotations} has other images or objects than the trials were evaluated on; name the "
            "annotations of their validation set, or the ann_file in a trial's detector.py if objects were left out"
        )
    files = {one["id"]: one["file_name"] for one in truth["images"]}
    classes = {one["id"]: one["name"] for one in truth["categories"]}
    sides = [(one.matches, _boxes(one), shown) for one, shown in ((first, found.first), (second, found.second))]

    def line(place: Place) -> Line:
        objects = [one for one in truth["annotations"] if one["image_id"] == place.image_id]
        drawn = tuple(_of(one, classes[one["category_id"]], _kind(one)) for one in objects)
        ours, theirs = (_panel(*side, place.image_id, objects, classes) for side in sides)
        return Line(place, _pixels(images, files[place.image_id]), (drawn, ours, theirs))

    return SideBySide(
        (first.label, second.label),
        _heading(found, first.label, second.label),
        tuple(map(line, found.first_better)),
        tuple(map(line, found.second_better)),
    )


Counts = tuple[set[int], dict[tuple[int, int], int]]  # image ids, and objects by image and class id


def _counts(truth: dict[str, Any]) -> Counts:
    counted = Counter((one["image_id"], one["category_id"]) for one in truth["annotations"] if not one.get("iscrowd"))
    return {one["id"] for one in truth["images"]}, dict(counted)


def _evaluated(decided: Matches) -> Counts:
    images = decided.image_ids[decided.object_image].tolist()
    classes = decided.class_ids[decided.object_category].tolist()
    counted = zip(zip(images, classes, strict=True), decided.objects[:, 0].tolist(), strict=True)
    return set(decided.image_ids.tolist()), {key: count for key, count in counted if count}


def _heading(found: Disagreement, first: str, second: str) -> Heading:
    better, worse, alike = found.counts
    about = (
        f"Of {better + worse + alike} images, {first} makes fewer mistakes on {better}, {second} on {worse}, both as "
        f"many on {alike}. {NOTE} Scores: {found.first.threshold:.2f} and {found.second.threshold:.2f}."
    )
    return Heading("Where two trials disagree most", about, ())


def _find(recorded: Sequence[Run], asked: str) -> Run:
    finished = {run.tags[names.TRIAL_ID]: run for run in recorded if run.status == names.FINISHED}
    if asked in finished:
        return finished[asked]
    by_variant = {trial: run for trial, run in finished.items() if run.tags.get(names.VARIANT) == asked}
    some = by_variant or {trial: run for trial, run in finished.items() if asked in trial}
    if len(some) == 1:
        return next(iter(some.values()))
    if some:
        raise UserError(f"{asked!r} matches {len(some)} finished trials: {', '.join(sorted(some))}; give one of them")
    raise UserError(f"no finished trial {asked!r}; choose from: {', '.join(sorted(finished)) or 'none has finished'}")


def _trial(uri: str, run: Run) -> Trial:
    from mlflow import artifacts

    label = f"{run.tags.get(names.VARIANT, run.tags[names.TRIAL_ID])}, seed {run.params.get(names.SEED, '?')}"
    kept = {Path(one.path).name for one in artifacts.list_artifacts(run.artifacts, tracking_uri=uri)}
    if lacking := {MATCHES, DETECTIONS} - kept:
        raise UserError(f"the run of {run.tags[names.TRIAL_ID]} has no {min(lacking)}; {run.without_matches}")
    with tempfile.TemporaryDirectory() as folder:
        try:
            files = [
                Path(artifacts.download_artifacts(f"{run.artifacts}/{name}", dst_path=folder, tracking_uri=uri))
                for name in (MATCHES, DETECTIONS)
            ]
            decided, records = matches.load(files[0]), detections.load(files[1])
        except (OSError, ValueError) as error:
            raise UserError(f"the detections of {run.tags[names.TRIAL_ID]} cannot be read ({error})") from error
    return Trial(label, decided["bbox"], records["bbox"])


def _boxes(trial: Trial) -> np.ndarray:
    """Returns x, y, width and height (D, 4) of the detections in the order of the matches."""
    one, records = trial.matches, trial.records
    image = np.searchsorted(one.image_ids, [record["image_id"] for record in records])
    category = np.searchsorted(one.class_ids, [record["category_id"] for record in records])
    score = np.array([record["score"] for record in records], np.float64)
    order = np.lexsort((-score, image, category))  # stable, as COCO's own sort
    group = category[order] * len(one.image_ids) + image[order]
    rank = np.arange(len(order)) - np.searchsorted(group, group)
    order = order[rank < MOST]
    if not np.array_equal(score[order], one.score):
        raise UserError(f"{MATCHES} and {DETECTIONS} of {trial.label} are of different evaluations")
    return np.array([records[place]["bbox"] for place in order], np.float64).reshape(-1, 4)


def _panel(
    decided: Matches,
    boxes: np.ndarray,
    shown: Shown,
    image_id: int,
    objects: list[dict[str, Any]],
    classes: dict[int, str],
) -> tuple[Box, ...]:
    """Returns a trial's boxes on an image, and the objects that it missed."""
    here = decided.image_ids[decided.image[shown.places]] == image_id
    left = [one for one in objects if not one.get("iscrowd")]
    drawn = []
    ranked = sorted(zip(shown.places[here], shown.true[here], strict=True), key=lambda one: -decided.score[one[0]])
    for place, true in ranked:
        category = int(decided.class_ids[decided.category[place]])
        text = f"{classes[category]} {decided.score[place]:.2f}"
        x, y, width, height = boxes[place].tolist()
        drawn.append(Box(x, y, width, height, "found" if true else "false", text))
        if true:  # as COCO: by falling score, each is matched to the best remaining object of its class
            own = [one for one in left if one["category_id"] == category]
            left.remove(max(own, key=lambda one: intersection_over_union(boxes[place], np.array(one["bbox"]))))
    return tuple(drawn + [_of(one, classes[one["category_id"]], "missed") for one in left])


def intersection_over_union(a: np.ndarray, b: np.ndarray) -> float:
    """Returns the IoU of two boxes x, y, width, height."""
    low, high = np.maximum(a[:2], b[:2]), np.minimum(a[:2] + a[2:], b[:2] + b[2:])
    common = float(np.prod(np.maximum(high - low, 0)))
    return common / (float(np.prod(a[2:]) + np.prod(b[2:])) - common)


def _of(annotation: dict[str, Any], text: str, kind: str) -> Box:
    x, y, width, height = annotation["bbox"]
    return Box(x, y, width, height, kind, text)


def _kind(annotation: dict[str, Any]) -> str:
    return "crowd" if annotation.get("iscrowd") else "object"


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())  # in any of Unicode's encodings
        missing = [key for key in ("images", "annotations", "categories") if key not in content]
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"--annotations {path} cannot be read ({error}); name a file in COCO's format") from error
    if missing:
        raise UserError(f"--annotations {path} has no {missing[0]!r}; name a file in COCO's format")
    return dict(content)


def _pixels(folder: Path, name: str) -> np.ndarray:
    pixels = cv2.imread(str(folder / name))  # as in training: rotated by its EXIF tag
    if pixels is None:
        raise UserError(
            f"the image {folder / name} cannot be read; --images is the folder that the annotations' file names, "
            f"like {name}, are relative to"
        )
    return pixels[..., ::-1]
