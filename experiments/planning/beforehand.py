"""What stands in the way of a plan's trials and can be said before anything is written."""

from experiments.data import datasets
from experiments.errors import UserError
from experiments.mlflow_store import accepted
from experiments.planning import resources
from experiments.planning.plan import Plan


def judge(plan: Plan) -> None:
    """Raises UserError where data are missing, the disk has no room or the store cannot be used."""
    for entry in plan.entries:
        datasets.require(entry.trial.settings)
    lacking = resources.lacking_space(plan.settings)
    if lacking:
        raise UserError(lacking)
    accepted.judge(plan.place)
