"""The record in MLflow is a copy of the trial's folder: nothing lost or doubled, status true, sweeps told apart."""

import contextlib
import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run as Recorded
from mlflow.exceptions import MlflowException

from experiments import names
from experiments.commands import Place
from experiments.errors import UserError
from experiments.mlflow_store.runs import Courier, Run, Store, deliver
from experiments.paths import TrialPaths
from experiments.planning import folders, plan
from experiments.planning.identity import Trial
from experiments.trial import attempts, journal
from tests.support import harness

pytestmark = pytest.mark.filterwarnings("ignore")


TRIAL = Trial({}, ())


def record(step: int, value: float, **more: object) -> dict:
    return {"time": 1_000 + step, "step": step, "metrics": {"bbox/AP": value}, **more}


@pytest.fixture
def config(empty_store: Path, tmp_path: Path) -> dict:
    (tmp_path / "mlflow.db").write_bytes(empty_store.read_bytes())
    return {"output_dir": str(tmp_path), "tracking": {"uri": harness.store(tmp_path), "experiment": "groie"}}


@pytest.fixture
def store(config: dict) -> Store:
    return Store(Place.of(config))


@pytest.fixture
def paths(tmp_path: Path) -> TrialPaths:
    """A trial's folder as the plan leaves it."""
    found = TrialPaths(tmp_path / "trials" / "a-trial")
    found.root.mkdir(parents=True)
    found.config.write_text("seed: 3\n")
    description = {
        names.TRIAL_ID: "a-trial",
        names.VARIANT_ID: "123",
        names.VARIANT: "faster_rcnn sum",
        names.OVERRIDES: ["pre=none"],
        names.RECORD: "0f" * 16,
        names.SEED: 3,
        "factors": dict.fromkeys(names.FACTORS, "none"),
        "kernel_sizes": {"post.kernel_size": 5},
        "sweeps": {names.SWEEP + "one": "one"},
        "data": {},
        "epochs": 1,
    }
    found.description.write_text(json.dumps(description))
    return found


def only_run(store: Store) -> Recorded:
    (run,) = store.client.search_runs([store.experiment_id])
    return run


def history(store: Store, name: str = "bbox/AP") -> list[tuple[int, float, int]]:
    points = store.client.get_metric_history(only_run(store).info.run_id, name)
    return sorted((point.step, point.value, point.timestamp) for point in points)


def write(paths: TrialPaths, *records: dict) -> None:
    for one in records:
        journal.append(paths.journal, one)


def test_metrics_keep_their_own_time_step_and_digits(store: Store, paths: TrialPaths) -> None:
    sample = {"time": 900, "step": 7, "metrics": {"train/loss": 2 / 3}}
    write(paths, record(1, 0.1 + 0.2, samples=[sample]), record(2, 1 / 3), {"time": 5, "epoch": 2, "iteration": 1})
    Run(store, paths).update()
    assert history(store) == [(1, 0.1 + 0.2, 1001), (2, 1 / 3, 1002)]
    assert history(store, "train/loss") == [(7, 2 / 3, 900)]


def test_update_goes_on_where_it_was(store: Store, paths: TrialPaths) -> None:
    run = Run(store, paths)
    for step in (1, 2, 3):
        write(paths, record(step, step / 4))
        run.update()
        run.update()
    assert history(store) == [(1, 0.25, 1001), (2, 0.5, 1002), (3, 0.75, 1003)]


def test_another_process_adds_only_what_is_new(store: Store, paths: TrialPaths) -> None:
    write(paths, record(1, 0.25))
    Run(store, paths).update()
    write(paths, record(2, 0.5))
    Run(store, paths).update()
    assert history(store) == [(1, 0.25, 1001), (2, 0.5, 1002)]


def test_params_and_tags_say_who_the_trial_is(store: Store, paths: TrialPaths) -> None:
    Run(store, paths).update()
    run = only_run(store)
    assert run.data.params == dict.fromkeys(names.FACTORS, "none") | {"post.kernel_size": "5", "seed": "3"}
    assert run.data.tags["mlflow.runName"] == "faster_rcnn sum s3"
    assert run.data.tags[names.OVERRIDES] == "pre=none"
    assert run.data.tags[names.TRIAL_ID] == "a-trial"


def test_long_variant_is_cut_in_the_name_alone(store: Store, paths: TrialPaths) -> None:
    """PostgreSQL refuses a run whose name has more than 250 characters."""
    variant = "faster_rcnn sum " + " ".join(f"profile.model.setting_{number}=value" for number in range(20))
    description = {**json.loads(paths.description.read_text()), names.VARIANT: variant}
    paths.description.write_text(json.dumps(description))
    Run(store, paths).update()
    tags = only_run(store).data.tags
    assert (
        tags["mlflow.runName"] == "faster_rcnn sum profile.model.setting_0=value profile.model.setting_1=value ... s3"
    )
    assert tags[names.VARIANT] == variant


def test_description_says_whom_it_serves_and_how_to_get_it_again(store: Store, paths: TrialPaths) -> None:
    description = json.loads(paths.description.read_text())
    description["sweeps"][names.ROWS + "one"] = json.dumps(["conv 5x5", "baseline"])
    description[names.OVERRIDES].append("+dataset.root=/some where")
    paths.description.write_text(json.dumps(description))
    Run(store, paths).update()
    tags = only_run(store).data.tags
    text = tags["mlflow.note.content"]
    assert tags[names.OVERRIDES] == "pre=none '+dataset.root=/some where'"
    assert "- sweep one: conv 5x5, baseline\n" in text
    assert "\npython run.py pre=none '+dataset.root=/some where'\n" in text
    assert f"\npython -m experiments reproduce a-trial --output-dir {paths.root.parents[1]}\n" in text


def test_cost_is_of_all_attempts(store: Store, paths: TrialPaths) -> None:
    for number, (device, started, ended) in enumerate([("1 x cpu", 100.0, 130.0), ("4 x gpu", 200.0, 210.0)], start=1):
        claim = attempts.claim(paths.root, device)
        claim.update(status="FAILED", started=started, ended=ended)
        Run(store, paths).update()
        Run(store, paths).update()
        assert attempts.last(paths.root).number == number  # type: ignore[union-attr]
    assert history(store, names.WALL_SECONDS) == [(1, 30.0, 130_000), (2, 40.0, 210_000)]
    assert history(store, names.DEVICE_SECONDS) == [(1, 30.0, 130_000), (2, 70.0, 210_000)]


class BreaksOff:
    """A store's client that breaks off at one call: before the store has done what was asked, or before it said so."""

    def __init__(self, client: MlflowClient, call: int, done: bool) -> None:
        self.client, self.call, self.done = client, call, done
        self.calls = 0

    def __getattr__(self, name: str) -> Callable:
        def call(*arguments: object, **more: object) -> object:
            self.calls += 1
            if self.calls != self.call:
                return getattr(self.client, name)(*arguments, **more)
            if self.done:
                getattr(self.client, name)(*arguments, **more)
            raise MlflowException("connection lost")

        return call


@pytest.mark.parametrize("done", [False, True], ids=["not done", "done but not told"])
@pytest.mark.parametrize("another", [False, True], ids=["same process", "another"])
def test_store_that_breaks_off_at_any_call_has_all_in_the_end(
    store: Store, paths: TrialPaths, done: bool, another: bool
) -> None:
    """One run with all of it, as if nothing had happened, whoever delivers the rest."""
    write(paths, record(1, 0.25), record(2, 0.5))
    attempts.claim(paths.root, "1 x cpu").update(status="FAILED", reason="out of luck", ended=time.time())
    client, records = store.client, []
    for call in range(20):  # at 0 it does not break off
        store = Store(Place(paths.root, store.uri, f"broken {call}"))
        store.client = broken = BreaksOff(client, call, done)  # type: ignore[assignment]
        run = Run(store, paths)
        with contextlib.suppress(MlflowException):
            run.update()
            if call:
                break  # there is no such call
        (Run(store, paths) if another else run).update()
        found = client.search_runs([store.experiment_id])
        files = sorted(file.path for file in client.list_artifacts(found[0].info.run_id))
        points = {
            name: [
                (point.step, point.value, point.timestamp) for point in client.get_metric_history(one.info.run_id, name)
            ]
            for one in found
            for name in one.data.metrics
        }
        records.append([len(found), found[0].info.status, found[0].data.params, found[0].data.tags, points, files])
    assert records[0][:2] == [1, "FAILED"]
    assert len(records) == broken.calls + 1 > 8
    assert [record for record in records if record != records[0]] == []


def test_run_of_a_folder_that_was_done_anew_is_another(store: Store, paths: TrialPaths) -> None:
    """`rerun=true`: the same trial, another record."""
    Run(store, paths).update()
    description = json.loads(paths.description.read_text())
    paths.description.write_text(json.dumps({**description, names.RECORD: "1e" * 16}))
    Run(store, paths).update()
    assert len(store.client.search_runs([store.experiment_id])) == 2


def test_sweeps_that_join_later_are_tagged(store: Store, paths: TrialPaths) -> None:
    run = Run(store, paths)
    run.update()
    description = json.loads(paths.description.read_text())
    description["sweeps"][names.SWEEP + "two"] = "two"
    paths.description.write_text(json.dumps(description))
    run.update()
    assert harness.sweeps_of(only_run(store)) == {"one", "two"}


@pytest.mark.parametrize(("status", "reason"), [("FINISHED", None), ("FAILED", "out of luck"), ("KILLED", "stopped")])
def test_run_ends_as_the_attempt_did(store: Store, paths: TrialPaths, status: str, reason: str | None) -> None:
    claim = attempts.claim(paths.root, "1 x cpu")
    write(paths, record(1, 0.25))
    run = Run(store, paths)
    run.update()
    assert only_run(store).info.status == "RUNNING"
    claim.update(status=status, reason=reason)
    run.update()
    ended = only_run(store)
    assert ended.info.status == status
    assert ended.data.tags.get(names.REASON, "") == (reason or "")
    assert ended.info.start_time == round(1000 * claim.attempt.started)
    kept = {file.path for file in store.client.list_artifacts(ended.info.run_id)}
    assert kept == {"config.yaml", "journal.jsonl"}


def test_run_of_a_dead_process_is_killed_and_runs_again_when_resumed(store: Store, paths: TrialPaths) -> None:
    claim = attempts.claim(paths.root, "1 x cpu")
    claim.update(process=2**22 + 1)  # no process has that number
    Run(store, paths).update()
    assert only_run(store).info.status == "KILLED"
    attempts.claim(paths.root, "1 x cpu").beat()
    Run(store, paths).update()
    assert only_run(store).info.status == "RUNNING"


def test_files_are_copied_once_for_each_end(store: Store, paths: TrialPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    write(paths, record(1, 0.25))
    attempts.claim(paths.root, "1 x cpu").update(status="FINISHED")
    copied: list[str] = []
    monkeypatch.setattr(MlflowClient, "log_artifact", lambda self, run_id, path, folder: copied.append(path))
    Run(store, paths).update()
    Run(store, paths).update()
    assert copied == [str(paths.config), str(paths.journal)]


def test_what_a_settled_run_has_is_not_sent_again(
    store: Store, paths: TrialPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command that names a hundred finished trials asks for their runs, no more."""
    write(paths, record(1, 0.25))
    attempts.claim(paths.root, "1 x cpu").update(status="FINISHED")
    Run(store, paths).update()
    sent: list[dict] = []
    monkeypatch.setattr(MlflowClient, "log_batch", lambda self, run_id, **what: sent.append(what))
    Run(store, paths).update()
    assert sent == []


def test_what_was_written_after_a_run_was_settled_is_sent(store: Store, paths: TrialPaths) -> None:
    """The ranks of a supervisor that was shot outlive it for some seconds."""
    attempts.claim(paths.root, "1 x cpu").update(process=2**22 + 1)  # no process has that number
    write(paths, record(1, 0.25))
    Run(store, paths).update()
    write(paths, record(2, 0.5))
    Run(store, paths).update()
    assert history(store) == [(1, 0.25, 1001), (2, 0.5, 1002)]


def wait_for(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.05)


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


def test_courier_says_what_is_wrong_and_delays_nobody(paths: TrialPaths, tmp_path: Path) -> None:
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


def test_store_that_cannot_be_reached_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"tracking\.uri=http://127\.0\.0\.1:9 cannot be used \(Connection refused\)"):
        Store(Place(tmp_path, "http://127.0.0.1:9", "groie"))


def test_store_that_refuses_a_record_is_told_in_a_sentence(
    store: Store, paths: TrialPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object, **more: object) -> None:
        raise MlflowException("BAD_REQUEST:\nvalue too long\n[SQL: INSERT INTO runs (run_uuid, name)]")

    monkeypatch.setattr(MlflowClient, "create_run", refuse)
    with pytest.raises(UserError, match=r"does not take the record of a-trial \(BAD_REQUEST: value too long\)"):
        deliver(store, paths)


def test_runs_of_other_experiments_are_left_alone(store: Store, tmp_path: Path) -> None:
    other = Store(Place(tmp_path, store.uri, "other"))
    assert other.experiment_id != store.experiment_id


def test_second_store_finds_the_first_ones_experiment(store: Store, tmp_path: Path) -> None:
    again = Store(Place(tmp_path, store.uri, "groie"))
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
    tags = folders.membership(plan.Entry(TRIAL, {first: [], second: []}), [first])
    assert len([tag for tag in tags if tag.startswith(names.SWEEP)]) == 2


def test_mlflow_takes_every_sweep_as_a_tag(store: Store, paths: TrialPaths) -> None:
    run = store.client.create_run(store.experiment_id).info.run_id
    for sweep in ("pre=conv5,conv3 post=attention", "a'b\"c", LONG, "caf\u00e9", "x/y:z", "100%"):
        for key, value in folders.membership(plan.Entry(TRIAL, {sweep: ["a row"]}), [sweep]).items():
            store.client.set_tag(run, key, value)
    assert LONG in store.client.get_run(run).data.tags.values()
