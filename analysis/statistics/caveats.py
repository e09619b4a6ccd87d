"""The sentences below a table of differences: how to read it, and how it was computed."""

from collections.abc import Sequence

import numpy as np

from analysis.read.study import Study
from analysis.statistics import means, noise_groups, numbers
from analysis.statistics.rounds import Rounds
from analysis.statistics.row_evidence import RowEvidence
from experiments import names

SHOWN = 3  # trials without matches that a note names
OF_NOISE = (
    f"Training noise (sd) is a row's own from {means.OWN_FROM} seeds on; with fewer seeds it is at least the noise "
    "pooled over all rows of the study with the same architecture, profile, data and schedule. p is corrected for "
    "all rows of this table (Holm), and is not below that of the two rows' own seeds (Welch). better: the confidence "
    "that the row is better than its baseline, for that row alone. beats: the probability that one new training of the "
    "row has a higher AP than one of its baseline, on these images."
)
OF_BOTH = (
    "Intervals (95 %) hold for other seeds and other validation images of the same kind: images are drawn with "
    "replacement, the same for all rows, 1000 times. "
)
OF_SEEDS = "Intervals (95 %) are Student's, over seeds alone, as some trials have no matches. "
OF_ONE = "A difference has no p where one of the two rows has one seed."
OF_NONE = (
    "Training noise is unknown, as no similar row has two seeds: differences have no interval, and the interval of a "
    "row's own AP is for other validation images alone."
)
OF_TWO = (
    "Two seeds say little about a row's noise: if the baseline were three times as noisy as the other rows, intervals "
    "would hold the truth in 92 % of studies, and a table would have a false finding in up to 7 % of them."
)
FOR_ALL_LOOKS = (
    "p and the intervals of differences hold for all looks together, those of a row at the seeds that it and its "
    "baseline had at the newest look"
)
OF_TWINS = "same: for every seed the AP is the baseline's to the last bit; it is not tested."


def note(
    study: Study,
    name: str,
    lines: Sequence[RowEvidence],
    lacking: Sequence[str],
    matters: float | None,
    looked: Rounds | None,
) -> str:
    """Returns the note below the lines of a table.

    Args:
        name: of the metric.
        lacking: the trials that have no matches.
        matters: the smallest difference that matters, AP x 100; None where the table's file has none.
        looked: the rounds in which seeds were added; None where all were asked for at once.
    """
    compared = [line for line in lines if line.baseline]
    tested = [line for line in compared if not np.isnan(line.p)]
    unknown = any(not line.noise.used.freedom for line in lines)
    notes = [OF_SEEDS + _without_matches(study, lacking) if lacking else OF_BOTH.rstrip()]
    notes += [] if all(not line.noise.used.freedom for line in lines) else [OF_NOISE]
    notes += [OF_NONE] if unknown else [OF_ONE] if any(line.common == 1 for line in compared) else []
    notes += [OF_TWO] if any(line.common == 2 and line.repeated is None for line in tested) else []
    notes += _of_looks(lines, looked) if looked else []
    notes += [OF_TWINS] if any(line.twin for line in lines) else []
    if matters is not None:
        notes.append(f"No difference that matters: the interval lies within {matters:g} AP of 0.")
    return " ".join([*notes, *_noisier(study, name, lines)])


def _of_looks(lines: Sequence[RowEvidence], looked: Rounds) -> list[str]:
    """Returns how seeds were added after results were seen."""
    rules, histories = looked.rules, [line.repeated for line in lines if line.repeated]
    if rules is None:
        steps = max((tuple(look.seeds for look in one.looks) for one in histories), key=len, default=())
        return [f"Seeds were added after looking ({', then '.join(map(str, steps))} seeds): {FOR_ALL_LOOKS}."] * bool(
            steps
        )
    notes = [
        f"Seeds were added by seed=auto, from {rules.first} to at most {rules.most} of a row (alpha {rules.alpha:g}), "
        f"by rules made on {rules.made[:10]}: {FOR_ALL_LOOKS}."
    ]
    if len(rules.budgets) > 1:
        hours = ("none" if one.hours is None else f"{one.hours:g} device-hours" for one in rules.budgets)
        notes.append(f"The budget was changed: {', then '.join(hours)}.")
    if looked.before:
        were = "trial was" if looked.before == 1 else "trials were"
        notes.append(f"{looked.before} {were} finished before these rules were made, and may have been looked at.")
    return notes


def _noisier(study: Study, name: str, lines: Sequence[RowEvidence]) -> list[str]:
    """Returns a sentence for each row that is noisier than the similar rows."""
    labels = dict(zip(study.trials[names.VARIANT_ID], study.trials["label"], strict=True))
    labels |= {line.variant_id: line.label for line in lines}
    return [
        f"Rows differ in noise: {labels.get(variant, variant)} has an sd of "
        f"{numbers.points(np.sqrt(own.variance))} AP, "
        f"the other rows together have {numbers.points(np.sqrt(others.variance))} (Cochran's C, p {numbers.equals(p)})."
        for variant, p, own, others in noise_groups.noisier(study, name, [line.variant_id for line in lines])
    ]


def _without_matches(study: Study, lacking: Sequence[str]) -> str:
    """Returns which trials have no matches, and the remedy."""
    listed = ", ".join([*lacking[:SHOWN], *(["..."] if len(lacking) > SHOWN else [])])
    return f"{len(lacking)} have none ({listed}); of the first: {study.run_of(lacking[0]).without_matches}."
