"""The report as a page: what it says beside the tables and figures, which have tests of their own."""

import re

from drawn import study as drawn

from analysis import report
from experiments import names


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
