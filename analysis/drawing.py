"""Draws the curves of a sweep with matplotlib; nothing is written to disk."""

import textwrap
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from analysis.figures import Curve, Curves

# Okabe and Ito's colours for colour-blind readers, with grey for the yellow that a white page swallows. The markers
# tell lines apart in greyscale; there is one more of them, so that 72 pairs differ.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7", "#56B4E9", "#000000", "#8C8C8C")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p", "*")
GREY = "#555555"
LINE_HEIGHT = 14  # points from one label to the next


def draw(curves: Curves) -> Figure:
    """Returns the drawing: curves labelled at the right in the order of their last values, the caption above."""
    height = max(3.4, len(curves.curves) * LINE_HEIGHT / 72 + 0.6)  # inches
    figure = Figure(figsize=(4.8, height), dpi=200)
    axes = figure.add_axes((0, 0, 1, 1))  # the frame alone: what stands around it is added when the file is cut
    for curve in curves.curves:
        _draw(axes, curve)
    low, high = axes.get_ylim()
    axes.set_ylim(max(low, 0.0) if curves.lowest >= 0 else low, high)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.set_xlabel("epoch")
    axes.set_ylabel(curves.metric.axis)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    _label(axes, curves, height)
    caption = textwrap.fill(curves.caption, 80)
    axes.set_title(caption, loc="left", fontsize=9.5, color=GREY, pad=8, parse_math=False)
    remarks = "\n".join(textwrap.fill(remark, 90) for remark in curves.remarks)
    figure.text(0, -0.6 / height, remarks, fontsize=8.5, color=GREY, va="top", parse_math=False)
    return figure


def _style(curve: Curve) -> dict[str, Any]:
    colour = COLOURS[curve.order % len(COLOURS)]
    return {
        "color": colour,
        "marker": MARKERS[curve.order % len(MARKERS)],
        "markerfacecolor": colour if curve.complete else "white",
        "linestyle": "-" if curve.complete else "--",
    }


def _draw(axes: Axes, curve: Curve) -> None:
    if len(curve.seeds) > 1:
        for seed in curve.seeds:
            axes.plot(seed.epochs, seed.values, color=_style(curve)["color"], linewidth=0.7, alpha=0.45)
    axes.plot(curve.mean.epochs, curve.mean.values, linewidth=1.8, markersize=4.5, **_style(curve))


def _label(axes: Axes, curves: Curves, height: float) -> None:
    # Text in axes fractions right of the frame, each at the height of its line's end or as near as the others allow.
    low, high = axes.get_ylim()
    gap = LINE_HEIGHT / 72 / height
    from_top = sorted(curves.curves, key=lambda curve: -curve.final)
    heights = [(curve.final - low) / (high - low) for curve in from_top]
    for i in range(1, len(heights)):
        heights[i] = min(heights[i], heights[i - 1] - gap)
    heights[-1] = max(heights[-1], 0.0)
    for i in reversed(range(len(heights) - 1)):
        heights[i] = max(heights[i], heights[i + 1] + gap)
    for curve, y in zip(from_top, heights, strict=True):
        end = (curve.mean.epochs[-1], curve.final)
        note = f" ({textwrap.shorten(curve.note, 40, placeholder=' ...')})" if curve.note else ""
        arrow = {
            "arrowstyle": "-",
            "color": _style(curve)["color"],
            "linewidth": 0.8,
            "linestyle": ":",
            "relpos": (0, 0.5),
        }
        axes.annotate(
            f"{curve.final:.1f}  {curve.label}{note}",
            end,
            (1.06, y),
            textcoords="axes fraction",
            va="center",
            fontsize=9.5,
            annotation_clip=False,
            parse_math=False,
            arrowprops={**arrow, "shrinkA": 1, "shrinkB": 3},
        )
