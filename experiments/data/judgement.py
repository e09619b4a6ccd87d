"""Checks, before training and evaluation, whether both would read an annotation file as it was meant.

MMDetection and pycocotools silently accept most mistakes: an object with an unknown image or category is left out, and
a box [x1, y1, x2, y2] is read as [x, y, width, height]. So ids must be unique, and the image and category of an object
must exist. A small share of odd objects is accepted, because COCO's own files hold a few (train2017 has two boxes
without height among 860,001): each kind of `Oddity` has its share.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from experiments.data import coco_masks
from experiments.data.coco_records import Annotation, Category, FlawError, Image, MaskedAnnotation, Records, short

LEAST_SIDE = 32  # pixels: MMDetection trains on no image with a shorter side (filter_cfg of its COCO configs)
MOST_PIXELS = 2**31 - 1  # of an image: pycocotools counts them with 32 bits
MOST_CLASSES = 2**15 - 1  # `experiments.trial.matches` counts them with 16


Kind = TypeVar("Kind", Image, Category)


class Oddity(NamedTuple):
    """A kind of object that is accepted up to a share of a file's objects."""

    words: str
    accepted: float  # share of a file's objects
    trained: bool  # whether MMDetection trains on it


FLAT = Oddity("without width or height, or outside their image", 0.001, trained=False)
BEYOND = Oddity("more than a pixel beyond their image", 0.001, trained=True)
THIN = Oddity("thinner than a pixel or without area", 0.01, trained=False)
MASKLESS = Oddity("without a mask that can be drawn", 0.01, trained=False)


class UntrainableError(FlawError):
    """A correct file without anything to train on."""

    verdict = "has no image to train on"


class MasklessError(FlawError):
    """A correct file that this detector cannot use."""

    verdict = "lacks masks"


@dataclass
class Judged:
    """A file that passed: the records for training or evaluation, and counts of odd or left-out objects."""

    images: list[Image]
    categories: list[Category]
    objects: list[Annotation] = field(default_factory=list)
    odd: Counter[Oddity] = field(default_factory=Counter)
    first: dict[Oddity, str] = field(default_factory=dict)  # the place of the first of each kind
    crowds: int = 0
    ignored: int = 0  # objects that are not to be trained on

    @property
    def with_objects(self) -> set[int]:
        """Ids of the images that MMDetection does not treat as empty."""
        return {one.image_id for one in self.objects}

    @property
    def trained(self) -> int:
        """The number of objects that MMDetection trains on, if their images are large enough."""
        return len(self.objects) - self.crowds - self.odd[FLAT] - self.odd[THIN]

    @property
    def trainable(self) -> int:
        """The number of images that MMDetection trains on."""
        ids = self.with_objects
        return sum(image.id in ids and min(image.width, image.height) >= LEAST_SIDE for image in self.images)


def judge(records: Records, split: str, annotations: Iterable[Annotation]) -> Judged:
    """Returns the parts of a file that the split uses; FlawError, with the place, if the file would be misread.

    Args:
        records: the file; its masks are replaced by the masks that are used.
        split: "train" or "val".
        annotations: those of the file, or an iterator over them that shows its progress.
    """
    for part in ("images", "annotations", "categories"):
        if not getattr(records, part):
            raise FlawError(f"its list of {part} is empty")
    _require_names(records.categories)
    images, categories = _by_id(records.images, "images"), _by_id(records.categories, "categories")
    for place, image in enumerate(records.images):
        if image.width * image.height > MOST_PIXELS:
            size = f"{image.width}x{image.height} pixels"
            raise FlawError(f"images[{place}] (id {image.id}) has {size}; give {MOST_PIXELS:,} pixels at most")
    found = Judged(records.images, records.categories)
    seen: set[int] = set()
    for place, one in enumerate(annotations):
        if one.id in seen:
            raise FlawError(f"annotations[{place}] has the id {one.id}, which an earlier one has; give each its own id")
        seen.add(one.id)
        if one.image_id not in images or one.category_id not in categories:
            raise _unknown(one, _where(place, one), images, categories)
        if one.ignore and split == "train":
            found.ignored += 1
            continue
        image = images[one.image_id]
        try:
            oddity = _oddity(one, image)
        except FlawError as flaw:
            raise FlawError(f"{_where(place, one)} {flaw}") from flaw
        if oddity:
            found.odd[oddity] += 1
            if oddity not in found.first:
                found.first[oddity] = _where(place, one) + _described(one, image, oddity)
        if oddity is not MASKLESS:
            found.crowds += bool(one.iscrowd) and (oddity is None or oddity.trained)
            found.objects.append(one)
    _require_few(found, len(records.annotations))
    if split == "train":
        _require_trainable(found)
    return found


def note(found: Judged, split: str) -> str:
    """Returns a sentence on left-out and odd objects; "" if there are none."""
    odd = {
        kind: f"{_count(number, 'object')} {kind.words} (the first is {found.first[kind]})"
        for kind, number in found.odd.items()
    }
    if split == "val":
        kept = [words for kind, words in odd.items() if kind is not MASKLESS]
        parts = [f"evaluation leaves out {odd[MASKLESS]}"] if MASKLESS in odd else []
        return "; ".join(parts + ([f"evaluation counts {_listed(kept)}"] if kept else []))
    empty = len(found.images) - len(found.with_objects)
    small = len(found.with_objects) - found.trainable
    left = [
        *([f"{_count(empty, 'image')} without objects"] if empty else []),
        *([f"{_count(small, 'image')} with a side below {LEAST_SIDE} pixels"] if small else []),
        *([_count(found.crowds, "crowd")] if found.crowds else []),
        *([f"{_count(found.ignored, 'object')} marked ignore"] if found.ignored else []),
        *(words for kind, words in odd.items() if not kind.trained),
    ]
    total = len(found.objects) + found.ignored + found.odd[MASKLESS]
    of = f"of {_count(len(found.images), 'image')} and {_count(total, 'object')}"
    parts = [f"{of}, training leaves out {_listed(left)}"] if left else []
    return "; ".join(parts + [f"training uses {words}" for kind, words in odd.items() if kind.trained])


def _where(place: int, one: Annotation) -> str:
    return f"annotations[{place}] (id {one.id})"


def _oddity(one: Annotation, image: Image) -> Oddity | None:
    """Returns an object's oddity and replaces its mask by the one that is used; FlawError without the place."""
    if isinstance(one, MaskedAnnotation):
        mask = coco_masks.normal(one.segmentation, image.width, image.height)
        if mask is None:
            return MASKLESS
        one.segmentation = mask
    x, y, width, height = one.bbox
    right, lower = x + width, y + height
    inside = min(right, image.width) > max(x, 0) and min(lower, image.height) > max(y, 0)
    if width <= 0 or height <= 0 or not inside:
        return FLAT
    if max(-x, -y, right - image.width, lower - image.height) > 1:
        return BEYOND
    return THIN if width < 1 or height < 1 or one.area <= 0 else None


def _described(one: Annotation, image: Image, oddity: Oddity) -> str:
    if isinstance(one, MaskedAnnotation) and oddity is MASKLESS:
        return f" with segmentation {bytes(one.segmentation).decode()[:40] or 'missing'}"
    box = ", ".join(f"{value:g}" for value in one.bbox)
    return f" with bbox [{box}] and area {one.area:g} on {image.width}x{image.height} pixels"


def _by_id(records: Sequence[Kind], part: str) -> dict[int, Kind]:
    """Returns records by their id, in their order."""
    found: dict[int, Kind] = {}
    for place, record in enumerate(records):
        if record.id in found:
            raise FlawError(f"{part}[{place}] has the id {record.id}, which an earlier one has; give each its own id")
        found[record.id] = record
    return found


def _unknown(one: Annotation, where: str, images: Collection[int], categories: Collection[int]) -> FlawError:
    if one.image_id not in images:
        return FlawError(f"{where} has the image_id {one.image_id}, which none of its {len(images)} images has")
    return FlawError(
        f"{where} has the category_id {one.category_id}, which none of its {len(categories)} categories has"
    )


def _require_names(categories: Sequence[Category]) -> None:
    if len(categories) > MOST_CLASSES:
        raise FlawError(f"it has {len(categories)} categories; give {MOST_CLASSES} at most")
    for name, count in Counter(str(kind.name) for kind in categories).items():
        if count > 1:
            raise FlawError(f"{count} categories are called {short(name)}; give each its own name")


def _require_few(found: Judged, total: int) -> None:
    for kind, count in found.odd.items():
        if count > kind.accepted * total:
            share = f"{count} of {total} objects are {kind.words}, the first is {found.first[kind]}"
            if kind is MASKLESS:
                raise MasklessError(
                    f"{share}; a detector of masks needs them: choose architecture=faster_rcnn or grid_rcnn, or "
                    "annotations with masks"
                )
            raise FlawError(f"{share}; a bbox is [x, y, width, height] in pixels")


def _require_trainable(found: Judged) -> None:
    if not found.trainable:
        raise UntrainableError(
            f"MMDetection leaves out images without objects and those with a side below {LEAST_SIDE} pixels"
        )
    if not found.trained:
        raise UntrainableError(
            "all its objects are crowds, are marked ignore, or are so odd that MMDetection leaves them out"
        )


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def _listed(parts: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]]))
