"""What tests of MLflow's runs share: records for a trial's journal, and what a store has of the only trial."""

from mlflow.entities import Run

from experiments.mlflow_store.runs import Store
from experiments.paths import TrialPaths
from experiments.trial import journal


def record(step: int, value: float, **more: object) -> dict:
    return {"time": 1_000 + step, "step": step, "metrics": {"bbox/AP": value}, **more}


def only_run(store: Store) -> Run:
    (run,) = store.client.search_runs([store.experiment_id])
    return run


def history(store: Store, name: str = "bbox/AP") -> list[tuple[int, float, int]]:
    points = store.client.get_metric_history(only_run(store).info.run_id, name)
    return sorted((point.step, point.value, point.timestamp) for point in points)


def write(paths: TrialPaths, *records: dict) -> None:
    for one in records:
        journal.append(paths.journal, one)
