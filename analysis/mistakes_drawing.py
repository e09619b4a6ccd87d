"""Draws what each kind of error costs, a panel for each kind and a bar for each variant; nothing is written to disk."""

import textwrap

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.drawing import GREY
from analysis.mistakes import MEANING, Bar, Mistakes
from experiments import names

# Okabe and Ito's, of each kind of error; a variant has no colour here.
COLOURS = dict(
    zip(names.ERROR_KINDS, ("#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7", "#56B4E9"), strict=True)
) | dict.fromkeys(names.ERROR_SIDES, "#8C8C8C")
PANEL, GAP, LINE = 0.95, 0.16, 0.26  # inches: width of a panel, between panels, height of a variant
HEAD = 0.5  # above the panels


def draw(mistakes: Mistakes) -> Figure:
    """Returns the drawing: a line per variant, the kinds beside each other, each group of kinds on one scale."""
    groups = (names.ERROR_KINDS, names.ERROR_SIDES)
    high = LINE * len(mistakes.labels) + 0.1
    width = sum(len(group) * (PANEL + GAP) + 2 * GAP for group in groups)
    figure = Figure(figsize=(width, high + HEAD), dpi=200)
    left, number = 0.0, 0
    for group in groups:
        most = max(max(bar.seeds) for kind in group for bar in mistakes.bars[kind])
        for kind in group:
            axes = figure.add_axes((left / width, 0, PANEL / width, high / (high + HEAD)))
            axes.set_xlim(0, 1.35 * most or 1)  # the value is written behind its bar
            _draw(axes, kind, mistakes.bars[kind])
            axes.set_yticks(
                range(len(mistakes.labels)), mistakes.labels if number == 0 else [""] * len(mistakes.labels)
            )
            left, number = left + PANEL + GAP, number + 1
        left += 2 * GAP
    caption = textwrap.fill(mistakes.caption, 120)
    figure.text(0, 1, caption, fontsize=9.5, color=GREY, va="bottom", parse_math=False)
    remarks = "\n".join(textwrap.fill(remark, 130) for remark in mistakes.remarks)
    figure.text(0, -0.3 / (high + HEAD), remarks, fontsize=8.5, color=GREY, va="top", parse_math=False)
    return figure


def _draw(axes: Axes, kind: str, bars: tuple[Bar, ...]) -> None:
    places = range(len(bars))
    axes.barh(places, [bar.mean for bar in bars], height=0.62, color=COLOURS[kind], alpha=0.75)
    for place, bar in zip(places, bars, strict=True):
        if len(bar.seeds) > 1:
            axes.plot(bar.seeds, [place] * len(bar.seeds), "o", color="black", markersize=2)
        axes.annotate(
            f"{bar.mean:.1f}", (max(bar.seeds), place), (3, 0), textcoords="offset points", va="center", fontsize=7.5
        )
    axes.set_ylim(len(bars) - 0.45, -0.55)  # the first variant on top
    axes.set_title(f"{kind}\n", loc="left", fontsize=9.5, fontweight="bold", pad=1)
    axes.annotate(MEANING[kind], (0, 1), (0, 3), "axes fraction", "offset points", fontsize=7.5, color=GREY)
    axes.tick_params(axis="y", length=0, labelsize=9)
    axes.tick_params(axis="x", labelsize=7.5)
    axes.spines[["top", "right"]].set_visible(False)
