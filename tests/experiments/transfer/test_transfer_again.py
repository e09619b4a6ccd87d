"""What an export holds; and of a trial that is in both folders the one with more attempts counts."""

import json
from pathlib import Path

import pytest

from analysis.__main__ import main as analysis
from experiments.paths import TrialPaths
from experiments.transfer import imports, members
from tests.support import harness, transferred
from tests.support.running import Fake, Preloaded, Swept, wait_for
from tests.support.transferred import OutputFolder, folder, stored, tree

pytestmark = [pytest.mark.long, pytest.mark.filterwarnings("ignore")]


def test_export_and_import_lose_nothing(
    swept: Swept, output_folder: OutputFolder, tell: transferred.Teller, preloaded: Preloaded, tmp_path: Path
) -> None:
    """Params, tags, metrics with times and steps, artifacts: all is equal, but for a configuration's own place."""
    file, target = tmp_path / "study.zip", output_folder()
    assert tell("export", "last", file, outputs=swept.outputs)[0] == 0
    code, out, err = tell("import", file, outputs=target)
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        f"2 trials for {target}: 2 new",
        f"2 trials in MLflow match their folders: {harness.store(target)}",
    ]

    before, after = stored(swept.outputs), stored(target)
    assert len(before) == 2
    assert after == before
    imported = [json.loads(path.read_text())["file"] for path in target.glob("trials/*/imported.json")]
    assert imported == ["study.zip"] * 2
    assert [path.name for path in target.glob("plans/*")] == [path.name for path in swept.outputs.glob("plans/*")]
    told = tell("reproduce", "none-attention", outputs=target)[2]
    assert "note: it was imported from study.zip: read its overrides and its patch before you use them\n" in told
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


def test_every_file_of_a_trial_is_exported_or_listed() -> None:
    """A new file is exported, or named here."""
    paths = TrialPaths(Path("trial"))
    names_of = {name for name, kind in vars(TrialPaths).items() if isinstance(kind, property)} - {"kept", "evaluated"}
    stay = {name for name in names_of if not members.travels(getattr(paths, name).name)}
    assert stay == {"collected", "ending", "imported", "matching_lock", "stop", "work"}
    numbered = (paths.provenance(1), paths.difference(12), paths.sources(3), paths.node_log("3"))
    assert all(members.travels(path.relative_to(paths.root).as_posix()) for path in numbered)


def test_running_trials_are_not_exported(fake: Fake, tell: transferred.Teller, tmp_path: Path) -> None:
    fake.start({1: "silent"})
    wait_for(lambda: fake.began(1))
    code, out, err = tell("export", "all", tmp_path / "study.zip", outputs=fake.outputs)
    assert (code, out) == (2, "")
    assert err == f"error: no trial of all in {fake.outputs} has ended and is complete; wait, or cancel what runs\n"
    assert list(tmp_path.iterdir()) == []
    tell("cancel", "s1-", outputs=fake.outputs)
    fake.commands[0].wait()


def test_resumed_trial_replaces_its_earlier_import(
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


def test_a_trial_belongs_to_the_sweeps_of_both_places() -> None:
    """Of a sweep that both know, the later plan counts, whichever of them comes."""
    early = {"sweep.a": "a", "planned.a": "2026-01-01T00:00:00+00:00", "rows.a": '["x"]', "asked.a": "2026-01-01"}
    late = {"sweep.a": "a", "planned.a": "2026-02-01T00:00:00+00:00", "place.a": "3", "asked.a": "2026-02-01"}
    other = {"sweep.b": "b", "planned.b": "2026-01-01T00:00:00+00:00"}
    for there, coming in ((early, late | other), (late | other, early)):
        assert imports.joined(there, coming) == late | other | {"asked.a": "2026-01-01"}
