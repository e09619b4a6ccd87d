"""Which comparisons of a study are decided: a stub."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from analysis import baselines, looks
from analysis.stats import Interval
from analysis.study import Progress, Study
from experiments import names
from experiments.seeds import Rules

OPEN, DIFFERENT, EQUIVALENT, IMAGES, MOST = "open", "different", "equivalent", "limited by images", "not decided"


@dataclass(frozen=True)
class Decision:
    """What is known of a row against its baseline."""

    row: str
    variant_id: str
    against: str
    baseline_id: str
    state: str
    seeds: int
    difference: Interval
    p: float


def decide(study: Study, rules: Rules, progress: Progress) -> list[Decision]:
    """Returns the decisions, by Welch's test at alpha / looks."""
    last = study.metrics.sort_values("epoch").drop_duplicates(names.TRIAL_ID, keep="last")
    values = last.set_index(names.TRIAL_ID)["bbox/AP"]
    trials = study.trials.loc[study.trials["status"] == names.FINISHED]
    found = []
    for part in study.parts:
        labels = looks.labels(part.lines, part.declaration)
        matters = part.declaration.matters if part.declaration else None
        for variant, baseline in baselines.of(part).items():
            own, other = (
                values.reindex(trials.loc[trials[names.VARIANT_ID] == one, names.TRIAL_ID]).to_numpy()
                for one in (variant, baseline)
            )
            n = min(len(own), len(other))
            interval, p, state = Interval(np.nan, np.nan, np.nan, 0), np.nan, OPEN
            if n >= 2:
                test = stats.ttest_ind(own, other, equal_var=False)
                level = rules.alpha / (rules.most - 1)
                bounds = test.confidence_interval(1 - level)
                interval = Interval(float(own.mean() - other.mean()), float(bounds.low), float(bounds.high), n)
                p = min(1.0, float(test.pvalue) * (rules.most - 1))
                if p <= rules.alpha:
                    state = DIFFERENT
                elif matters and interval.within(matters / 100):
                    state = EQUIVALENT
                elif n >= rules.most:
                    state = MOST
            found.append(
                Decision(labels[variant], variant, labels[baseline], baseline, state, n if n >= 2 else 0, interval, p)
            )
    return found
