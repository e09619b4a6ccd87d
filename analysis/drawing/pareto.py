"""Draws AP against a cost with the Pareto front, and places the name of each point."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from analysis.drawing import sheet
from analysis.drawing.sheet import GREY, INK, LINE, MARGIN, WIDTH, Sheet
from analysis.figures.plots import Pareto

FRAME, LEFT = 2.9, 0.56  # height; what the axis' text and numbers take
NAME = 1.5  # most of a name's width; longer ones have two lines
MARK = 0.065  # half a marker's width
# Of a name's edge from its point.
AWAY = [0.1, 0.16, 0.24, 0.34, 0.46, 0.6, 0.8, 1.0, 1.3, 1.6, 2.0, 2.4, 2.8, 3.3, 3.8]
AROUND = [30, -30, 150, -150, 0, 180, 60, -60, 120, -120, 90, -90]  # degrees, the best place first
NEAR = 0.16  # a name further away than this has a line to its point
TRIES = 8  # orders of placing, where a name's line would cross another name
CROSSED = 0.2  # how much further a name may move for each line that it then does not cover

Spot = tuple[float, float]
Line = tuple[Spot, Spot]


@dataclass(frozen=True)
class Box:
    """A rectangle on the page, inches."""

    left: float
    low: float
    right: float
    high: float

    def meets(self, other: "Box") -> bool:
        """Returns whether the two have an area in common."""
        return self.left < other.right and other.left < self.right and self.low < other.high and other.low < self.high

    def has(self, x: float, y: float) -> bool:
        """Returns whether a point lies inside."""
        return self.left < x < self.right and self.low < y < self.high


@dataclass(frozen=True)
class Place:
    """The place of a name, and the end of the line from its point to it."""

    box: Box
    end: Spot
    away: float


@sheet.styled
def draw(pareto: Pareto) -> Figure:
    """Returns the drawing; it gets taller until all names have room."""
    names = [sheet.wrap(point.label, NAME, most=2) for point in pareto.points]
    places: list[Place] = []
    for high in itertools.count(FRAME, 0.6):  # some height has room for all
        page = Sheet(pareto.heading, pareto.remarks, high)
        axes = _frame(page)
        drawn = [_on_page(page, axes, line) for line in _lines(axes, pareto)]
        at = [page.at(axes, point.cost, point.value) for point in pareto.points]
        places = _places(at, names, Box(LEFT + 0.05, 0.05, WIDTH - MARGIN, high), drawn)
        if places:
            break
    axes.set_xlabel(pareto.cost.axis)
    axes.set_ylabel(pareto.metric.axis)
    for point, (x, y), lines, place in zip(pareto.points, at, names, places, strict=True):
        if place.away > NEAR:
            page.line((x, place.end[0]), (y, place.end[1]), color=point.look.colour, linewidth=0.5)
        ink = INK if point.front else GREY
        page.label(place.box.left + 0.02, place.box.high - LINE / 2, [(line, ink) for line in lines])
        style = sheet.marker_style(point.look)
        page.line((x,), (y,), linestyle="", **{**style, "markersize": 1.25 * style["markersize"]})
    return page.figure


def _frame(page: Sheet) -> Axes:
    axes = page.axes(LEFT, WIDTH - LEFT - MARGIN)
    axes.margins(0.1)
    axes.xaxis.set_major_locator(MaxNLocator(7))
    axes.yaxis.set_major_locator(MaxNLocator(6))
    axes.grid(axis="y")
    return axes


def _lines(axes: Axes, pareto: Pareto) -> list[Line]:
    """Draws the spread of each point and the front; returns all these lines, in the units of the axes."""
    spread: list[Line] = []
    for point in pareto.points:
        own: list[Line] = [
            ((point.costs[0], point.value), (point.costs[1], point.value)),
            ((point.cost, point.values[0]), (point.cost, point.values[1])),
        ]
        for start, end in own:
            axes.plot(*zip(start, end, strict=True), color=point.look.colour, linewidth=1.0, alpha=0.6)
        spread += own
    axes.set(xlim=axes.get_xlim(), ylim=axes.get_ylim())  # the front does not move them
    corners = [(pareto.points[0].cost, axes.get_ylim()[0])]
    for point in pareto.points:
        if point.front:
            corners += [(point.cost, corners[-1][1]), (point.cost, point.value)]
    corners.append((axes.get_xlim()[1], corners[-1][1]))
    axes.plot(*zip(*corners, strict=True), color="#BBBBBB", linewidth=1.2, zorder=1)
    return spread + list(itertools.pairwise(corners))


def _on_page(page: Sheet, axes: Axes, line: Line) -> Line:
    return page.at(axes, *line[0]), page.at(axes, *line[1])


def _places(at: list[Spot], names: list[list[str]], frame: Box, drawn: list[Line]) -> list[Place]:
    """Returns the place of each name, on no other name or marker and on few lines; [] where there is no room."""
    marks = [Box(x - MARK, y - MARK, x + MARK, y + MARK) for x, y in at]
    spots = [_spots(*line) for line in drawn]

    def crowd(number: int) -> float:
        return -sum(1 / (0.1 + math.dist(at[number], other)) for other in at)

    order = sorted(range(len(at)), key=crowd)  # the closest together first
    best: dict[int, Place] = {}
    least = len(at)
    for _ in range(TRIES):
        found, crossing = _in_order(order, at, names, frame, marks, spots)
        if len(found) == len(at) and len(crossing) < least:
            best, least = found, len(crossing)
        if best and not least:
            break
        # Names without a good place are placed first next time.
        late = crossing or [number for number in order if number not in found]
        order = [*late, *(number for number in order if number not in late)]
    return [best[number] for number in range(len(at))] if best else []


def _in_order(
    order: list[int],
    at: list[Spot],
    names: list[list[str]],
    frame: Box,
    marks: list[Box],
    spots: list[list[Spot]],
) -> tuple[dict[int, Place], list[int]]:
    """Returns the best place of each name after those before it, and the names whose line crosses another name."""
    found: dict[int, Place] = {}
    crossing = []
    for number in order:
        taken = [place.box for place in found.values()]
        lines = [(at[other], place.end) for other, place in found.items() if place.away > NEAR]
        places = [_place(at[number], names[number], away, degrees) for away in AWAY for degrees in AROUND]
        room = [place for place in places if _has_room(place.box, frame, (*marks, *taken))]
        if not room:
            break
        others = [mark for mark in marks if not mark.has(*at[number])]
        clear = [place for place in room if _is_clear(place, at[number], (*others, *taken), lines)]
        if not clear:
            crossing.append(number)
        found[number] = min(clear or room, key=lambda place: place.away + CROSSED * _crossed(place, spots))
    return found, crossing


def _crossed(place: Place, lines: list[list[Spot]]) -> int:
    return sum(any(place.box.has(*spot) for spot in line) for line in lines)


def _place(at: Spot, lines: list[str], away: float, degrees: float) -> Place:
    wide = max(sheet.wide(line) for line in lines) + 0.04
    tall = LINE * len(lines)
    x, y = at[0] + away * math.cos(math.radians(degrees)), at[1] + away * math.sin(math.radians(degrees))
    left = x if abs(degrees) < 90 else x - wide if abs(degrees) > 90 else x - wide / 2
    middle = y + math.copysign(tall / 2, degrees) if abs(degrees) == 90 else y
    return Place(Box(left, middle - tall / 2, left + wide, middle + tall / 2), (x, y), away)


def _has_room(box: Box, frame: Box, taken: Sequence[Box]) -> bool:
    inside = frame.left <= box.left and box.right <= frame.right and frame.low <= box.low and box.high <= frame.high
    return inside and not any(box.meets(other) for other in taken)


def _is_clear(place: Place, at: Spot, taken: Sequence[Box], lines: Sequence[Line]) -> bool:
    """Returns whether no other name's line crosses this name, and its own line crosses no name or marker."""
    own = _spots(at, place.end) if place.away > NEAR else []
    return not (
        any(place.box.has(*spot) for line in lines for spot in _spots(*line))
        or any(other.has(*spot) for spot in own for other in taken)
    )


def _spots(start: Spot, end: Spot) -> list[Spot]:
    """Returns points along a line, closer together than a name or marker is wide."""
    count = max(2, round(math.dist(start, end) / 0.03))
    return [
        (start[0] + (end[0] - start[0]) * step / count, start[1] + (end[1] - start[1]) * step / count)
        for step in range(1, count)
    ]
