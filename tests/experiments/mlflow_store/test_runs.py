"""The record in MLflow is a copy of the trial's folder: nothing lost or doubled, status true, sweeps told apart."""

import contextlib
import json
import time
from collections.abc import Callable

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from experiments import names
from experiments.commands import Place
from experiments.factors import FACTORS
from experiments.mlflow_store.runs import Run, Store
from experiments.paths import TrialPaths
from experiments.trial import attempts
from tests.support.delivered import history, only_run, record, write

pytestmark = pytest.mark.filterwarnings("ignore")


def test_metrics_keep_their_own_time_step_and_digits(store: Store, paths: TrialPaths) -> None:
    sample = {"time": 900, "step": 7, "metrics": {"train/loss": 2 / 3}}
    write(paths, record(1, 0.1 + 0.2, samples=[sample]), record(2, 1 / 3), {"time": 5, "epoch": 2, "iteration": 1})
    Run(store, paths).update()
    assert history(store) == [(1, 0.1 + 0.2, 1001), (2, 1 / 3, 1002)]
    assert history(store, "train/loss") == [(7, 2 / 3, 900)]


def test_update_sends_only_new_records(store: Store, paths: TrialPaths) -> None:
    run = Run(store, paths)
    for step in (1, 2, 3):
        write(paths, record(step, step / 4))
        run.update()
        run.update()
    assert history(store) == [(1, 0.25, 1001), (2, 0.5, 1002), (3, 0.75, 1003)]


def test_params_and_tags_identify_the_trial(store: Store, paths: TrialPaths) -> None:
    Run(store, paths).update()
    run = only_run(store)
    assert run.data.params == dict.fromkeys(FACTORS, "none") | {"post.kernel_size": "5", "seed": "3"}
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


def test_description_names_sweeps_rows_and_commands(store: Store, paths: TrialPaths) -> None:
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
    """One run with all records, whichever process delivers the rest."""
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


def test_settled_run_is_not_sent_again(store: Store, paths: TrialPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that names a hundred finished trials asks for their runs, no more."""
    write(paths, record(1, 0.25))
    attempts.claim(paths.root, "1 x cpu").update(status="FINISHED")
    Run(store, paths).update()
    sent: list[dict] = []
    monkeypatch.setattr(MlflowClient, "log_batch", lambda self, run_id, **what: sent.append(what))
    Run(store, paths).update()
    assert sent == []


def test_records_written_after_a_run_was_settled_are_sent(store: Store, paths: TrialPaths) -> None:
    """The ranks of a supervisor that was shot outlive it for some seconds."""
    attempts.claim(paths.root, "1 x cpu").update(process=2**22 + 1)  # no process has that number
    write(paths, record(1, 0.25))
    Run(store, paths).update()
    write(paths, record(2, 0.5))
    Run(store, paths).update()
    assert history(store) == [(1, 0.25, 1001), (2, 0.5, 1002)]
