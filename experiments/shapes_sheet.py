"""Draws the contact sheet of the embedded data: `python -m experiments.shapes_sheet docs/shapes.png`."""

import argparse
import math
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.patches import Rectangle

from experiments.shapes import CLASSES, annotate, describe, draw, finest_scale

COLOURS = ("#56b4e9", "#f0e442", "#e69f00", "#ff4fd8")  # of the levels, finest first
ROWS, COLUMNS = 2, 4


def sheet(path: Path, image_size: int, seed: int) -> None:
    """Writes the first training images with their boxes, coloured by the FPN level that the single-level rule takes."""
    figure, axes = plt.subplots(ROWS, COLUMNS, figsize=(4 * COLUMNS, 4 * ROWS + 0.5), layout="constrained")
    for index, axis in enumerate(axes.flat):
        scene = describe(seed, "train", index)
        axis.imshow(draw(scene, image_size)[..., ::-1], interpolation="nearest", extent=(0, image_size, image_size, 0))
        axis.axis("off")
        for annotation in annotate(scene, image_size):
            x, y, width, height = annotation["bbox"]
            level = min(3, max(0, math.floor(math.log2(math.sqrt(width * height) / finest_scale(image_size)))))
            colour = COLOURS[level]
            axis.add_patch(Rectangle((x, y), width, height, fill=False, edgecolor=colour, linewidth=2))
            axis.text(
                *(x, y), CLASSES[annotation["category_id"] - 1],
                fontsize=7, va="bottom", bbox={"facecolor": colour, "edgecolor": colour, "pad": 1},
            )  # fmt: skip
    edges = [finest_scale(image_size) * 2**k for k in range(4)]
    ranges = [f"{low:g} to {high:g} px" for low, high in zip(edges, [*edges[1:], 0.9 * image_size], strict=True)]
    keys = [Rectangle((0, 0), 1, 1, color=colour) for colour in COLOURS]
    labels = [f"level P{level + 2}: {text}" for level, text in enumerate(ranges)]
    figure.legend(keys, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=12)
    figure.savefig(path, dpi=90)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path, help="the PNG to write")
    parser.add_argument("--image-size", type=int, default=160, help="pixels")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    sheet(arguments.path, arguments.image_size, arguments.seed)
