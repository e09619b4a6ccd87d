"""Checks that a plan's trials can run, before anything is written: data, disk space and store."""

from experiments.console import console
from experiments.data import datasets
from experiments.errors import UserError
from experiments.mlflow_store import accepted
from experiments.planning import resources
from experiments.planning.plan import Plan


def judge(plan: Plan) -> None:
    """Raises UserError if data are missing, the disk has no room or the store cannot be used."""
    for entry in plan.entries:
        datasets.require(entry.trial.settings)
    lacking = resources.lacking_space(plan.settings)
    if lacking:
        raise UserError(lacking)
    accepted.judge(plan.place)


def look_at_data(plan: Plan) -> None:
    """Checks the data that exist and prints a note on each file that needs one; UserError if one cannot be used.

    A plan can be made without data; `freeze` needs them. The results of the checks are kept after all have passed.
    """
    for note in dict.fromkeys(note for trial in plan.trials for note in datasets.look(trial.settings)):
        console.print(f"note: {note}", markup=False)
    for trial in plan.trials:
        datasets.keep(trial.settings)
