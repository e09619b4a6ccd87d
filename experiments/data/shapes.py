"""The built-in data: scenes of textured outlines for which the choice of FPN level matters (docs/shapes.md).

A scene is described in fractions of the image's side, then drawn or annotated at any image size. It depends only on
(seed, split, index), not on the number of images.
"""

import colorsys
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from shapely import Polygon, affinity, box, unary_union
from shapely.geometry.base import BaseGeometry

OUTLINES, TEXTURES = ("disc", "square", "triangle"), ("striped", "checked")
CLASSES = tuple(f"{texture} {outline}" for texture in TEXTURES for outline in OUTLINES)
SPLITS = ("train", "val")

# All lengths are fractions of the image's side.
FINEST = 1 / 16  # FPN levels change at 2, 4 and 8 times this, and sizes lie on both sides of each change
SMALLEST, LARGEST = 1 / 12, 0.9  # sqrt(w * h) of an object's box, log-uniform
TILT = 20  # largest turn of outlines and textures, in degrees
WAVELENGTH = (
    1 / 24
)  # of both textures, whatever the object's size: 2 periods across the smallest, 21 across the largest
MOST_OBJECTS = 5
LEAST_VISIBLE = 0.8  # of each object's own area
MOST_BOX_IOU = 0.12  # between any two objects: well below NMS's threshold
EMPTY_VAL = 0.02  # of the validation images show no object, as in real data
CRUMB = 2e-5  # of the image's area: visible parts below it are not annotated

Colours = tuple[NDArray[np.float32], NDArray[np.float32]]  # dark and light, each (3,), BGR, 0..1


@dataclass(frozen=True)
class Mark:
    """An outline filled with a texture."""

    outline: Polygon
    texture: str  # "plain" (the dark colour alone) | "striped" | "checked"
    angle: float  # of the texture, radians
    colours: Colours


@dataclass(frozen=True)
class Scene:
    """What an image shows, bottom to top: background, clutter, then objects, large before small."""

    background: tuple[NDArray[np.float32], ...]  # (k, k, 3) colour grids, to be enlarged and summed
    clutter: tuple[Mark, ...]
    objects: tuple[Mark, ...]
    visible: tuple[BaseGeometry, ...]  # of each object: the part that later objects do not cover
    categories: tuple[int, ...]  # of each object: its place in CLASSES


def finest_scale(image_size: int) -> float:
    """Returns `finest_scale` of MMDetection's RoI extractors for shapes: levels change at 2, 4 and 8 times it."""
    return image_size * FINEST


def describe(seed: int, split: str, index: int) -> Scene:
    """Returns scene `index` of `split` ("train" or "val"), the same for the same three arguments."""
    rng = np.random.default_rng([seed, SPLITS.index(split), index])
    background = _background(rng)
    clutter = tuple(_clutter(rng))
    if rng.random() < EMPTY_VAL and split == "val":
        return Scene(background, clutter, (), (), ())
    count = int(rng.integers(1, MOST_OBJECTS + 1))
    # One size from each of `count` equal slices of the log range: jointly spread, each marginally log-uniform.
    slices = (np.arange(count)[::-1] + rng.random(count)) / count
    objects: list[Mark] = []
    visible: list[BaseGeometry] = []
    categories: list[int] = []
    for size in SMALLEST * (LARGEST / SMALLEST) ** slices:
        category = int(rng.integers(len(CLASSES)))
        texture, outline = CLASSES[category].split()
        shape = _boxed(rng, _outline(outline), size)
        for _ in range(50):
            candidate = _somewhere(rng, shape)
            rest = [part.difference(candidate) for part in visible]
            if all(_fits(mark.outline, part, candidate) for mark, part in zip(objects, rest, strict=True)):
                objects.append(Mark(candidate, texture, _angle(rng), _two_colours(rng)))
                visible = [*rest, candidate]
                categories.append(category)
                break  # if no place is found, the scene does not get this object
    return Scene(background, clutter, tuple(objects), tuple(visible), tuple(categories))


def draw(scene: Scene, image_size: int) -> NDArray[np.uint8]:
    """Returns the scene as (image_size, image_size, 3) BGR."""
    side = (image_size, image_size)
    image = np.sum([cv2.resize(g, side, interpolation=cv2.INTER_CUBIC) for g in scene.background], axis=0)
    image = np.clip(image, 0, 1).astype(np.float32)
    for mark in (*scene.clutter, *scene.objects):
        _paint(image, mark)
    return np.asarray(np.rint(np.clip(image, 0, 1) * 255), dtype=np.uint8)


def annotate(scene: Scene, image_size: int) -> list[dict[str, Any]]:
    """Returns COCO annotations without ids: polygons, area and box [x, y, w, h] of the visible part, in pixels."""
    annotations: list[dict[str, Any]] = []
    for category, region in zip(scene.categories, scene.visible, strict=True):
        parts = [part for part in _without_holes(region) if part.area > CRUMB]
        left, top, right, bottom = (round(v * image_size, 2) for v in unary_union(parts).bounds)
        rings = [np.asarray(part.exterior.coords)[:-1] * image_size for part in parts]
        annotations.append(
            {
                "category_id": category + 1,
                "bbox": [left, top, round(right - left, 2), round(bottom - top, 2)],
                "segmentation": [np.round(ring, 2).ravel().tolist() for ring in rings],
                "area": round(sum(part.area for part in parts) * image_size**2, 2),
                "iscrowd": 0,
            }
        )
    return annotations


def _outline(name: str) -> Polygon:
    """Returns an outline around the origin; only its form matters, `_boxed` scales it."""
    if name == "cross":
        return unary_union([box(-1, -0.3, 1, 0.3), box(-0.3, -1, 0.3, 1)])
    if name == "star":
        turns = np.arange(10) * np.pi / 5
        radii = np.where(np.arange(10) % 2, 0.4, 1.0)
        return Polygon(np.stack([radii * np.sin(turns), radii * np.cos(turns)], axis=1))
    corners = {"disc": 48, "square": 4, "triangle": 3}[name]
    turns = np.arange(corners) * 2 * np.pi / corners
    return Polygon(np.stack([np.sin(turns), np.cos(turns)], axis=1))


def _boxed(rng: np.random.Generator, outline: Polygon, size: float) -> Polygon:
    """Returns the outline turned at random and stretched to a box with sqrt(w * h) = size and its corner at 0, 0."""
    widest = min(1.25, (0.98 / size) ** 2)
    ratio = widest ** rng.uniform(-1, 1)
    turned = affinity.rotate(outline, rng.uniform(-TILT, TILT), origin=(0, 0))
    left, top, right, bottom = turned.bounds
    scale_x, scale_y = size * ratio**0.5 / (right - left), size / ratio**0.5 / (bottom - top)
    return affinity.affine_transform(turned, [scale_x, 0, 0, scale_y, -left * scale_x, -top * scale_y])


def _somewhere(rng: np.random.Generator, shape: Polygon) -> Polygon:
    """Returns the shape, whose corner is at 0, 0, moved to a random place wholly inside the image."""
    _, _, width, height = shape.bounds
    return affinity.translate(shape, rng.uniform(0, 1 - width), rng.uniform(0, 1 - height))


def _fits(outline: Polygon, still_visible: BaseGeometry, candidate: Polygon) -> bool:
    """Returns whether earlier objects stay visible and distinct enough under the candidate."""
    if still_visible.area < LEAST_VISIBLE * outline.area:
        return False
    a, b = box(*outline.bounds), box(*candidate.bounds)
    return bool(a.intersection(b).area <= MOST_BOX_IOU * a.union(b).area)


def _without_holes(region: BaseGeometry) -> list[Polygon]:
    """Returns polygons without holes that tile the region, cut through each hole: COCO's polygons have no holes."""
    parts: list[Polygon] = []
    for part in getattr(region, "geoms", [region]):
        if part.geom_type == "Polygon" and part.interiors:
            x = part.interiors[0].centroid.x
            parts += _without_holes(part.intersection(box(-1, -1, x, 2)))
            parts += _without_holes(part.intersection(box(x, -1, 2, 2)))
        elif part.geom_type == "Polygon":
            parts.append(part)
    return parts


def _background(rng: np.random.Generator) -> tuple[NDArray[np.float32], ...]:
    """Returns a muted gradient and two octaves of noise on it."""
    coarse = rng.uniform(0.3, 0.7) + rng.uniform(-0.15, 0.15, (2, 2, 3))
    octaves = [rng.normal(0, sigma, (cells, cells, 3)) for cells, sigma in ((5, 0.06), (20, 0.03))]
    return tuple(grid.astype(np.float32) for grid in (coarse, *octaves))


def _clutter(rng: np.random.Generator) -> list[Mark]:
    """Returns plain blobs and lines and, in four of ten scenes, a texture in an outline that is not a class."""
    marks = []
    for _ in range(rng.integers(1, 4)):
        blob = _somewhere(rng, _boxed(rng, _outline("disc"), rng.uniform(0.06, 0.35)))
        marks.append(Mark(blob, "plain", 0.0, _two_colours(rng)))
    for _ in range(rng.integers(1, 4)):
        stroke = box(-1, 0, 2, rng.uniform(0.006, 0.02))
        stroke = affinity.rotate(stroke, rng.uniform(0, 180), origin=(0.5, 0))
        stroke = affinity.translate(stroke, rng.uniform(-0.4, 0.4), rng.uniform(0.1, 0.9)).intersection(box(0, 0, 1, 1))
        if not stroke.is_empty:
            marks.append(Mark(stroke, "plain", 0.0, _two_colours(rng)))
    for _ in range(rng.choice(3, p=(0.6, 0.3, 0.1))):
        decoy = _boxed(rng, _outline(str(rng.choice(["cross", "star"]))), rng.uniform(0.14, 0.35))
        marks.append(Mark(_somewhere(rng, decoy), str(rng.choice(TEXTURES)), _angle(rng), _two_colours(rng)))
    return marks


def _angle(rng: np.random.Generator) -> float:
    return float(np.radians(rng.uniform(-TILT, TILT)))


def _two_colours(rng: np.random.Generator) -> Colours:
    """Returns a dark and a light colour of random hues, far enough apart in brightness for the texture to be seen."""
    while True:
        dark = colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.3, 1), rng.uniform(0.05, 0.45))
        light = colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.1, 0.7), rng.uniform(0.75, 1))
        pair = np.array([dark, light], dtype=np.float32)[:, ::-1]
        luma = pair @ np.array([0.114, 0.587, 0.299])
        if luma[1] - luma[0] > 0.4:
            return pair[0], pair[1]


def _paint(image: NDArray[np.float32], mark: Mark, finer: int = 4) -> None:
    """Paints a mark over the image in place, its rim smoothed by drawing it `finer` times larger."""
    size = len(image)
    left, top = (max(0, int(v * size) - 1) for v in mark.outline.bounds[:2])
    right, bottom = (min(size, int(v * size) + 2) for v in mark.outline.bounds[2:])
    # OpenCV counts from the centre of the first pixel and takes whole numbers of 1/16 pixel (shift=4).
    ring = (np.asarray(mark.outline.exterior.coords) * size - (left, top)) * finer - 0.5
    cover = np.zeros(((bottom - top) * finer, (right - left) * finer), np.uint8)
    cv2.fillPoly(cover, [np.rint(ring * 16).astype(np.int32)], 255, shift=4)
    alpha = cv2.resize(cover, (right - left, bottom - top), interpolation=cv2.INTER_AREA)[..., None] / np.float32(255)
    light = _texture(mark, np.arange(left, right) + 0.5, np.arange(top, bottom) + 0.5, size)
    colour = mark.colours[0] + light[..., None] * (mark.colours[1] - mark.colours[0])
    image[top:bottom, left:right] += alpha * (colour - image[top:bottom, left:right])


def _texture(mark: Mark, x: NDArray[np.floating], y: NDArray[np.floating], size: int) -> NDArray[np.float32]:
    """Returns how light the texture is, 0..1, at pixel centres x, y: clipped waves, whose edges are smooth."""
    if mark.texture == "plain":
        return np.zeros((len(y), len(x)), np.float32)
    turn = 2 * np.pi / (WAVELENGTH * size)
    first = turn * (x[None] * np.cos(mark.angle) + y[:, None] * np.sin(mark.angle))
    if mark.texture == "striped":
        wave = np.sin(first)
    else:  # the sum of two waves of the stripes' wavelength, so that the scale does not show which texture it is
        second = turn * (y[:, None] * np.cos(mark.angle) - x[None] * np.sin(mark.angle))
        wave = (np.sin(first) + np.sin(second)) / 2
    return np.clip(0.5 + 1.2 * wave, 0, 1).astype(np.float32)
