"""Finds the images on which two trials disagree most, from COCO's decisions on their detections.

Each trial has its own score threshold, because scores of two detectors are not on one scale. It is the threshold with
the best F1 = 2 TP / (detections + objects) at IoU .5 over the whole validation set. An image's mistakes are its false
positives and missed objects from this threshold on; two trials disagree by the difference of their mistakes.
"""

from dataclasses import dataclass, fields

import numpy as np

from experiments.errors import UserError
from experiments.trial.matches import Matches


@dataclass(frozen=True)
class Tally:
    """The numbers of found, missed and false boxes of a trial in one image."""

    found: int
    missed: int
    false: int

    @property
    def mistakes(self) -> int:
        """Returns their number."""
        return self.missed + self.false


@dataclass(frozen=True)
class Place:
    """An image on which two trials disagree."""

    image_id: int
    first: Tally
    second: Tally


@dataclass(frozen=True, eq=False)
class Shown:
    """A trial's detections from its threshold on, without those of crowds, as in AP."""

    threshold: float  # lowest score that is shown; 1 where no detection is
    places: np.ndarray  # (n,) of the detections in the matches
    true: np.ndarray  # (n,) bool, has an object at IoU .5
    found: np.ndarray  # (I,) by image, true detections
    missed: np.ndarray  # (I,)
    false: np.ndarray  # (I,)

    def tally(self, image: int) -> Tally:
        """Returns the numbers of the image at a place."""
        return Tally(int(self.found[image]), int(self.missed[image]), int(self.false[image]))


@dataclass(frozen=True, eq=False)
class Disagreement:
    """The images where one of two trials makes fewer mistakes, the greatest difference first."""

    first: Shown
    second: Shown
    first_better: tuple[Place, ...]
    second_better: tuple[Place, ...]
    counts: tuple[int, int, int]  # images where the first is better, the second, and neither


def disagreement(first: Matches, second: Matches, most: int) -> Disagreement:
    """Returns at most `most` images in each direction; of equal differences, those with fewer mistakes come first.

    Raises UserError if the two were not evaluated on the same images and objects.
    """
    for field in fields(Matches):
        if field.name in ("image_ids", "class_ids", "object_image", "object_category", "objects"):
            ours, theirs = getattr(first, field.name), getattr(second, field.name)
            if not np.array_equal(ours, theirs):
                raise UserError(
                    "the two trials were evaluated on different images or objects; choose two of one data set"
                )
    a, b = at_best_score(first), at_best_score(second)
    ours, theirs = a.missed + a.false, b.missed + b.false
    difference = theirs - ours  # positive: the first is better
    order = np.lexsort((first.image_ids, ours + theirs, -np.abs(difference)))

    def places(better: np.ndarray) -> tuple[Place, ...]:
        chosen = order[better[order]][:most]
        return tuple(Place(int(first.image_ids[image]), a.tally(image), b.tally(image)) for image in chosen)

    counts = tuple(int(np.count_nonzero(one)) for one in (difference > 0, difference < 0, difference == 0))
    return Disagreement(a, b, places(difference > 0), places(difference < 0), (counts[0], counts[1], counts[2]))


def at_best_score(matches: Matches) -> Shown:
    """Returns the detections from the score on that gives the highest F1 at IoU .5, of all classes together."""
    counted = np.flatnonzero(~_at_half(matches.ignored))
    true = _at_half(matches.matched)[counted]
    score = matches.score[counted]
    objects = np.zeros(len(matches.image_ids), np.int64)
    np.add.at(objects, matches.object_image, matches.objects[:, 0])
    order = np.argsort(-score, kind="stable")
    number = np.arange(1, len(order) + 1)
    f1 = 2 * np.cumsum(true[order]) / (number + objects.sum())
    f1[:-1][np.diff(score[order]) == 0] = 0  # equal scores are shown together
    threshold = float(score[order[f1.argmax()]]) if f1.any() else 1.0
    shown = score >= threshold if f1.any() else np.zeros(len(score), bool)
    places, true = counted[shown], true[shown]
    found, false = (
        np.bincount(matches.image[places[which]], minlength=len(objects)).astype(np.int64) for which in (true, ~true)
    )
    return Shown(threshold, places, true, found, objects - found, false)


def _at_half(decisions: np.ndarray) -> np.ndarray:
    """Returns decisions (D,) bool at IoU .5 on objects of any size."""
    return (decisions[:, 0] & 1).astype(bool)
