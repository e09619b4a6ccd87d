"""What goes along in an export; and a trial that is in both folders: the further counts, sweeps are joined."""

from pathlib import Path

import pytest

from analysis.__main__ import main as analysis
from experiments.paths import TrialPaths
from experiments.transfer import members
from tests.support import harness, transferred
from tests.support.running import Fake, Preloaded, Swept, wait_for
from tests.support.transferred import OutputFolder, folder, stored, sweeps, tree

pytestmark = pytest.mark.filterwarnings("ignore")


def test_nothing_is_lost_on_the_way(
    swept: Swept, output_folder: OutputFolder, tell: transferred.Teller, preloaded: Preloaded, tmp_path: Path
) -> None:
    """Params, tags, metrics with times and steps, artifacts: all is equal, but for a configuration's own place."""
    file, target = tmp_path / "study.zip", output_folder()
    assert tell("export", "last", file, outputs=swept.outputs)[0] == 0
    code, out, err = tell("import", file, outputs=target)
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        f"2 trials for {target}: 2 new",
        f"2 trials are in MLflow as their folders have them: {harness.store(target)}",
    ]

    before, after = stored(swept.outputs), stored(target)
    assert len(before) == 2
    assert after == before
    for run in after.values():
        assert {"config.yaml", "detector.py", "log.txt", "journal.jsonl", "detections.npz"} <= run["artifacts"].keys()
        assert len(run["metrics"]) > 20

    tables = []
    for outputs in (swept.outputs, target):
        written = tmp_path / f"{len(tables)}.csv"
        assert analysis(["table", "--tracking-uri", harness.store(outputs), "--out", str(written)]) == 0
        tables.append(written.read_text())
    assert tables[0] == tables[1]
    assert tell("status", outputs=target) == tell("status", outputs=swept.outputs)
    again = preloaded.run(*swept.arguments, f"output_dir={target}")
    assert again.code == 0, again.stderr
    assert [len(harness.attempts(trial)) for trial in target.glob("trials/*")] == [1, 1]
    assert {key: run["metrics"] for key, run in stored(target).items()} == {
        key: run["metrics"] for key, run in before.items()
    }


def test_all_but_checkpoints_and_what_is_of_this_machine_goes_along(
    swept: Swept, output_folder: OutputFolder, tell: transferred.Teller, tmp_path: Path
) -> None:
    target = output_folder()
    assert tell("export", "all", tmp_path / "all.zip", outputs=swept.outputs)[0] == 0
    assert tell("import", tmp_path / "all.zip", outputs=target)[0] == 0
    ours, theirs = tree(swept.outputs), tree(target)
    stays = {"ending.json", "work", "data", "launches"}
    goes = {name for name in ours if not stays & {*Path(name).parts}}
    added = {f"trials/{trial.name}/imported.json" for trial in target.glob("trials/*")}
    assert theirs.keys() - goes == added
    assert goes - theirs.keys() == set()
    differing = {Path(name).name for name in goes if ours[name] != theirs[name]}
    assert differing == {"config.yaml"}
    for config in target.glob("trials/*/config.yaml"):
        here = swept.outputs / config.relative_to(target)
        places = (str(swept.outputs), str(target))
        assert config.read_text() == here.read_text().replace(*places)


def test_every_file_of_a_trial_is_thought_of() -> None:
    """A new one goes along, or is named here."""
    paths = TrialPaths(Path("trial"))
    names_of = {name for name, kind in vars(TrialPaths).items() if isinstance(kind, property)} - {"kept", "evaluated"}
    stay = {name for name in names_of if not members.travels(getattr(paths, name).name)}
    assert stay == {"collected", "ending", "imported", "matching_lock", "stop", "work"}
    numbered = (paths.provenance(1), paths.difference(12), paths.sources(3), paths.node_log("3"))
    assert all(members.travels(path.relative_to(paths.root).as_posix()) for path in numbered)


def test_running_trials_stay(fake: Fake, tell: transferred.Teller, tmp_path: Path) -> None:
    fake.start({1: "silent"})
    wait_for(lambda: fake.began(1))
    code, out, err = tell("export", "all", tmp_path / "study.zip", outputs=fake.outputs)
    assert (code, out) == (2, "")
    assert err == f"error: no trial of all in {fake.outputs} has ended and is whole; wait, or cancel what runs\n"
    assert list(tmp_path.iterdir()) == []
    tell("cancel", "s1-", outputs=fake.outputs)
    fake.commands[0].wait()


def test_a_trial_that_went_on_replaces_what_it_was(
    fake: Fake, output_folder: OutputFolder, tell: transferred.Teller, tmp_path: Path
) -> None:
    """And never the other way round."""
    target = output_folder()
    fake.run({1: "finish", 2: "error"})
    tell("export", "last", tmp_path / "early.zip", outputs=fake.outputs)
    fake.run({1: "finish", 2: "finish"}, "retry.failed=true")
    tell("export", "last", tmp_path / "late.zip", outputs=fake.outputs)
    assert tell("import", tmp_path / "early.zip", outputs=target)[1].startswith(f"2 trials for {target}: 2 new\n")
    told = tell("import", tmp_path / "late.zip", outputs=target)[1]
    assert told.startswith(f"2 trials for {target}: 1 further than before, 1 there already\n")
    assert stored(target) == stored(fake.outputs)
    assert [run["status"] for run in stored(target).values()] == ["FINISHED", "FINISHED"]
    (aside,) = target.glob("replaced/*")
    assert aside.name.startswith(f"{folder(target, 2).name}.")
    before = tree(target)
    told = tell("import", tmp_path / "early.zip", outputs=target)[1]
    assert told.startswith(f"2 trials for {target}: 2 there already\n")
    assert tree(target) == before


def test_a_trial_belongs_to_the_sweeps_of_both_places(
    fake: Fake, output_folder: OutputFolder, tell: transferred.Teller, tmp_path: Path
) -> None:
    """Of a sweep that both know, what was planned last counts."""
    target = output_folder()
    fake.run({1: "finish", 2: "finish"})
    tell("export", "last", tmp_path / "two.zip", outputs=fake.outputs)
    tell("import", tmp_path / "two.zip", outputs=target)
    fake.run({1: "finish"})
    (two,) = (sweep for sweep in sweeps(fake.outputs, 1) if sweep.endswith("seed=1,2"))
    (one,) = sweeps(fake.outputs, 1) - {two}
    assert sweeps(target, 1) == {two}
    tell("export", "last", tmp_path / "one.zip", outputs=fake.outputs)
    assert tell("import", tmp_path / "one.zip", outputs=target)[1].startswith(
        f"1 trials for {target}: 1 there already\n"
    )
    tell("import", tmp_path / "two.zip", outputs=target)  # knows nothing of the other sweep
    assert sweeps(target, 1) == {one, two}
    assert {frozenset(harness.sweeps_of(run)) for run in harness.runs(target)} == {
        frozenset({one, two}),
        frozenset({two}),
    }
    assert stored(target) == stored(fake.outputs)
    assert len(list(target.glob("plans/*.json"))) == 2
