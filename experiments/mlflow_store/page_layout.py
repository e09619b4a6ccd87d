"""The first view of our runs on MLflow's pages: columns with AP and the factors, the best run at the top.

A tag of the experiment stores the view, as MLflow's button "Share" does, and the view's address names the tag. Without
it MLflow shows only names and times, and treats the experiment as one of language models.
"""

import json

from experiments import names

KEY = "ap"
TAG = f"mlflow.sharedViewState.{KEY}"
# As many columns as a window shows.
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
    """Returns the address of that view of an experiment."""
    return f"{server}/#/experiments/{experiment_id}/runs?viewStateShareKey={KEY}&workflowType=machine_learning"
