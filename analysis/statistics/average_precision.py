"""COCO's six average precisions on images drawn with replacement, from its decisions on the images as they are.

An image that is drawn w times counts as w copies of its objects and detections. AP equals pycocotools' up to rounding:
a stable sort of all copies by score, monotone precision, read at 101 recalls, averaged over IoU thresholds and over the
classes that have objects.
"""

import itertools
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from experiments.trial.matches import AREAS, THRESHOLDS, Matches

RECALLS = np.linspace(0.0, 1.0, 101)
# Of each metric: its area range and its IoU thresholds.
CHOSEN = {
    "AP": (0, slice(None)),
    "AP50": (0, slice(0, 1)),
    "AP75": (0, slice(5, 6)),
    "APs": (1, slice(None)),
    "APm": (2, slice(None)),
    "APl": (3, slice(None)),
}


@dataclass(frozen=True)
class _Ranked:
    """The detections of a class that count in an area range at any IoU threshold, highest score first."""

    category: int
    area: int
    column: np.ndarray  # (n,) of the weights
    true: list[np.ndarray]  # by IoU threshold, the places among the n of those that have an object
    ignored: list[np.ndarray]  # by IoU threshold, the places of those that do not count at this one


class DrawnPrecision:
    """Average precisions of one trial's detections on images drawn with replacement.

    Args:
        matches: the trial's, on its whole validation set.
        most: how often an image is drawn at most.
    """

    def __init__(self, matches: Matches, most: int) -> None:
        self.images, self.classes, self.most = len(matches.image_ids), len(matches.class_ids), most
        order = np.lexsort((-matches.score, matches.category))  # stable: equal scores stay in the order of images
        places, column = self._laid_out(matches, order)
        self.ranked = [
            ranked
            for category, own in enumerate(_runs(matches.category[places], self.classes))
            for area in range(len(AREAS))
            if (ranked := _ranked(matches, category, area, places[own], column[own]))
        ]
        # objects of each class and area range: images x (classes x areas)
        across = matches.object_category[:, None].astype(np.int64) * len(AREAS) + np.arange(len(AREAS))
        down = np.repeat(matches.object_image, len(AREAS))
        shape = (self.images, self.classes * len(AREAS))
        self.objects = sparse.csr_array((matches.objects.ravel(), (down, across.ravel())), shape=shape, dtype=np.int64)

    def on(self, counts: np.ndarray) -> np.ndarray:
        """Returns AP, AP50, AP75, APs, APm and APl (B, 6) of B draws, fractions; NaN without an object of that size.

        Args:
            counts: (B, images) integers, how often each draw has each image, at most `most` times.
        """
        if counts.shape[1] != self.images or counts.min(initial=0) < 0 or counts.max(initial=0) > self.most:
            raise ValueError(f"counts must be (draws, {self.images}), each in 0..{self.most}")
        weights = np.concatenate([counts, counts[:, self.tied_image] >= self.tied_copy], axis=1, dtype=np.int32)
        objects = (counts @ self.objects).reshape(len(counts), self.classes, len(AREAS))
        precision = np.zeros((len(counts), self.classes, len(AREAS), THRESHOLDS))
        precision[objects == 0] = np.nan  # COCO's -1: the class does not count
        for one in self.ranked:
            of_class = objects[:, one.category, one.area]
            known = of_class > 0
            if known.any():
                found = _by_threshold(one, weights[known], of_class[known])
                precision[known, one.category, one.area] = found
        return np.stack([_mean(precision[:, :, area, chosen]) for area, chosen in CHOSEN.values()], axis=1)

    def _laid_out(self, matches: Matches, order: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns the detections in COCO's order, tied ones repeated for each copy, and their columns.

        Two detections a and b of one class and image with the same score come as a b a b where their image is drawn
        twice; all others as a a. Columns after the images' say whether an image is drawn at least k times.
        """
        image, score, category = matches.image[order], matches.score[order], matches.category[order]
        decided = np.concatenate([matches.matched, matches.ignored], axis=1)[order]
        same = (np.diff(image) == 0) & (np.diff(score) == 0) & (np.diff(category) == 0)
        group = np.concatenate([[0], np.cumsum(~same)])[: len(order)]
        unlike = np.zeros(len(order), bool)  # by group: else the order among equals makes no difference
        unlike[group[1:][same & (np.diff(decided, axis=0) != 0).any(axis=1)]] = True
        tied = unlike[group]
        copies = np.where(tied, self.most, 1)
        places, copy = np.repeat(np.arange(len(order)), copies), _counted(copies)
        places, copy = (array[np.lexsort((places, copy * tied[places], group[places]))] for array in (places, copy))
        pairs = image[places].astype(np.int64) * (self.most + 1) + copy + 1
        extra, inverse = np.unique(pairs[tied[places]], return_inverse=True)
        self.tied_image, self.tied_copy = np.divmod(extra, self.most + 1)
        column = image[places].astype(np.int64)
        column[tied[places]] = self.images + inverse
        return order[places], column


def _ranked(matches: Matches, category: int, area: int, places: np.ndarray, column: np.ndarray) -> _Ranked | None:
    matched, ignored = matches.matched[places, area], matches.ignored[places, area]
    every = (1 << THRESHOLDS) - 1
    true = matched & ~ignored
    if not true.any():
        return None
    counts = ignored != every
    counts[np.flatnonzero(true)[-1] + 1 :] = False  # detections after the last true one do not change AP
    true, ignored = true[counts], ignored[counts]
    bits = [1 << threshold for threshold in range(THRESHOLDS)]
    return _Ranked(
        category=category,
        area=area,
        column=column[counts],
        true=[np.flatnonzero(true & bit) for bit in bits],
        ignored=[np.flatnonzero(ignored & bit) for bit in bits],
    )


def _by_threshold(one: _Ranked, weights: np.ndarray, objects: np.ndarray) -> np.ndarray:
    """Returns the precision averaged over recalls, (B, 10), of B draws with (B,) objects each, more than 0."""
    drawn = np.take(weights, one.column, axis=1)
    before = np.cumsum(drawn, axis=1, dtype=np.int32)  # detections until each, itself included
    found = np.zeros((len(weights), THRESHOLDS))
    recalls = np.arange(objects.max() + 1) / objects[:, None]
    reached_with = np.searchsorted(RECALLS, recalls, side="right")  # so many objects found
    for threshold, (true, ignored) in enumerate(zip(one.true, one.ignored, strict=True)):
        if not len(true):
            continue
        hits = np.cumsum(np.take(drawn, true, axis=1), axis=1, dtype=np.int32)
        counted = np.take(before, true, axis=1)
        if len(ignored):
            passed = np.cumsum(np.take(drawn, ignored, axis=1), axis=1, dtype=np.int32)
            passed = np.concatenate([np.zeros((len(weights), 1), passed.dtype), passed], axis=1)
            counted -= np.take(passed, np.searchsorted(ignored, true), axis=1)
        # Copies of one detection follow each other, so that precision is highest at the last of them.
        precision = hits / (counted + np.spacing(1))
        highest = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        reached = np.take_along_axis(reached_with, hits, axis=1)
        reached[:, 1:] -= reached[:, :-1].copy()  # the recalls that each is the first to reach
        found[:, threshold] = np.einsum("bn,bn->b", highest, reached) / len(RECALLS)
    return found


def _mean(precision: np.ndarray) -> np.ndarray:
    """Returns the mean (B,) over classes and IoU thresholds of what is not NaN; NaN where nothing is."""
    known = ~np.isnan(precision)
    count = known.sum(axis=(1, 2))
    total = np.where(known, precision, 0).sum(axis=(1, 2))
    return np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0)


def _runs(sorted_places: np.ndarray, count: int) -> list[slice]:
    """Returns for each of 0..count-1 where it stands in a rising array."""
    ends = np.searchsorted(sorted_places, np.arange(count + 1))
    return [slice(start, end) for start, end in itertools.pairwise(ends)]


def _counted(copies: np.ndarray) -> np.ndarray:
    """Returns 0, 1, ... for each run of copies: [2, 1, 3] gives [0, 1, 0, 0, 1, 2]."""
    return np.arange(copies.sum()) - np.repeat(np.cumsum(copies) - copies, copies)
