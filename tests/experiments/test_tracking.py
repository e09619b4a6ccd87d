"""The record in MLflow: nothing lost while the store is in trouble, nothing doubled, and every sweep told apart."""

from pathlib import Path

import harness
import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric
from mlflow.exceptions import MlflowException

from experiments import names, plan
from experiments.tracking import Run, Store
from experiments.trial import Trial

pytestmark = pytest.mark.filterwarnings("ignore")


TRIAL = Trial({}, ())


def record(step: int, value: float, time: int = 1_000) -> dict:
    return {"time": time + step, "step": step, "metrics": {"bbox/AP": value}}


@pytest.fixture
def store(empty_store: Path, tmp_path: Path) -> Store:
    (tmp_path / "mlflow.db").write_bytes(empty_store.read_bytes())
    return Store({"output_dir": str(tmp_path), "tracking": {"uri": harness.store(tmp_path), "experiment": "groie"}})


@pytest.fixture
def run(store: Store) -> Run:
    return Run(store.client, store.client.create_run(store.experiment_id).info.run_id)


def history(run: Run) -> list[tuple[int, float, int]]:
    points = run.client.get_metric_history(run.run_id, "bbox/AP")
    return sorted((point.step, point.value, point.timestamp) for point in points)


def test_metrics_keep_their_own_time_step_and_digits(run: Run) -> None:
    run.deliver([record(1, 0.1 + 0.2), record(2, 1 / 3), {"time": 5, "epoch": 2, "iteration": 1}])
    assert history(run) == [(1, 0.1 + 0.2, 1001), (2, 1 / 3, 1002)]


def test_same_record_twice_adds_nothing(run: Run) -> None:
    run.deliver([record(1, 0.25)])
    run.deliver([record(1, 0.25), record(2, 0.5)])
    assert history(run) == [(1, 0.25, 1001), (2, 0.5, 1002)]


def test_what_a_store_in_trouble_refused_is_delivered_later(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: MlflowClient, run_id: str, metrics: list[Metric]) -> None:
        raise MlflowException("database is locked\nand so on")

    with monkeypatch.context() as trouble:
        trouble.setattr(MlflowClient, "log_batch", refuse)
        run.deliver([record(1, 0.25)])
        run.deliver([record(2, 0.5)])
        assert run.trouble == "database is locked"
    assert history(run) == []
    run.deliver([])
    assert run.trouble is None
    assert history(run) == [(1, 0.25, 1001), (2, 0.5, 1002)]


def test_long_trainings_fit_in_a_batch(run: Run) -> None:
    """MLflow takes at most 1000 metrics at once; a lost record of many epochs is delivered in one go."""
    run.deliver([record(step, step / 7) for step in range(1, 2501)])
    assert run.trouble is None
    assert len(history(run)) == 2500


def test_runs_of_other_experiments_are_left_alone(store: Store, tmp_path: Path) -> None:
    other = Store({"output_dir": str(tmp_path), "tracking": {"uri": store.uri, "experiment": "other"}})
    assert other.experiment_id != store.experiment_id


def test_second_store_finds_the_first_ones_experiment(store: Store, tmp_path: Path) -> None:
    again = Store({"output_dir": str(tmp_path), "tracking": {"uri": store.uri, "experiment": "groie"}})
    assert again.experiment_id == store.experiment_id


LONG = " ".join(f"profile.model.some_setting_{number}=value" for number in range(12))
PAIRS = {
    "signs": ("dataset.name=a,b", "dataset.name=a_b"),
    "long, different at the end": (LONG + " seed=1", LONG + " seed=2"),
}


@pytest.mark.parametrize("pair", PAIRS)
def test_different_sweeps_have_different_tags(pair: str) -> None:
    """A trial in both keeps both; with one key the second would take it from the first."""
    first, second = PAIRS[pair]
    assert names.sweep_key(first) != names.sweep_key(second)
    tags = plan._membership(plan.Entry(TRIAL, {first: [], second: []}), [first])
    assert {value for tag, value in tags.items() if tag.startswith(names.SWEEP)} == {first, second}
    assert len([tag for tag in tags if tag.startswith(names.PLANNED)]) == 1


def test_mlflow_takes_every_sweep_as_a_tag(run: Run) -> None:
    for sweep in ("pre=conv5,conv3 post=attention", "a'b\"c", LONG, "caf\u00e9", "x/y:z", "100%"):
        for key, value in plan._membership(plan.Entry(TRIAL, {sweep: ["a row"]}), [sweep]).items():
            run.client.set_tag(run.run_id, key, value)
    assert LONG in run.client.get_run(run.run_id).data.tags.values()
