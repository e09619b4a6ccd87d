"""Stores that are away or refuse a record, the thread that delivers to them, and tags that they take."""

import time
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from experiments import names
from experiments.commands import Place
from experiments.errors import UserError
from experiments.mlflow_store.runs import Courier, Run, Store, deliver
from experiments.paths import TrialPaths
from experiments.planning import folders, plan
from experiments.planning.identity import Trial
from experiments.reading import DamagedError
from experiments.trial import journal
from tests.support.delivered import history, record, write
from tests.support.running import wait_for

pytestmark = pytest.mark.filterwarnings("ignore")


TRIAL = Trial({}, ())


def test_courier_delivers_what_a_store_in_trouble_refused(
    config: dict, paths: TrialPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object, **more: object) -> None:
        raise MlflowException("database is locked\nand so on")

    with monkeypatch.context() as trouble:
        trouble.setattr(MlflowClient, "log_batch", refuse)
        write(paths, record(1, 0.25))
        courier = Courier(Place.of(config), paths)
        wait_for(lambda: courier.trouble)
        assert courier.trouble == "database is locked and so on"
        write(paths, record(2, 0.5))
    assert courier.close() is None
    assert history(Store(Place.of(config))) == [(1, 0.25, 1001), (2, 0.5, 1002)]


def test_courier_reports_the_trouble_without_delay(paths: TrialPaths, tmp_path: Path) -> None:
    nowhere = {"output_dir": str(tmp_path), "tracking": {"uri": "http://127.0.0.1:9", "experiment": "groie"}}
    began = time.monotonic()
    courier = Courier(Place.of(nowhere), paths)
    assert time.monotonic() - began < 1
    trouble = courier.close()
    assert trouble == "Connection refused"


def test_long_trainings_fit_in_a_batch(store: Store, paths: TrialPaths) -> None:
    """MLflow takes at most 1000 metrics at once; a lost record of many epochs is delivered in one go."""
    write(paths, *(record(step, step / 7) for step in range(1, 2501)))
    Run(store, paths).update()
    assert len(history(store)) == 2500


def test_store_that_refuses_a_record_is_told_in_a_sentence(
    store: Store, paths: TrialPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object, **more: object) -> None:
        raise MlflowException("BAD_REQUEST:\nvalue too long\n[SQL: INSERT INTO runs (run_uuid, name)]")

    monkeypatch.setattr(MlflowClient, "create_run", refuse)
    with pytest.raises(UserError, match=r"does not accept the record of a-trial \(BAD_REQUEST: value too long\)"):
        deliver(store, paths)


def test_trial_that_no_store_takes_is_damaged(store: Store, paths: TrialPaths) -> None:
    """So the trials after it are delivered: a name that MLflow does not allow, as no program here writes."""
    journal.append(paths.journal, {"time": 1, "step": 1, "metrics": {"../x": 1.0}})
    with pytest.raises(
        DamagedError, match=r"a-trial holds values that MLflow does not accept \(Invalid value \"\.\./x\""
    ):
        deliver(store, paths)


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
    tags = folders.membership(plan.Entry(TRIAL, {first: [], second: []}), [first])
    assert len([tag for tag in tags if tag.startswith(names.SWEEP)]) == 2


def test_mlflow_takes_every_sweep_as_a_tag(store: Store, paths: TrialPaths) -> None:
    run = store.client.create_run(store.experiment_id).info.run_id
    for sweep in ("pre=conv5,conv3 post=attention", "a'b\"c", LONG, "caf\u00e9", "x/y:z", "100%"):
        for key, value in folders.membership(plan.Entry(TRIAL, {sweep: ["a row"]}), [sweep]).items():
            store.client.set_tag(run, key, value)
    assert LONG in store.client.get_run(run).data.tags.values()
