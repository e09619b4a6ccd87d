"""What is written is on the disk when it has its name: file first, then the name, then the folder."""

import ast
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from experiments import files
from experiments.transfer import archive
from experiments.trial import attempts, journal
from tests.support import harness, prepared

# Who else opens a file to write: a log that grows, and what `files` cannot do or what nobody misses.
OTHERS = {
    "experiments/files.py",
    "experiments/trial/journal.py",  # appends
    "experiments/transfer/archive.py",  # a zip, settled afterwards
    "experiments/jobs/supervise.py",  # the log of a trial
    "experiments/jobs/matching.py",
    "experiments/jobs/extra_nodes.py",
    "experiments/jobs/calibration.py",
}


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What was done to the disk, in order: ("settled", name) and ("named", name), without the parts' random names."""
    done: list[tuple[str, str]] = []

    def plain(path: Any) -> str:
        return Path(os.fspath(path)).name.partition(".part")[0].partition(".json.")[0]

    def fsync(descriptor: int) -> None:
        real["fsync"](descriptor)
        done.append(("settled", plain(os.readlink(f"/proc/self/fd/{descriptor}"))))

    def named(which: str) -> Callable[..., None]:
        def do(source: Any, target: Any, **more: Any) -> None:
            real[which](source, target, **more)
            done.append(("named", Path(os.fspath(target)).name))

        return do

    real: dict[str, Callable[..., Any]] = {name: getattr(os, name) for name in ("fsync", "replace", "rename", "link")}
    monkeypatch.setattr(os, "fsync", fsync)
    for name in ("replace", "rename", "link"):
        monkeypatch.setattr(os, name, named(name))
    return done


def of(name: str, folder: Path) -> list[tuple[str, str]]:
    return [("settled", name.partition(".json")[0]), ("named", name), ("settled", folder.name)]


def test_written_file_survives_a_power_cut(tmp_path: Path, steps: list[tuple[str, str]]) -> None:
    files.write(tmp_path / "a.json", "1")
    files.write(tmp_path / "a.json", "2")
    assert files.create(tmp_path / "b.json", "3")
    assert steps == 2 * of("a.json", tmp_path) + of("b.json", tmp_path)
    assert [(tmp_path / name).read_text() for name in ("a.json", "b.json")] == ["2", "3"]


def test_claim_and_its_updates_survive(tmp_path: Path, steps: list[tuple[str, str]]) -> None:
    claim = attempts.claim(tmp_path, "1 x cpu")
    claim.update(status="FINISHED")
    assert steps == 2 * of("0001.json", tmp_path / "attempts")


def test_folder_that_moves_survives(tmp_path: Path, steps: list[tuple[str, str]]) -> None:
    (tmp_path / "from" / "trial").mkdir(parents=True)
    (tmp_path / "to").mkdir()
    files.move(tmp_path / "from" / "trial", tmp_path / "to" / "trial")
    assert steps == [("named", "trial"), ("settled", "to"), ("settled", "from")]


def test_record_of_an_epoch_survives_and_progress_costs_nothing(tmp_path: Path, steps: list[tuple[str, str]]) -> None:
    path = tmp_path / "journal.jsonl"
    journal.append(path, journal.stamped(epoch=1, iteration=1, iterations=2, loss=1.0))
    assert steps == []
    journal.append(path, prepared.record(1, 0.4))
    assert steps == [("settled", "journal.jsonl")]
    assert list(journal.complete_epochs(path)) == [1]


def test_archive_and_what_comes_out_of_it_survive(tmp_path: Path, steps: list[tuple[str, str]]) -> None:
    archive.write(tmp_path / "study.zip", "study", None, [("plans/a.json", b"{}")])
    assert steps[-2:] == [("named", "study.zip"), ("settled", tmp_path.name)]
    assert steps[0][0] == "settled"
    steps.clear()
    (tmp_path / "into").mkdir()
    archive.unpack(tmp_path / "study.zip", tmp_path / "into", 1.0)
    assert steps == of("a.json", tmp_path / "into" / "plans")


def test_member_that_differs_from_the_manifest_leaves_nothing(tmp_path: Path) -> None:
    archive.write(tmp_path / "a.zip", "study", None, [("plans/a.json", b"{}")])
    with zipfile.ZipFile(tmp_path / "a.zip") as good, zipfile.ZipFile(tmp_path / "b.zip", "w") as bad:
        bad.writestr("plans/a.json", b"[]")
        bad.writestr(archive.MANIFEST, good.read(archive.MANIFEST))
    (tmp_path / "into").mkdir()
    with pytest.raises(archive.ArchiveError, match=r"but its manifest\.json says otherwise"):
        archive.unpack(tmp_path / "b.zip", tmp_path / "into", 1.0)
    assert [path for path in (tmp_path / "into").rglob("*") if path.is_file()] == []


def test_file_system_that_cannot_sync_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some that machines share refuse it for folders; a file that is not on the disk is an error everywhere."""
    real = os.fsync

    def refuse(descriptor: int) -> None:
        if Path(os.readlink(f"/proc/self/fd/{descriptor}")).is_dir():
            raise OSError(22, "Invalid argument")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", refuse)
    files.write(tmp_path / "a.json", "1")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        files.write(tmp_path / "a.json", "2")
    assert ((tmp_path / "a.json").read_text(), len(list(tmp_path.iterdir()))) == ("1", 1)


def writes(call: ast.Call) -> bool:
    """Whether a call writes, makes or renames a file by itself."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    if name in ("write_text", "write_bytes", "rename") or ast.unparse(call.func) in ("os.replace", "shutil.move"):
        return True
    given = [*call.args, *(word.value for word in call.keywords)]
    modes = [one.value for one in given if isinstance(one, ast.Constant) and isinstance(one.value, str)]
    return name == "open" and any(set(mode) & set("wax") and len(mode) < 4 for mode in modes)


def test_only_listed_files_write_by_themselves() -> None:
    found = {
        path.relative_to(harness.ROOT).as_posix()
        for path in (harness.ROOT / "experiments").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and writes(node)
    }
    assert found - OTHERS == set()
    assert found >= {"experiments/files.py", "experiments/trial/journal.py"}  # it does find some
