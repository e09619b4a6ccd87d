"""Edits on MLflow's page: names and notes of users stay, deleted runs and artifacts come back once."""

import json
import os
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from mlflow.entities import Run as Recorded
from mlflow.entities import ViewType
from mlflow.exceptions import MlflowException

from experiments import names
from experiments.__main__ import main
from experiments.commands import Place
from experiments.errors import UserError
from experiments.mlflow_store import sync
from experiments.mlflow_store.runs import Courier, Run, Store, deliver
from experiments.paths import TrialPaths
from experiments.trial import attempts, journal
from tests.support import harness, prepared
from tests.support.running import Preloaded, wait_for

pytestmark = pytest.mark.filterwarnings("ignore")

NAME, NOTE = "mlflow.runName", "mlflow.note.content"


@pytest.fixture
def outputs(output_folder: Callable[[], Path]) -> Path:
    return output_folder()


@pytest.fixture
def paths(outputs: Path) -> TrialPaths:
    """A finished trial, with provenance."""
    found = prepared.finished(outputs)
    found.provenance(1).parent.mkdir()
    found.difference(1).write_text("a patch")
    return found


@pytest.fixture
def store(paths: TrialPaths) -> Store:
    """The store of an output folder with the trial delivered to it."""
    found = Store(Place.of(yaml.safe_load(paths.config.read_text())))
    deliver(found, paths)
    return found


def synced(outputs: Path) -> None:
    assert main(["sync", "--output-dir", str(outputs)]) == 0


def only(store: Store, view: str = ViewType.ALL) -> Recorded:
    """Returns the only run there is, deleted ones counted."""
    (run,) = store.client.search_runs([store.experiment_id], run_view_type=view)
    return run


def files(store: Store, folder: str | None = None) -> dict[str, int]:
    found = {}
    for file in store.client.list_artifacts(only(store).info.run_id, folder):
        found |= files(store, file.path) if file.is_dir else {file.path: file.file_size}
    return found


def edited(store: Store, **texts: str) -> None:
    run = only(store).info.run_id
    if "name" in texts:
        store.client.update_run(run, name=texts["name"])
    for tag, text in ((NOTE, texts.get("note")), ("mine", texts.get("tag"))):
        if text is not None:
            store.client.set_tag(run, tag, text)


def joined(paths: TrialPaths, sweep: str) -> None:
    """Has the trial belong to another sweep, which its description in MLflow names."""
    description = json.loads(paths.description.read_text())
    description["sweeps"] |= {names.SWEEP + sweep: sweep}
    paths.description.write_text(json.dumps(description))


def test_names_notes_and_tags_of_users_stay(store: Store, paths: TrialPaths, outputs: Path) -> None:
    edited(store, name="the good one", note="look at epoch 7", tag="for the paper")
    for deliveries in (lambda: deliver(store, paths), lambda: synced(outputs)):
        joined(paths, "another")
        deliveries()
        run = only(store)
        assert (run.info.run_name, run.data.tags[NAME]) == ("the good one", "the good one")
        assert (run.data.tags[NOTE], run.data.tags["mine"]) == ("look at epoch 7", "for the paper")
    assert harness.sweeps_of(run) == {prepared.SWEEP, "another"}


def test_our_note_is_updated_beside_a_users_name(store: Store, paths: TrialPaths) -> None:
    edited(store, name="the good one")
    for sweep in ("one", "two"):
        joined(paths, sweep)
        deliver(store, paths)
        run = only(store)
        assert run.info.run_name == "the good one"
        assert f"- sweep {sweep}\n" in run.data.tags[NOTE]


def test_emptied_note_stays_empty(store: Store, paths: TrialPaths) -> None:
    edited(store, note="")
    joined(paths, "another")
    deliver(store, paths)
    assert only(store).data.tags[NOTE] == ""


def test_note_written_while_the_trial_runs_stays(store: Store, paths: TrialPaths) -> None:
    run = Run(store, paths)
    run.update()
    edited(store, note="look at epoch 7")
    joined(paths, "another")
    run.update()
    assert only(store).data.tags[NOTE] == "look at epoch 7"


def test_note_of_an_earlier_version_is_taken_for_a_users(store: Store, paths: TrialPaths) -> None:
    """It did not record what it had written."""
    run = only(store)
    for tag in (NAME, NOTE):
        store.client.delete_tag(run.info.run_id, names.WRITTEN + tag)
    joined(paths, "another")
    deliver(store, paths)
    assert only(store).data.tags[NOTE] == run.data.tags[NOTE]


def test_description_of_an_experiment_stays(store: Store, outputs: Path) -> None:
    store.client.set_experiment_tag(store.experiment_id, NOTE, "of spring")
    synced(outputs)
    assert store.client.get_experiment(store.experiment_id).tags[NOTE] == "of spring"


def whole(store: Store) -> tuple:
    run = only(store)
    points = [store.client.get_metric_history(run.info.run_id, name) for name in sorted(run.data.metrics)]
    told = [[(point.key, point.step, point.value, point.timestamp) for point in history] for history in points]
    kept = {key: value for key, value in run.data.tags.items() if key != names.SETTLED}
    return run.info.run_id, run.info.status, run.info.lifecycle_stage, run.data.params, kept, told, files(store)


@pytest.mark.parametrize("order", ["restored by a person after", "before", "never", "deleted again"])
def test_deleted_run_is_there_once(order: str, store: Store, paths: TrialPaths, outputs: Path) -> None:
    before = whole(store)
    run = only(store).info.run_id
    store.client.delete_run(run)
    if order == "before":
        store.client.restore_run(run)
    for _ in range(3):
        deliver(Store(Place.of(yaml.safe_load(paths.config.read_text()))), paths)
        synced(outputs)
        if order == "deleted again":
            store.client.delete_run(run)
    if order == "deleted again":
        synced(outputs)
    if order.startswith("restored"):
        store.client.restore_run(run)
        synced(outputs)
    assert whole(store) == before


def test_run_that_is_deleted_while_the_trial_runs_is_there_once(outputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("experiments.mlflow_store.runs.SECONDS", 0.05)
    paths = prepared.folder(outputs)
    claim = attempts.claim(paths.root, "1 x cpu")
    config = yaml.safe_load(paths.config.read_text())
    store = Store(Place.of(config))
    Run(store, paths).update()
    courier = Courier(Place.of(config), paths)
    wait_for(lambda: only(store).data.params)
    store.client.delete_run(only(store).info.run_id)
    claim.update(status="FINISHED")
    for epoch in range(1, prepared.EPOCHS + 1):
        journal.append(paths.journal, prepared.record(epoch, 0.4))
    assert courier.close() is None
    run = only(store, ViewType.ACTIVE_ONLY)
    assert run.info.status == "FINISHED"
    assert harness.mlflow_metrics(outputs, run) == harness.journal_metrics(paths.root)


def test_of_two_runs_of_one_trial_always_the_same_is_used(store: Store, paths: TrialPaths, outputs: Path) -> None:
    """As earlier versions left them, which made a deleted run again: whichever a person has restored since."""
    first = only(store)
    second = store.client.create_run(store.experiment_id, tags=first.data.tags | {names.SETTLED: ""})
    used = set()
    for _ in range(3):
        joined(paths, f"sweep {len(used)}")
        deliver(store, paths)
        runs = store.client.search_runs([store.experiment_id])
        used |= {run.info.run_id for run in runs if len(harness.sweeps_of(run)) > 1}
    assert len(used) == 1
    store.client.delete_run(used.pop())  # then the other is
    synced(outputs)
    (left,) = store.client.search_runs([store.experiment_id])
    assert left.info.run_id in {first.info.run_id, second.info.run_id}
    assert harness.mlflow_metrics(outputs, left) == harness.journal_metrics(paths.root)


def test_deleted_experiment_is_told_with_what_restores_it(store: Store, paths: TrialPaths) -> None:
    store.client.delete_experiment(store.experiment_id)
    with pytest.raises(UserError, match="the experiment groie was deleted in ") as told:
        Store(Place.of(yaml.safe_load(paths.config.read_text())))
    command = str(told.value).partition("restore it: ")[2].partition(", or give another")[0]
    done = subprocess.run(command, shell=True, cwd=harness.ROOT, env=harness.of_nobody(), capture_output=True)
    assert done.returncode == 0, done.stderr
    deliver(Store(Place.of(yaml.safe_load(paths.config.read_text()))), paths)
    assert only(store, ViewType.ACTIVE_ONLY).info.status == "FINISHED"


def test_deleted_experiment_is_told_before_anything_starts(store: Store, outputs: Path, preloaded: Preloaded) -> None:
    store.client.delete_experiment(store.experiment_id)
    before = sorted(outputs.rglob("*"))
    command = preloaded.run(*harness.TINY, f"output_dir={outputs}")
    assert (command.code, command.stdout) == (2, "")
    uri = shlex.quote(harness.store(outputs))
    assert f"MLFLOW_TRACKING_URI={uri} " in command.stderr
    assert f"-m mlflow experiments restore --experiment-id {store.experiment_id}, or give another" in command.stderr
    data = outputs / "data"  # images are drawn before
    assert [path for path in sorted(outputs.rglob("*")) if data not in (path, *path.parents)] == before


def artifacts(store: Store) -> Path:
    return Path(only(store).info.artifact_uri.removeprefix("file://"))


DELETIONS: dict[str, Callable[[Path], object]] = {
    "a file": lambda folder: (folder / "config.yaml").unlink(),
    "a file in a folder": lambda folder: (folder / "provenance" / "0001.diff").unlink(),
    "all of a run": shutil.rmtree,
    "the end of a file": lambda folder: os.truncate(folder / "journal.jsonl", 10),
}


@pytest.mark.parametrize("deletion", DELETIONS)
def test_deleted_artifacts_are_sent_again(
    deletion: str, store: Store, outputs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = files(store)
    assert {"config.yaml", "journal.jsonl", "provenance/0001.diff"} <= before.keys()
    settled = only(store).data.tags[names.SETTLED]
    DELETIONS[deletion](artifacts(store))
    assert files(store) != before
    synced(outputs)
    assert files(store) == before
    assert only(store).data.tags[names.SETTLED] == settled
    assert capsys.readouterr().out.startswith("1 trials in MLflow match their folders: sqlite")


def test_changed_status_and_metric_are_corrected(store: Store, paths: TrialPaths, outputs: Path) -> None:
    before = whole(store)
    run = only(store).info.run_id
    store.client.set_terminated(run, "FAILED")
    store.client.log_metric(run, "bbox/AP", 0.99, step=prepared.EPOCHS, timestamp=1)
    synced(outputs)
    assert only(store).info.status == "FINISHED"
    assert only(store).data.metrics["bbox/AP"] == before[5][0][-1][2]


def test_sync_of_an_equal_run_sends_nothing(store: Store, outputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **more: object) -> None:
        raise MlflowException("it was sent again")

    for name in ("log_batch", "log_artifact", "set_terminated", "update_run"):
        monkeypatch.setattr(f"mlflow.MlflowClient.{name}", refuse)
    synced(outputs)


def test_sync_counts_the_trials_that_it_compared(
    store: Store, outputs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    running = prepared.folder(outputs, seed=1)
    prepared.folder(outputs, seed=2)  # never begun
    attempts.claim(running.root, "1 x cpu")
    compared: list[str] = []
    monkeypatch.setattr(sync, "deliver", lambda store, paths, compare: compared.append(paths.root.name))
    synced(outputs)
    assert len(compared) == 1
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("1 trials in MLflow match their folders")
    assert second == "1 is running and was skipped: its command updates it"
