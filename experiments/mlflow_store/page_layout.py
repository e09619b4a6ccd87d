"""What MLflow's pages show first of our runs: AP and the factors in the columns, the best run at the top.

MLflow keeps such a view as a tag of the experiment, as its own button "Share" does; its address names the tag. Without
it the list has names and times alone, and MLflow takes the experiment for one of language models.
"""

import json

from experiments import names

KEY = "ap"
TAG = f"mlflow.sharedViewState.{KEY}"
# As much as a window shows.
METRICS = ("AP", "AP50", "AP75")
FACTORS = ("aggregation", "pre", "post", "architecture", "profile", names.SEED)


def tags() -> dict[str, str]:
    """Returns the tags of an experiment that holds our runs."""
    metrics = [names.coco_metric("bbox", metric) for metric in METRICS]
    columns = [*(f"metrics.`{name}`" for name in metrics), *(f"params.`{name}`" for name in FACTORS)]
    view = {"selectedColumns": columns, "orderByKey": f"metrics.`{metrics[0]}`", "orderByAsc": False}
    return {
        TAG: json.dumps(view),
        "mlflow.note.content": "One run for each trial: a variant and a seed. AP is a fraction, its step is the epoch.",
    }


def address(server: str, experiment_id: str) -> str:
    """Returns where to see an experiment's runs so."""
    return f"{server}/#/experiments/{experiment_id}/runs?viewStateShareKey={KEY}&workflowType=machine_learning"
