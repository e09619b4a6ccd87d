"""The report as a page: what it says beside the tables and figures, which have tests of their own."""

import re
from dataclasses import replace

from analysis.read.metrics import METRICS
from analysis.results import report
from analysis.statistics import numbers
from analysis.tables import ablation
from experiments import names
from tests.support.drawn import study as drawn
from tests.support.drawn import sure, typed


def test_each_variant_has_one_command_under_its_newest_text() -> None:
    """Older versions recorded what was typed: the seeds of a variant may have several texts."""
    found = drawn("table3", seeds=(0, 1))
    for run in found.runs:
        run.tags[names.OVERRIDES] = f"{run.tags[names.VARIANT]} seed={run.params[names.SEED]}"
    (first, _) = [run for run in found.runs if run.tags[names.VARIANT_ID].endswith("pre=conv5")]
    first.tags[names.VARIANT] = "as it was typed once"
    page = report.page(found, [], [])
    table = page.partition('<section id="reproduce">')[2].partition("</section>")[0]
    commands = re.findall(r"<tr><td>([^<]+)</td><td class=\"words\"><code>([^<]+)</code>", table)
    texts = list(dict.fromkeys(run.tags[names.VARIANT_ID] for run in found.runs))
    assert commands == [(text, f"python run.py {text}") for text in texts]


def test_a_headline_says_how_sure_and_what_it_cannot_tell() -> None:
    values = {
        "single": {"0": 0.300, "1": 0.304, "2": 0.302},
        "conv3": {"0": 0.352, "1": 0.357, "2": 0.353},
        "conv5": {"0": 0.351, "1": 0.355, "2": 0.353},
        "conv1": {"0": 0.301, "1": 0.305, "2": 0.302},
    }
    found = typed(values)
    (part,) = found.parts
    known = sure(found)
    table = ablation.of(found, part)
    section = report.section(part, table, [known], [])
    (answer,) = report.answers([section])
    leading = known.lines[1]
    assert answer.text == "mine: conv3 is better than single by +5.2 [+4.7, +5.7] box AP."
    assert (answer.kind, leading.label) == ("better", "conv3")
    told, everywhere, alike, differ, limit = answer.detail.rstrip(".").replace(", ", "; ", 1).split("; ")
    assert told == f"p {numbers.equals(leading.p)} in this table"
    assert everywhere == f"{numbers.equals(leading.p)} over all 3 comparisons of the study"
    assert alike == "not significantly different from it: conv5"
    assert differ == "2 of 3 rows differ significantly from their baseline"
    assert limit == f"3 seeds can detect a difference of {known.detectable:.1f} AP with 80 % power"
    # Two tables pay for each other's comparisons, where the rows' own seeds do not already say less.
    other = replace(known, metric=METRICS["segm/AP"])
    twice = report.answers([section, replace(section, evidence=(other,))])
    assert "over all 6 comparisons" in twice[0].detail
