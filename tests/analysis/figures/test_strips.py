"""The figure of differences against the number of seeds."""

import pytest

from analysis.drawing import page
from analysis.figures import strips, styles
from analysis.figures.strips import Strips
from experiments.errors import UserError
from experiments.seeds import Recorded, Rules
from tests.support.drawn import assert_readable, sure, typed

ROWS = {"one level": [0.30, 0.302, 0.301], "sum": [0.4, 0.401, 0.399], "random level": [0.301, 0.3, 0.302]}


def of_rows(rules: Recorded | None) -> Strips:
    found = typed({name: dict(zip("012", own, strict=True)) for name, own in ROWS.items()}, rules=rules)
    (part,) = found.parts
    return strips.strips(part, sure(found), styles.of(found.parts))


def test_rows_by_number_of_seeds() -> None:
    found = of_rows(Recorded.of(Rules(), "2026-11-01T12:00:00+00:00"))
    assert [(one.label, one.against, one.outcome) for one in found.strips] == [
        ("sum", "one level", "better"),
        ("random level", "one level", "not decided"),
    ]
    assert [one.n for one in found.strips[0].intervals] == [2, 3]
    assert [one.estimate for one in found.strips[0].intervals] == pytest.approx([9.95, 9.9])
    assert found.axis == "box AP (x100) less the baseline's"
    low, high = strips.reach(found)
    assert low < found.strips[1].intervals[-1].low
    assert high > found.strips[0].intervals[-1].high
    assert_readable(page.draw(found))


def test_seeds_that_were_asked_for_at_once_have_no_such_figure() -> None:
    with pytest.raises(UserError, match="the seeds of sweep 'mine' were all planned at once; leave --seeds out"):
        of_rows(None)
