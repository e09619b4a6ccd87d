"""An annotation file is read once: what is known of it, when it is read again, and that nothing is half-written."""

import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from experiments.data import annotations, coco_records, datasets
from experiments.data.annotations import Checked
from experiments.errors import UserError
from tests.support import harness
from tests.support.mistakes import content, data
from tests.support.running import Preloaded

EARLIER = time.time_ns() - 3600 * 10**9


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A good file."""
    path = tmp_path / "all.json"
    write(path, content())
    return path


def write(file: Path, what: dict[str, Any]) -> None:
    """Writes a file as if that had been an hour ago."""
    file.write_text(json.dumps(what))
    os.utime(file, ns=(EARLIER, EARLIER))


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has files of this moment count as unchanged for long."""
    monkeypatch.setattr(annotations, "SETTLED_SECONDS", -3600.0)


def checked(file: Path, split: str = "train", masks: bool = False) -> Checked:
    found = annotations.check(file, split, masks, file.parent / "checked")
    found.keep()
    return found


def never(*_: Any) -> None:
    pytest.fail("read again")


def test_file_that_passed_is_not_judged_again(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even by another process, nor under another name."""
    first = checked(file)
    monkeypatch.setattr(coco_records, "read", never)
    other = file.rename(file.with_name("other.json"))
    again = checked(other)
    assert (again.contents, again.normal_form, again.sha256) == (first.contents, first.normal_form, first.sha256)


@pytest.mark.usefixtures("settled")
def test_file_that_has_not_changed_is_not_even_read(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """COCO's 450 MB take seconds to hash."""
    first = checked(file)
    monkeypatch.setattr(Path, "read_bytes", never)
    assert checked(file).contents == first.contents


@pytest.mark.usefixtures("settled")
def test_file_that_has_changed_is_read_again(file: Path) -> None:
    """Of the same length, and with the time of change set back."""
    first = checked(file)
    other = content()
    other["categories"][0]["name"] = "cow"
    write(file, other)
    again = checked(file)
    assert (first.contents.classes, again.contents.classes) == (("cat", "dog"), ("cow", "dog"))
    assert first.sha256 != again.sha256


def test_file_that_has_just_changed_is_not_known_by_its_times(file: Path) -> None:
    """A file system may give the next change the same ones."""
    checked(file)
    assert not list((file.parent / "checked").glob("file-*"))


def test_each_split_has_its_own_checked_file_with_and_without_masks(file: Path) -> None:
    found = [checked(file, split, masks) for split in ("train", "val") for masks in (False, True)]
    assert len({one.normal_form for one in found}) == 4
    assert len({one.sha256 for one in found}) == 1


def lose(form: Path) -> None:
    form.unlink()


def tear(form: Path) -> None:
    form.write_bytes(form.read_bytes()[:-5])


def forget(form: Path) -> None:
    form.with_suffix(".contents.json").unlink()


def tear_record(form: Path) -> None:
    record = form.with_suffix(".contents.json")
    record.write_bytes(record.read_bytes()[:30])


def empty_record(form: Path) -> None:
    form.with_suffix(".contents.json").write_text("{}")


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("damage", [lose, tear, forget, tear_record, empty_record])
def test_lost_or_damaged_checked_files_are_made_again(file: Path, damage: Any) -> None:
    first = checked(file)
    whole = {path.name: path.read_bytes() for path in (file.parent / "checked").iterdir()}
    damage(first.normal_form)
    assert checked(file).contents == first.contents
    assert {path.name: path.read_bytes() for path in (file.parent / "checked").iterdir()} == whole


def test_other_rules_read_it_again(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = checked(file)
    monkeypatch.setattr(annotations, "VERSION", annotations.VERSION + 1)
    again = annotations.check(file, "train", False, file.parent / "checked")
    assert again.judged is not None
    assert again.normal_form != first.normal_form  # a trial that runs keeps its own


def test_nothing_is_written_where_one_of_two_files_is_refused(file: Path) -> None:
    """Both are judged before anything is kept."""
    flawed = content()
    flawed["annotations"].clear()
    write(file.with_name("val.json"), flawed)
    arguments = [f"dataset.{split}.images=." for split in ("train", "val")]
    arguments += [f"dataset.root={file.parent}", "dataset.train.annotations=all.json"]
    outputs = file.parent / "outputs"
    asked = ("dataset=coco", "dataset.name=mine", *arguments, f"output_dir={outputs}")
    with pytest.raises(UserError, match="empty"):
        datasets.locate(harness.settings(*asked, "dataset.val.annotations=val.json"))
    assert not outputs.exists()


def test_folder_that_takes_no_file(file: Path) -> None:
    found = annotations.check(file, "train", False, file.parent / "checked")
    (file.parent / "checked").write_text("a file where the folder should be")
    with pytest.raises(UserError, match=r"annotations cannot be written to .*checked .*set output_dir to another"):
        found.keep()


def test_plan_remembers_what_it_has_read(preloaded: Preloaded, tmp_path: Path) -> None:
    """And the command that trains uses what the plan has made; both are in a folder beside the trials."""
    outputs = tmp_path / "outputs"
    arguments = (*data(tmp_path, content()), f"output_dir={outputs}")
    assert preloaded.run(*arguments, "dry_run=true").code == 0
    kept = {path: path.stat().st_mtime_ns for path in (outputs / "data" / "checked").glob("*-boxes-*")}
    done = preloaded.run(*arguments, fake_training=True)
    assert done.code == 0, done.stdout + done.stderr
    assert {path: path.stat().st_mtime_ns for path in (outputs / "data" / "checked").glob("*-boxes-*")} == kept
    (trial,) = (outputs / "trials").iterdir()
    described = json.loads((trial / "trial.json").read_text())["data"]
    assert described == {
        split: hashlib.sha256((tmp_path / f"{split}.json").read_bytes()).hexdigest() for split in ("train", "val")
    }
    forms = {f"{digest}-{split}-boxes-{annotations.VERSION}" for split, digest in described.items()}
    assert {path.name.partition(".")[0] for path in kept} == forms
