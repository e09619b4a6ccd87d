"""`python -m analysis paper`: a folder with everything, from which everything can be made again."""

import shutil
from pathlib import Path

import pytest
from recorded import DECLARED, Recorder

from analysis.__main__ import main


@pytest.fixture(scope="module")
def results(declared_recorder: Recorder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("paper") / "results" / "paper"
    store = ["--tracking-uri", declared_recorder.uri, "--experiment", DECLARED]
    assert main(["paper", *store, "--out", str(folder)]) == 0
    return folder


def test_folder_has_every_table_in_every_format(results: Path) -> None:
    tables = {f"table{number}{ending}" for number in range(1, 6) for ending in (".md", ".tex", ".csv", ".html")}
    assert tables <= {path.name for path in results.iterdir()}


def test_made_again_from_its_data_it_is_the_same_to_the_last_byte(results: Path, tmp_path: Path) -> None:
    """In place of what an earlier version left there."""
    again = tmp_path / "again"
    shutil.copytree(results / "data", again / "data")
    (again / "table9.md").touch()
    assert main(["paper", "--from", str(results), "--out", str(again)]) == 0
    files = sorted(path.relative_to(results) for path in results.rglob("*") if path.is_file())
    assert sorted(path.relative_to(again) for path in again.rglob("*") if path.is_file()) == files
    for file in files:
        assert (again / file).read_bytes() == (results / file).read_bytes(), file
    assert [path.name for path in tmp_path.iterdir()] == ["again"]


def test_a_folder_with_other_things_is_left_alone(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    assert main(["paper", "--from", str(results), "--out", str(tmp_path)]) == 2
    told = f"error: {tmp_path} exists and holds no study; name another place with --out\n"
    assert capsys.readouterr().err == told
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_part_of_a_folder_does_not_take_its_place(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(results.rglob("*"))
    assert main(["paper", "table3", "--from", str(results)]) == 2
    assert capsys.readouterr().err.endswith("holds one study and is made anew as a whole; leave table3 out\n")
    assert sorted(results.rglob("*")) == before


def test_a_folder_without_a_study_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["paper", "--from", str(tmp_path)]) == 2
    assert "holds no study" in capsys.readouterr().err


def test_latex_says_what_is_missing_and_marks_the_best(results: Path) -> None:
    text = (results / "table5.tex").read_text()
    assert r"\multicolumn{6}{c}{box} & \multicolumn{6}{c}{mask}" in text
    assert "% GC-Net: not run" in text
    assert r"Mask R-CNN$^\ast$ &" in text  # of two seeds one is not run
    assert text.count(r"\toprule") == text.count(r"\bottomrule") == 1
    assert all(line.count("&") == 13 for line in text.splitlines() if line.startswith("    Mask R-CNN"))


def test_page_escapes_what_it_shows(recorder: Recorder, tmp_path: Path) -> None:
    own = Recorder(recorder.folder, "escaped")
    own.run("<script>x</script> & sum", 0, points={"bbox/AP": [0.5]}, sweeps=("a<b>",))
    store = ["--tracking-uri", own.uri, "--experiment", "escaped"]
    assert main(["table", "--sweep", "a<b>", *store, "--out", str(tmp_path / "t.html")]) == 0
    assert main(["table", "--sweep", "a<b>", *store, "--out", str(tmp_path / "t.tex")]) == 0
    page = (tmp_path / "t.html").read_text()
    assert "<script" not in page
    assert "&lt;script&gt;x&lt;/script&gt; &amp; sum" in page
    assert (
        r"\textless{}script\textgreater{}x\textless{}/script\textgreater{} \& sum" in (tmp_path / "t.tex").read_text()
    )
