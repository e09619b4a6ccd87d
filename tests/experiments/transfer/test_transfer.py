"""Exporting a study to a file and importing it: nothing is lost, doubled or half-written."""

import shutil
from pathlib import Path

import pytest
from filelock import FileLock

from experiments import files, names
from experiments.trial import attempts
from tests.support import harness, transferred
from tests.support.running import Fake, Preloaded
from tests.support.transferred import OutputFolder, contents, edit_json, folder, lose_supervisor, stored, sweeps, tree

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def ended(preloaded: Preloaded, output_folder: OutputFolder, empty_store: Path) -> Path:
    """Trials by seed: 1 is finished, 2 has failed, 3 lost its supervisor, 12 was never begun; not to be changed."""
    outputs = output_folder()
    harness.set_fates(outputs, {2: "error"})
    command = ("-m", *harness.TINY, f"output_dir={outputs}", "fail_fast=true")
    for seeds in ("seed=3", "seed=1,2,12"):
        preloaded.run(*command, seeds, fake_training=True)
    lose_supervisor(folder(outputs, 3))
    shutil.copy(empty_store, outputs)
    assert transferred.main(["sync", "--output-dir", str(outputs)]) == 0
    return outputs


def test_ended_trials_are_exported_and_the_others_named(
    ended: Path, output_folder: OutputFolder, tell: transferred.Teller, tmp_path: Path
) -> None:
    """A trial whose supervisor was killed counts as ended when it was last heard of."""
    file, target = tmp_path / "study.zip", output_folder()
    code, out, _ = tell("export", "all", file, outputs=ended)
    assert code == 0
    assert out.startswith(f"3 trials of all are in {file} (")
    assert out.splitlines()[1:] == [f"left out, because it is to do: {folder(ended, 12).name}"]
    assert tell("import", file, outputs=target)[0] == 0
    assert [attempts.state(folder(target, seed)) for seed in (1, 2, 3)] == ["FINISHED", "FAILED", "interrupted"]
    before, after = stored(ended), stored(target)
    assert sorted(run["status"] for run in after.values()) == ["FAILED", "FINISHED", "KILLED"]
    assert after == before


def test_unfinished_trial_starts_again_here(
    ended: Path, preloaded: Preloaded, output_folder: OutputFolder, tell: transferred.Teller, tmp_path: Path
) -> None:
    """In the same MLflow run, from the configuration that the command composes here."""
    target = output_folder()
    tell("export", "all", tmp_path / "study.zip", outputs=ended)
    tell("import", tmp_path / "study.zip", outputs=target)
    for trial in target.glob("trials/*"):
        (trial / "config.yaml").write_text("of: no use\n")
    command = ("-m", *harness.TINY, "seed=1,2,3", "retry.failed=true", f"output_dir={target}")
    again = preloaded.run(*command, fake_training=True)
    assert again.code == 0, again.stderr
    assert [len(harness.attempts(folder(target, seed))) for seed in (1, 2, 3)] == [1, 2, 2]
    runs = harness.runs(target)
    assert sorted((run.data.params["seed"], run.info.status) for run in runs) == [
        (seed, "FINISHED") for seed in ("1", "2", "3")
    ]
    for run in runs:
        points = harness.mlflow_metrics(target, run)
        assert points == harness.journal_metrics(harness.trial_folder(target, run))
        assert [step for name, step, _, _ in points if name == "bbox/AP"] == [1, 2]


def test_importing_twice_changes_nothing(
    ended: Path, output_folder: OutputFolder, tell: transferred.Teller, tmp_path: Path
) -> None:
    """Also back into the folder it was exported from."""
    file, target = tmp_path / "study.zip", output_folder()
    tell("export", "all", file, outputs=ended)
    tell("import", file, outputs=target)
    for outputs in (target, ended):
        before = tree(outputs), stored(outputs)
        code, out, _ = tell("import", file, outputs=outputs)
        assert (code, out.splitlines()[0]) == (0, f"3 trials for {outputs}: 3 there already")
        assert (tree(outputs), stored(outputs)) == before
    assert tell("export", "all", tmp_path / "again.zip", outputs=target)[0] == 0
    first, second = contents(file), contents(tmp_path / "again.zip")
    assert {name for name in {*first, *second} if first.get(name) != second.get(name)} == {
        "manifest.json",
        *(f"trials/{folder(ended, seed).name}/config.yaml" for seed in (1, 2, 3)),  # where it lies
    }


def test_imported_trial_replaces_one_that_was_only_planned(
    ended: Path, tell: transferred.Teller, tmp_path: Path
) -> None:
    """It keeps its sweeps."""
    tell("export", "all", tmp_path / "study.zip", outputs=ended)
    outputs = Path(shutil.copytree(ended, tmp_path / "outputs"))
    shutil.rmtree(folder(outputs, 1) / "attempts")
    edit_json(folder(outputs, 1) / "trial.json", sweeps={"sweep.own": "own"}, record="0" * 32)
    told = tell("import", tmp_path / "study.zip", outputs=outputs)[1]
    assert told.startswith(f"3 trials for {outputs}: 1 further than before, 2 there already\n")
    assert attempts.state(folder(outputs, 1)) == names.FINISHED
    assert sweeps(outputs, 1) == {"own"} | sweeps(ended, 1)
    assert len(list(outputs.glob("replaced/*/trial.json"))) == 1


def test_another_record_of_the_same_trial_is_refused(
    fake: Fake, ended: Path, tell: transferred.Teller, tmp_path: Path
) -> None:
    """Or the same record after other attempts."""
    fake.run({1: "finish", 2: "error", 12: "finish"}, "fail_fast=true")
    tell("export", "all", tmp_path / "study.zip", outputs=ended)
    before = tree(fake.outputs), stored(fake.outputs)
    both = ", ".join(sorted(folder(ended, seed).name for seed in (1, 2)))
    code, out, err = tell("import", tmp_path / "study.zip", outputs=fake.outputs)
    assert (code, out) == (2, "")
    assert err == (
        f"error: {both} are in {fake.outputs} with another record; import into another --output-dir "
        "(the --tracking-uri may be the same), nothing was imported\n"
    )
    assert (tree(fake.outputs), stored(fake.outputs)) == before

    tell("export", "all", tmp_path / "own.zip", outputs=fake.outputs)
    edit_json(folder(fake.outputs, 2) / "attempts" / "0001.json", started=1.0)
    err = tell("import", tmp_path / "own.zip", outputs=fake.outputs)[2]
    assert err.startswith(f"error: {folder(ended, 2).name} is in {fake.outputs} with another record; ")


def test_an_import_that_is_interrupted_leaves_whole_trials(
    ended: Path, output_folder: OutputFolder, tell: transferred.Teller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same command imports the rest, also after a kill that left half-unpacked files."""
    file, target = tmp_path / "study.zip", output_folder()
    tell("export", "all", file, outputs=ended)
    real, moved = files.move, []

    def move(path: Path, to: Path) -> None:
        if to.parent == target / "trials":
            if len(moved) == 1:
                raise KeyboardInterrupt
            moved.append(to)
        real(path, to)

    with monkeypatch.context() as patch:
        patch.setattr(files, "move", move)
        assert tell("import", file, outputs=target)[0] == 130
    (whole,) = target.glob("trials/*")
    assert not (target / ".import").exists()
    (target / ".import" / "trials" / "half").mkdir(parents=True)
    code, out, _ = tell("import", file, outputs=target)
    assert (code, out.splitlines()[0]) == (0, f"3 trials for {target}: 2 new, 1 there already")
    assert not (target / ".import").exists()
    assert whole in moved
    assert stored(target) == stored(ended)


def test_refused_imports_write_nothing(ended: Path, tell: transferred.Teller, tmp_path: Path) -> None:
    """A folder of other things, a store that does not answer, another import at the same time."""
    file, target = tmp_path / "study.zip", tmp_path / "new"
    tell("export", "all", file, outputs=ended)
    err = tell("import", file, outputs=tmp_path)[2]
    assert err.startswith(f"error: output_dir={tmp_path} ")
    code, _, err = tell("import", file, "--tracking-uri", "http://127.0.0.1:9", outputs=target)
    assert code == 2
    assert err.startswith("error: the MLflow store tracking.uri=http://127.0.0.1:9 cannot be used (")
    assert list(tmp_path.iterdir()) == [file]
    target.mkdir()
    with FileLock(target / ".import.lock"):
        code, _, err = tell("import", file, outputs=target)
    assert (code, err) == (2, f"error: another import into {target} has not ended; wait for it\n")
    assert list(target.glob("[!.]*")) == []


@pytest.mark.parametrize(
    ("study", "file", "sentence"),
    [
        ("table9", "new.zip", "no trial of sweep 'table9' in {outputs}; "),
        ("all", "old.zip", "{folder}/old.zip exists; give another name, or remove it first"),
        ("all", "missing/new.zip", "{folder}/missing/new.zip cannot be written (No such file or directory); give"),
    ],
)
def test_refused_exports(
    ended: Path, tell: transferred.Teller, tmp_path: Path, study: str, file: str, sentence: str
) -> None:
    (tmp_path / "old.zip").write_text("mine")
    code, out, err = tell("export", study, tmp_path / file, outputs=ended)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("error: " + sentence.format(outputs=ended, folder=tmp_path))
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("old.zip", "mine")]


def test_exports_hold_no_passwords(ended: Path, tell: transferred.Teller, tmp_path: Path) -> None:
    outputs = tmp_path / "outputs"
    shutil.copytree(ended, outputs)
    secret = "http://me:hunter2@mlflow.example.org:5000"
    config, log = (folder(outputs, 1) / name for name in ("config.yaml", "log.txt"))
    config.write_text(config.read_text().replace(f"uri: {harness.store(ended)}", f"uri: {secret}"))
    log.write_text(f"writing to {secret}/api\n")
    edit_json(folder(outputs, 1) / "provenance" / "0001.json", command=["run.py", f"tracking.uri={secret}"])
    for plan in outputs.glob("plans/*.json"):
        edit_json(plan, overrides=[f"tracking.uri={secret}"])
    assert tell("export", "all", tmp_path / "study.zip", outputs=outputs)[0] == 0
    found = contents(tmp_path / "study.zip")
    assert [name for name, content in found.items() if b"hunter2" in content] == []
    assert found[f"trials/{folder(ended, 1).name}/log.txt"] == b"writing to http://mlflow.example.org:5000/api\n"
    assert "hunter2" in config.read_text()
