"""Draws the contact sheet of the built-in data: `python -m experiments.data.shapes_sheet docs/shapes.png`."""

import argparse
import math
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from experiments.data import shapes

COLOURS = ("#56b4e9", "#f0e442", "#ff9d1e", "#ff5ad9")  # of the FPN levels, finest first
ROWS, COLUMNS = 2, 4


def sheet(path: Path, image_size: int, seed: int) -> None:
    """Writes the first training images; a box has the colour of the level that the single-level rule pools it from."""
    figure, axes = plt.subplots(ROWS, COLUMNS, figsize=(4 * COLUMNS, 4 * ROWS + 0.5), layout="constrained")
    for index, axis in enumerate(axes.flat):
        scene = shapes.describe(seed, "train", index)
        image = shapes.draw(scene, image_size)[..., ::-1]
        axis.imshow(image, interpolation="nearest", extent=(0, image_size, image_size, 0))
        axis.axis("off")
        for annotation in shapes.annotate(scene, image_size):
            _box(axis, annotation["bbox"], shapes.CLASSES[annotation["category_id"] - 1], image_size)
    ends = [shapes.SMALLEST * image_size, *(shapes.finest_scale(image_size) * 2**k for k in (1, 2, 3))]
    ends.append(shapes.LARGEST * image_size)
    labels = [f"P{level + 2}: sizes {ends[level]:.3g} to {ends[level + 1]:.3g} px" for level in range(len(COLOURS))]
    keys = [Rectangle((0, 0), 1, 1, color=colour) for colour in COLOURS]
    figure.legend(keys, labels, loc="outside lower center", ncols=len(COLOURS), frameon=False, fontsize=13)
    figure.savefig(path, dpi=90)


def _box(axis: Axes, bbox: list[float], name: str, image_size: int) -> None:
    x, y, width, height = bbox
    level = math.floor(math.log2(math.sqrt(width * height) / shapes.finest_scale(image_size)))
    colour = COLOURS[min(max(level, 0), len(COLOURS) - 1)]
    axis.add_patch(Rectangle((x, y), width, height, fill=False, edgecolor=colour, linewidth=2.5))
    # the name stands on the upper left corner, but within the image and, of the largest, away from smaller ones' names
    largest, at_rim = level >= len(COLOURS) - 1, x + width / 2 > 0.8 * image_size
    axis.text(
        x + width if largest or at_rim else x,
        y + height if largest else max(y, 0.05 * image_size),
        name,
        fontsize=9,
        ha="right" if largest or at_rim else "left",
        va="bottom",
        bbox={"facecolor": colour, "edgecolor": colour, "pad": 1},
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path, help="the PNG to write")
    parser.add_argument("--image-size", type=int, default=160, help="pixels")
    parser.add_argument("--seed", type=int, default=0, help="of the drawing")
    arguments = parser.parse_args()
    sheet(arguments.path, arguments.image_size, arguments.seed)
