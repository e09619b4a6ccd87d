"""Each row's difference from its baseline against the number of seeds, as plain data."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from analysis.figures import curves, styles
from analysis.figures.curves import Heading
from analysis.figures.styles import Look
from analysis.read.study import Part
from analysis.statistics.decisions import IMAGES, MOST, limited_by_images
from analysis.statistics.evidence import Evidence
from analysis.statistics.means import Interval
from analysis.statistics.row_evidence import NONE_THAT_MATTERS, RowEvidence
from experiments.errors import UserError

HOW_TO_READ = (
    "Points: a row less its baseline, when both had this number of seeds. Bars: repeated 95 % intervals, which hold "
    "simultaneously at all numbers of seeds."
)


@dataclass(frozen=True)
class Strip:
    """A row by number of seeds; intervals in the unit of the axis, `n` is their seeds."""

    label: str
    against: str
    look: Look
    intervals: tuple[Interval, ...]
    outcome: str  # "better", "not decided", ...


@dataclass(frozen=True)
class Strips:
    """The rows of a table whose seeds were added in rounds."""

    axis: str
    heading: Heading
    strips: tuple[Strip, ...]

    @property
    def remarks(self) -> tuple[str, ...]:
        """Returns the foot."""
        return (HOW_TO_READ, *self.heading.foot)


def strips(part: Part, found: Evidence, look_of: Mapping[str, Look]) -> Strips:
    """Returns each row with a look; UserError if no row got seeds after a look."""
    called = styles.labels(part)
    matters = part.declaration.matters if part.declaration else None
    rows = tuple(
        Strip(
            called[line.variant_id],
            called[line.baseline_id],
            look_of[line.variant_id],
            tuple(one.times(found.metric.scale) for one in line.repeated.intervals),
            _outcome(line, matters),
        )
        for line in found.lines
        if line.repeated and line.repeated.looks
    )
    if not rows:
        raise UserError(f"the seeds of sweep {part.sweep!r} were all planned at once; leave --seeds out")
    head = curves.heading(part, foot=(found.note,))
    return Strips(f"{found.metric.axis} less the baseline's", head, rows)


def _outcome(line: RowEvidence, matters: float | None) -> str:
    if line.significant:
        return "better" if line.difference and line.difference.estimate > 0 else "worse"
    if line.equivalent:
        return NONE_THAT_MATTERS
    return IMAGES if limited_by_images(line, matters) else MOST


def reach(found: Strips) -> tuple[float, float]:
    """Returns the ends of the shared axis: every estimate, and the intervals of the newest looks."""
    ends = [0.0]
    for strip in found.strips:
        newest = strip.intervals[-1]
        ends += [one.estimate for one in strip.intervals]
        ends += [end for end in (newest.low, newest.high) if not np.isnan(end)]
    low, high = min(ends), max(ends)
    room = 0.05 * (high - low) or 0.5
    return low - room, high + room
