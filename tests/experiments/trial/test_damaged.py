"""A damaged file stops its own trial only: the file and the remedy are named, and all other trials run."""

import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir

from experiments import names
from experiments.paths import OutputPaths, TrialPaths
from experiments.planning import plan
from experiments.planning.sweep import Request
from experiments.reading import REMEDY
from experiments.trial import described, origin, status
from tests.support import harness, prepared, transferred
from tests.support.damages import DAMAGES, FLAWS, STRANGE, Damage, a_folder
from tests.support.traces import write_provenance

pytestmark = pytest.mark.filterwarnings("ignore")

OVERRIDES = (f"schedule.epochs={prepared.EPOCHS}",)
Pair = tuple[TrialPaths, TrialPaths]


@pytest.fixture
def pair(tmp_path: Path, empty_store: Path) -> Pair:
    """Two finished trials, of which the first is to be damaged."""
    shutil.copy(empty_store, tmp_path)
    found = tuple(prepared.finished(tmp_path, *OVERRIDES, seed=seed) for seed in (0, 1))
    for paths in found:
        paths.cost.write_text(json.dumps({"time": 1, "step": 0, "metrics": {names.GMACS: 2.0}}))
        write_provenance(paths.root, 1, "a" * 40, after=0)
    return found[0], found[1]


@pytest.fixture
def tell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> transferred.Teller:
    return lambda *arguments: transferred.tell(capsys, *arguments, outputs=tmp_path)


def planned(outputs: Path, *more: str) -> dict[int, plan.Entry]:
    """Returns the plan's entries of both trials, by their seeds."""
    requests = [Request("test", (*OVERRIDES, f"seed={seed}", f"output_dir={outputs}", *more)) for seed in (0, 1)]
    with initialize_config_dir(str(harness.ROOT / "conf"), version_base="1.3"):
        found = plan.make(requests, partial(compose, "config")).entries
    return {entry.trial.seed: entry for entry in found}


def words(text: str) -> str:
    return " ".join(text.split())


def squeezed(text: str) -> str:
    """Returns a text without spaces: a narrow table folds long words."""
    return "".join(text.split())


def delivered(outputs: Path) -> list[str]:
    return [run.data.tags[names.TRIAL_ID] for run in harness.runs(outputs)]


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_trial_with_a_damaged_file_is_damaged(pair: Pair, tmp_path: Path, damage: Damage) -> None:
    file = damage(pair[0])
    found = {one.paths.root.name: one for one in status.read(OutputPaths(tmp_path))}
    one, other = (found[paths.root.name] for paths in pair)
    assert (one.state, other.state, other.damage) == ("damaged", "FINISHED", None)
    assert one.damage is not None
    assert one.damage.startswith(f"{file} ")
    assert one.damage.endswith(f"; {REMEDY}")


SOME = {
    "trial.json": DAMAGES["trial.json garbage"],
    "attempt": DAMAGES["attempts/0001.json empty"],
    "configuration": DAMAGES["config.yaml deep"],
    "cost": DAMAGES["cost.json half"],
    "journal": DAMAGES["journal.jsonl unreadable"],
}


@pytest.mark.parametrize("damage", SOME.values(), ids=SOME)
def test_damaged_trial_is_named_and_the_other_goes_on(
    pair: Pair, tell: transferred.Teller, tmp_path: Path, damage: Damage
) -> None:
    file = damage(pair[0])
    code, out, err = tell("status")
    assert (code, err) == (0, "")
    told = words(out)
    assert told.startswith("2 trials: 1 finished, 1 damaged")
    assert f"{pair[1].root.name} finished 12/12" in told
    assert f"{pair[0].root.name} damaged" in told
    assert str(file) in squeezed(out)
    code, out, err = tell("sync")
    assert code == 2
    assert err.startswith("error: 1 trials were not delivered: ")
    assert err.count("\n") == 1
    assert file.name in err
    assert words(REMEDY) in words(err)
    assert out.startswith("1 trials in MLflow match their folders: ")
    assert delivered(tmp_path) == [pair[1].root.name]
    code, _, err = tell("export", "all", tmp_path / "all.zip")
    assert code == 2
    assert err.startswith("error: 1 were left out: ")
    assert file.name in err
    packed = transferred.contents(tmp_path / "all.zip")
    assert {name.split("/")[1] for name in packed if "/" in name} == {pair[1].root.name}
    for command in ("logs", "reproduce"):
        code, _, err = tell(command, pair[0].root.name)
        assert (code, err.count("\n"), err[:7]) == (2, 1, "error: ")


@pytest.mark.parametrize(
    "damage", [FLAWS["provenance/0001.json garbage"], FLAWS["sources unreadable"]], ids=["provenance", "sources"]
)
def test_damaged_provenance_is_reported_and_stops_nothing(
    pair: Pair, tell: transferred.Teller, tmp_path: Path, damage: Damage
) -> None:
    file = damage(pair[0])
    out = tell("status")[1]
    assert out.startswith("2 trials: 2 finished")
    assert str(file) in squeezed(out)
    assert tell("sync")[0] == 0
    assert sorted(delivered(tmp_path)) == sorted(paths.root.name for paths in pair)
    (run,) = [run for run in harness.runs(tmp_path) if run.data.tags[names.TRIAL_ID] == pair[0].root.name]
    if file.parent.name == "provenance":
        assert str(file) in run.data.tags[names.NOT_RECORDED]
        assert run.data.tags[names.COMMIT] == "none"
    entries = planned(tmp_path)
    assert [entry.state for entry in entries.values()] == ["FINISHED", "FINISHED"]


def test_damaged_files_that_are_not_needed_are_ignored(pair: Pair, tell: transferred.Teller, tmp_path: Path) -> None:
    for damage in STRANGE.values():
        damage(pair[0])
        assert [one.state for one in status.read(OutputPaths(tmp_path))] == ["FINISHED", "FINISHED"]
    assert words(tell("status")[1]).startswith("2 trials: 2 finished")
    code, out, err = tell("sync")
    assert (code, err, out[:9]) == (0, "", "2 trials ")
    assert len(set(delivered(tmp_path))) == 2
    assert {entry.state for entry in planned(tmp_path).values()} == {"FINISHED"}


PLANNED = [name for name in SOME if name not in ("configuration", "cost")]  # which no plan reads


@pytest.mark.parametrize("name", PLANNED)
def test_plan_leaves_a_damaged_trial_out(pair: Pair, tmp_path: Path, name: str) -> None:
    """It says why. `rerun=true` puts the folder aside and trains it."""
    file = SOME[name](pair[0])
    entries = planned(tmp_path)
    assert [(entries[seed].state, entries[seed].runs) for seed in (0, 1)] == [("damaged", False), ("FINISHED", False)]
    assert entries[0].why.startswith(str(file))
    again = planned(tmp_path, "rerun=true")
    assert [(again[seed].runs, again[seed].replaces) for seed in (0, 1)] == [(True, True)] * 2


FOREIGN = {
    "another program's": lambda folder: (folder.mkdir(), (folder / "notes.txt").write_text("x")),
    "empty": lambda folder: folder.mkdir(),
    "a link to nothing": lambda folder: folder.symlink_to(folder.parent / "gone"),
}


@pytest.mark.parametrize("make", FOREIGN.values(), ids=FOREIGN)
def test_foreign_folder_among_the_trials_is_named(pair: Pair, tell: transferred.Teller, make: Any) -> None:
    folder = pair[0].root.with_name("mine")
    make(folder)
    out = words(tell("status")[1])
    assert out.startswith("3 trials: 2 finished, 1 damaged")
    assert squeezed(f"{folder} has no trial.json; restore it from a copy") in squeezed(out)
    code, out, err = tell("sync")
    assert (code, out[:9]) == (2, "2 trials ")
    assert err.startswith(f"error: 1 trials were not delivered: {folder} has no trial.json; ")
    code, _, err = tell("export", "prepared", folder.parents[1] / "study.zip")
    assert code == 2
    assert "1 were left out" in err
    assert (folder.parents[1] / "study.zip").exists()


def test_folder_that_may_not_be_read_is_named(
    pair: Pair, tell: transferred.Teller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python's own search for files would pass it over in silence."""
    real = Path.read_bytes

    def refuse(path: Path) -> bytes:
        if path.is_relative_to(pair[0].root):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(Path, "read_bytes", refuse)
    sentence = f"{pair[0].description} cannot be read (Permission denied); "
    assert squeezed(sentence) in squeezed(tell("status")[1])
    assert sentence in tell("sync")[2]


def test_trial_that_was_only_begun_to_be_planned_is_made_whole(tmp_path: Path, empty_store: Path) -> None:
    """The planning was killed at any point, or its files are empty after a power cut."""
    shutil.copy(empty_store, tmp_path)
    for content in (None, b"", b"\xff"):
        paths = TrialPaths(OutputPaths(tmp_path).trials / next(iter(planned(tmp_path).values())).trial.trial_id)
        paths.root.mkdir(parents=True, exist_ok=True)
        for file in (paths.record, paths.description, paths.config):
            file.unlink(missing_ok=True) if content is None else file.write_bytes(content)
        entry = planned(tmp_path)[0]
        assert (entry.state, entry.runs) == ("to do", True)


def test_record_is_restored_and_never_shared(tmp_path: Path, empty_store: Path) -> None:
    """Two trials whose records are empty get one each; one whose record is in trial.json gets that."""
    shutil.copy(empty_store, tmp_path)
    lock = tmp_path / "store.lock"
    trials = [prepared.folder(tmp_path, *OVERRIDES, seed=seed) for seed in (0, 1)]
    for damage in (b"", b"\xff", b"abc"):
        before = [described.read(paths)["record"] for paths in trials]
        for paths in trials:
            paths.record.write_bytes(damage)
        assert [described.record(paths, lock) for paths in trials] == before
        assert [paths.record.read_text() for paths in trials] == before
    for paths in trials:  # as a power cut left both
        transferred.edit_json(paths.description, record="")
        paths.record.write_bytes(b"")
    with pytest.raises(described.DamagedError, match="record is empty or damaged"):
        described.read(trials[0])
    made = [described.record(paths, lock) for paths in trials]
    assert len({*made}) == 2
    assert all(described.RECORD.fullmatch(record) for record in made)
    assert [described.record(paths, lock) for paths in trials] == made


@pytest.mark.parametrize("damage", FLAWS.values(), ids=FLAWS)
def test_epochs_are_of_an_unknown_source_where_it_is_damaged(pair: Pair, damage: Damage) -> None:
    """Not of the one before: which of an attempt's epochs it trained, their times tell."""
    paths = pair[0]
    began = prepared.BEGAN + 4.5 * prepared.EPOCH_SECONDS
    write_provenance(paths.root, 2, "b" * 40, after=4)
    second = json.loads((paths.root / "attempts" / "0001.json").read_text()) | {"number": 2, "started": began}
    (paths.root / "attempts" / "0002.json").write_text(json.dumps(second))
    whole = [(part.commit, part.epochs) for part in origin.parts(paths)]
    assert whole == [("a" * 12, "epochs 1-4"), ("b" * 12, "epochs 5-12")]
    file = damage(paths)
    file.replace(file.with_name("0002.json")) if not file.is_dir() else None
    if file.is_dir():
        a_folder(f"{file.parent.name}/0002.json")(paths)
        file.rmdir()
    write_provenance(paths.root, 1, "a" * 40, after=0) if file.parent.name == "provenance" else None
    paths.sources(1).write_text(json.dumps({"after": 0, "files": {}}))
    source = "none" if file.parent.name == "provenance" else "b" * 12
    assert [(part.commit, part.epochs) for part in origin.parts(paths)] == [
        ("a" * 12, "epochs 1-4"),
        (source, "epochs 5-12"),
    ]
