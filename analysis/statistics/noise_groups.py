"""Groups the rows of a study whose training noise is assumed equal, and estimates each row's noise."""

from collections.abc import Iterable

import pandas as pd

from analysis.read import frames
from analysis.read.runs import Run
from analysis.read.study import Study
from analysis.statistics import means
from analysis.statistics.means import ALPHA, Noise, RowNoise
from experiments import names
from experiments.declared import key_of, words

# Noise differs from one architecture to another, and may with the data and the length of training; not with modules.
DEPENDS_ON = ("architecture", "profile", "dataset", "schedule")

Values = dict[str, dict[str, float]]  # by variant, then seed


def values(study: Study, name: str) -> Values:
    """Returns a metric's result of each finished trial of the whole study."""
    trials = finished(study.runs)
    last = frames.last_values(frames.metrics_frame(trials, study.histories, (name,)))[name].dropna()
    found: Values = {}
    for trial in trials.itertuples():
        if trial.trial_id in last.index:
            found.setdefault(trial.variant_id, {})[trial.seed] = float(last[trial.trial_id])
    return found


def finished(runs: Iterable[Run]) -> pd.DataFrame:
    """Returns a row for each finished trial, by its latest run: `run_id`, `trial_id`, `variant_id`, `seed`."""
    of_trial: dict[str, Run] = {}
    for run in sorted(runs, key=lambda run: (run.started, run.run_id)):
        if run.status == names.FINISHED:
            of_trial[run.tags[names.TRIAL_ID]] = run
    rows = [
        (run.run_id, trial, run.tags.get(names.VARIANT_ID, ""), run.params.get(names.SEED, ""))
        for trial, run in of_trial.items()
    ]
    return pd.DataFrame(rows, columns=["run_id", names.TRIAL_ID, names.VARIANT_ID, names.SEED])


def groups(study: Study, known: Values) -> list[Values]:
    """Returns the values of each group of rows that share the settings in DEPENDS_ON."""
    setting = {run.tags.get(names.VARIANT_ID, ""): _setting(run) for run in study.runs}
    found: dict[tuple[str, ...], Values] = {}
    for variant, of_seed in known.items():
        found.setdefault(setting[variant], {})[variant] = of_seed
    return list(found.values())


def noises(study: Study, name: str) -> dict[str, RowNoise]:
    """Returns the noise of a metric for each variant of the whole study that has a value of it."""
    return means.row_noises(groups(study, values(study, name)))


def noisier(study: Study, name: str, variants: Iterable[str]) -> list[tuple[str, float, Noise, Noise]]:
    """Returns the rows that are noisier than the rest of their group, by `means.noisiest` at .05.

    Args:
        variants: of a table; groups without any of them are left out.

    Each is a variant, its p-value, its own noise, and the pooled noise of the others.
    """
    wanted, found = set(variants), []
    for group in groups(study, values(study, name)):
        own = {variant: means.own_noise(list(of_seed.values())) for variant, of_seed in means.distinct(group).items()}
        outlying = means.noisiest(own) if wanted & group.keys() else None
        if outlying is not None and outlying[1] < ALPHA:
            variant, p = outlying
            others = means.pooled([list(of.values()) for one, of in group.items() if one != variant])
            found.append((variant, p, own[variant], others))
    return found


def _setting(run: Run) -> tuple[str, ...]:
    """Returns the options that noise depends on, and the overrides of their values."""
    typed = [word for word in words(run.tags.get(names.VARIANT, "")) if "=" in word]
    values_set = sorted(word for word in typed if key_of(word).partition(".")[0] in DEPENDS_ON)
    return (*(run.params.get(factor, "") for factor in DEPENDS_ON), *values_set)
