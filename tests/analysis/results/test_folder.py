"""`python -m analysis paper`: a folder with everything, from which everything can be made again."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from analysis.__main__ import main
from analysis.read import study
from experiments import names
from tests.support.recorded import DECLARED, Recorder


@pytest.fixture(scope="module")
def results(declared_recorder: Recorder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("paper") / "results" / "paper"
    store = ["--tracking-uri", declared_recorder.uri, "--experiment", DECLARED]
    assert main(["paper", *store, "--out", str(folder)]) == 0
    return folder


def test_made_again_from_its_data_it_is_the_same_to_the_last_byte(results: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    shutil.copytree(results / "data", again / "data")
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


def test_other_files_in_the_folder_stay(results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    again = tmp_path / "again"
    shutil.copytree(results, again)
    mine = [again / name for name in ("NOTES.md", "README.md", "my-epochs.png", "data/notes.txt", "sub/table1.md")]
    for path in mine:
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    assert main(["paper", "--from", str(again)]) == 0
    assert [path.read_text() for path in mine] == ["mine"] * len(mine)
    printed = set(capsys.readouterr().out.splitlines())
    assert str(again / "report.html") in printed
    assert not printed & {str(path) for path in mine}
    assert [path.name for path in tmp_path.iterdir()] == ["again"]


def test_outdated_files_of_an_earlier_call_are_removed(results: Path, tmp_path: Path) -> None:
    again, other = tmp_path / "again", tmp_path / "other.png"
    shutil.copytree(results, again)
    for path in (again / "table9.md", again / "table9-epochs.png", other):
        path.write_text("of a table that was declared then")
    with (again / "data" / "made.txt").open("a") as made:
        made.write("table9.md\n../other.png\nlost.md\n")
    before = {path.relative_to(results) for path in results.rglob("*")}
    assert main(["paper", "--from", str(again)]) == 0
    assert {path.relative_to(again) for path in again.rglob("*")} == before | {Path("table9-epochs.png")}
    assert other.exists()
    made_now = (again / "data" / "made.txt").read_text().splitlines()
    assert made_now == sorted(made_now)
    assert {again / line for line in made_now} | {again / "table9-epochs.png"} == {
        path for path in again.rglob("*") if path.is_file()
    }


def altered(results: Path, folder: Path, *, sweep: str = "paper", without: str = "") -> Path:
    """Saves a study as one of another sweep, or without a trial."""
    found = study.load(results / "data")
    kept = [run for run in found.runs if run.tags[names.TRIAL_ID] != without]
    study.save(replace(found, sweep=sweep, runs=kept), folder / "data")
    return folder


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"sweep": "table1"}, "holds a study of the sweep 'paper', not of 'table1'"),
        ({"without": "faster_rcnn_single-s1"}, "holds 1 finished trial that this study lacks (faster_rcnn_single-s1)"),
    ],
)
def test_another_study_is_not_removed(
    results: Path, changes: dict[str, str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there = tmp_path / "there"
    shutil.copytree(results, there)
    before = {path: path.read_bytes() for path in there.rglob("*") if path.is_file()}
    source = altered(results, tmp_path / "source", **changes)
    assert main(["paper", "--from", str(source), "--out", str(there)]) == 2
    remedy = "name another place with --out, or remove the folder first"
    assert capsys.readouterr().err == f"error: {there} {told}; {remedy}\n"
    assert {path: path.read_bytes() for path in there.rglob("*") if path.is_file()} == before


def test_a_study_that_cannot_be_read_is_not_removed(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there = altered(results, tmp_path / "there")
    (there / "data" / "runs.jsonl").write_text("{")
    assert main(["paper", "--from", str(results), "--out", str(there)]) == 2
    error = capsys.readouterr().err
    assert "holds an incomplete study" in error
    assert error.endswith("; name another place with --out, or remove the folder first\n")
    assert [path.name for path in there.iterdir()] == ["data"]


def test_a_part_of_a_folder_does_not_take_its_place(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(results.rglob("*"))
    assert main(["paper", "table3", "--from", str(results)]) == 2
    assert capsys.readouterr().err.endswith("holds one study, which is written completely; leave 'table3' out\n")
    assert sorted(results.rglob("*")) == before


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
