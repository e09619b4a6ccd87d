"""A study as two tidy frames for other tools: the plan with the state of each trial, and all epochs of all trials."""

import shlex

import pandas as pd

from analysis.read import declarations
from analysis.read.study import Study
from experiments import names
from experiments.declared import key_of
from experiments.factors import EDITING, FACTORS, GROUPS

PLAN = ("table", "row", "variant", names.SEED, "overrides", names.TRIAL_ID, "state", "attempts", "device_seconds")


def plan(study: Study) -> pd.DataFrame:
    """Returns a line for each row of each table and seed, columns `PLAN`, also for trials that never ran.

    `overrides` are the words after `python run.py`, with -m if a word after the sweep's name has several values; a
    trial of several rows has a line in each.
    """
    runs = {run.run_id: run for run in study.runs}
    lines = []
    for part in study.parts:
        declared = declarations.rows_of(part.declaration)
        beside = [*part.sweep.split()[1:], *filter(None, [study.data_root])]
        of_variant = {
            line.variant_id: [word for word in runs[line.run_id].overrides if key_of(word) != names.SEED]
            for line in part.lines.itertuples()
            if line.run_id in runs
        }
        for line in part.lines.itertuples():
            run = runs.get(line.run_id)
            if run is not None:
                overrides = run.overrides
                spent = (run.metrics.get(names.ATTEMPTS), run.metrics.get(names.DEVICE_SECONDS))
            else:
                others = of_variant.get(line.variant_id) or [*declared[line.row].overrides, *beside]
                overrides = [*others, f"{names.SEED}={line.seed}"]
                spent = (None, None)
            typed = shlex.join(overrides)
            lines.append(
                (part.sweep, line.row, line.variant, line.seed, typed, line.trial_id, line.status.lower(), *spent)
            )
    return pd.DataFrame(lines, columns=list(PLAN)).astype({"attempts": "Int64"})


def epochs(study: Study) -> pd.DataFrame:
    """Returns a line for each trial and epoch: factors that edit something, seed, then metrics as recorded."""
    edits_nothing = [group for group in EDITING if set(study.trials[group]) <= {GROUPS[group]}]
    factors = [group for group in FACTORS if group not in edits_nothing]
    about = study.trials[[names.TRIAL_ID, names.VARIANT, *factors, names.SEED]]
    return about.merge(study.metrics.dropna(axis="columns", how="all"), on=names.TRIAL_ID)
