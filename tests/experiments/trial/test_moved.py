"""A finished output folder may be moved or copied: its old place is neither read nor made again."""

import json
import shutil
from pathlib import Path

import pytest

from analysis.read import runs, store, study
from experiments import names, sqlite_uri
from experiments.paths import TrialPaths
from experiments.trial import matches, moved
from tests.support import harness, prepared, transferred
from tests.support.drawn import detector
from tests.support.recorded import silent

pytestmark = pytest.mark.filterwarnings("ignore")

OVERRIDES = (f"schedule.epochs={prepared.EPOCHS}",)
ODD = ["moved", "two words", "a#b", "what?x=1", "50%20off"]


@pytest.fixture
def delivered(tmp_path: Path, empty_store: Path, tell: transferred.Teller) -> Path:
    """An output folder with one finished trial and its run."""
    outputs = tmp_path / "old"
    outputs.mkdir()
    shutil.copy(empty_store, outputs)
    paths = prepared.finished(outputs, *OVERRIDES)
    matches.save(paths.matches, {"bbox": detector(1.0, 0, images=1)})
    assert tell("sync", outputs=outputs)[0] == 0
    return outputs


def read(outputs: Path) -> study.Study:
    uri = sqlite_uri.of(outputs / "mlflow.db")
    with store.reading(uri) as client:
        return study.read(client, names.EXPERIMENT, uri, "last", silent, print)


@pytest.mark.parametrize(("name", "keep"), [*((name, False) for name in ODD), ("copied", True)])
def test_moved_folder_is_read_as_before(delivered: Path, name: str, keep: bool) -> None:
    """Matches too, without which tables give other intervals; of a copy, its own."""
    before = read(delivered)
    assert [decided["bbox"].score.tolist() for decided in before.matches.values()] == [[0.9]]
    target = delivered.with_name(name)
    shutil.copytree(delivered, target) if keep else delivered.rename(target)
    after = read(target)
    assert (after.sweep, after.runs, after.histories) == (before.sweep, before.runs, before.histories)
    assert list(after.matches) == list(before.matches)
    assert all(Path(run.artifacts.removeprefix("file://")) != target for run in after.runs)
    assert all(run.artifacts.startswith(target.as_uri() + "/") for run in after.runs)


@pytest.mark.parametrize("name", ["moved", "two words?x=1 a#b 50%20off"])
def test_sync_of_a_moved_folder_leaves_the_old_place_alone(delivered: Path, name: str) -> None:
    """By another process: MLflow remembers where the artifacts of a run were."""
    target = delivered.with_name(name)
    delivered.rename(target)
    (trial,) = (TrialPaths(path) for path in target.glob("trials/*"))
    transferred.edit_json(trial.root / "attempts" / "0001.json", reason="so that there is something to say")
    trial.log.write_text("new")
    attempt = json.loads((trial.root / "attempts" / "0001.json").read_text())
    (trial.root / "attempts" / "0002.json").write_text(json.dumps(attempt | {"number": 2}))
    other = prepared.finished(target, *OVERRIDES, seed=1)
    done = harness.run("-m", "experiments", "sync", "--output-dir", str(target))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"2 trials in MLflow match their folders: {sqlite_uri.of(target / 'mlflow.db')}\n"
    assert not delivered.exists()
    found = read(target).runs
    assert {run.tags[names.TRIAL_ID] for run in found} == {trial.root.name, other.root.name}
    for run in found:
        folder = target / "artifacts" / run.run_id / "artifacts"
        assert run.artifacts == folder.as_uri()
        assert (folder / "journal.jsonl").exists()
    assert "new" in [path.read_text() for path in target.glob("artifacts/*/artifacts/log.txt")]


def test_store_that_another_folder_made_keeps_its_artifacts(tmp_path: Path, empty_store: Path) -> None:
    """It lies in one output folder, and the artifacts in another, which is there."""
    for name in ("store", "outputs"):
        (tmp_path / name).mkdir()
    shutil.copy(empty_store, tmp_path / "store")
    client = harness.client(tmp_path / "store")
    place = (tmp_path / "outputs" / "artifacts").as_uri()
    experiment = client.create_experiment("mine", artifact_location=place)
    run = client.create_run(experiment, tags={names.TRIAL_ID: "a-s0-0123456789"})
    moved.settle(sqlite_uri.of(tmp_path / "store" / "mlflow.db"))
    assert client.get_experiment(experiment).artifact_location == place
    assert client.get_run(run.info.run_id).info.artifact_uri == f"{place}/{run.info.run_id}/artifacts"
    (one,) = runs.of_experiment(client, "mine", harness.store(tmp_path / "store"))
    assert one.artifacts == f"{place}/{run.info.run_id}/artifacts"


@pytest.mark.parametrize("name", ["plain", "two words", "a#b", "a?b=c", "a%20b", "a%b", "ä;b&c=d+e@f"])
def test_address_of_a_file(name: str) -> None:
    path = Path("/study") / name / "mlflow.db"
    assert sqlite_uri.file(sqlite_uri.of(path)) == path
    assert sqlite_uri.whole(sqlite_uri.of(Path(name, "mlflow.db")), Path("/study")) == sqlite_uri.of(path)
    assert sqlite_uri.file(f"{sqlite_uri.of(path)}?timeout=5") == path


@pytest.mark.parametrize("name", ["two words", "a?b=c", "a%20b", "a#b"])
def test_relative_store_is_resolved_once(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = harness.composed(f'output_dir="{tmp_path / name}"')
    assert sqlite_uri.file(config["tracking"]["uri"]) == tmp_path / name / "mlflow.db"
    config = harness.composed(f"tracking.uri=sqlite:///{tmp_path.name}.db")
    assert config["tracking"]["uri"] == f"sqlite:///{tmp_path / tmp_path.name}.db"
