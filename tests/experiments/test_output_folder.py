"""Where may be written: a new folder, an empty one, one of ours; never a folder of other things."""

from pathlib import Path

import pytest

from experiments import output_folder
from experiments.errors import UserError
from tests.support import harness
from tests.support.mistakes import present, refusal, refused
from tests.support.running import Preloaded

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.parametrize("typed", ["output_dir=", "output_dir=null", "output_dir=' '", "output_dir=[a]"])
def test_output_dir_that_names_no_folder(preloaded: Preloaded, tmp_path: Path, typed: str) -> None:
    sentence = refusal(preloaded, *harness.TINY, typed, cwd=tmp_path)
    assert sentence.startswith("output_dir=")
    assert "give a new or empty folder, or one with earlier trials" in sentence
    assert present(tmp_path) == set()


@pytest.mark.parametrize("below", ["", "outputs"])
def test_output_dir_that_is_a_file(preloaded: Preloaded, tmp_path: Path, below: str) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    sentence = refused(preloaded, file / below, *harness.TINY)
    assert sentence.startswith(f"output_dir={file / below} cannot be a folder: {file} is a file")
    assert file.read_text() == "mine"


def test_folder_of_other_things(preloaded: Preloaded, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    sentence = refused(preloaded, tmp_path, *harness.TINY)
    assert f"output_dir={tmp_path}" in sentence
    assert "thesis.tex" in sentence
    assert present(tmp_path) == {"thesis.tex"}


@pytest.mark.parametrize("present_", [(), (".DS_Store",), ("trials", "notes.txt"), ("mlflow.db",)], ids=str)
def test_empty_folder_and_one_of_trials_are_accepted(tmp_path: Path, present_: tuple[str, ...]) -> None:
    for name in present_:
        (tmp_path / name).touch()
    output_folder.accept(tmp_path)


def test_mark_makes_a_folder_ours(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(UserError, match=r"notes\.txt"):
        output_folder.accept(tmp_path)
    output_folder.mark(tmp_path)
    output_folder.accept(tmp_path)


def test_home_and_relative_paths_are_made_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert output_folder.whole("a/../b") == tmp_path / "b"
    assert output_folder.whole("~/b") == tmp_path / "home" / "b"
    assert output_folder.whole(5) == tmp_path / "5"


def test_a_figure_drawn_before_the_first_trial_is_no_other_thing(tmp_path: Path) -> None:
    """`python -m analysis figure` writes there, and may read a store of another place."""
    (tmp_path / "figures").mkdir()
    output_folder.accept(tmp_path)
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(UserError, match=r"other files \(thesis.tex\)"):
        output_folder.accept(tmp_path)
