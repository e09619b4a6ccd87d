"""sweeps/*.yaml as they are read: the paper's numbers in them, and what is said of a file that is wrong."""

import copy
import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from experiments import declared
from experiments.errors import UserError

# Typed from the paper (arXiv 2004.13665), where Table V has "+GRoIE (ours)" below each name: AP AP50 AP75 APs APm APl,
# then the same for masks.
PAPER = {
    "I": """
        baseline   36.5 58.4 39.1 21.9 40.4 46.8
        random     34.8 56.9 37.0 19.1 39.3 45.2
        sum        36.8 59.0 39.5 22.0 41.0 47.2
    """,
    "II": """
        baseline   36.5 58.4 39.1 21.9 40.4 46.8
        sum        36.8 59.0 39.5 22.0 41.0 47.2
        sum+       36.0 57.9 38.3 21.6 39.7 46.1
        concat     36.1 58.0 38.6 21.4 40.3 45.7
    """,
    "III": """
        baseline   36.5 58.4 39.1 21.9 40.4 46.8
        conv 1x1   36.2 58.1 38.9 21.3 40.0 46.1
        conv 3x3   37.0 58.6 40.1 22.0 40.9 47.0
        conv 5x5   37.2 59.0 40.4 21.9 41.1 48.3
        Non-local  36.5 58.5 39.0 21.9 40.5 46.7
        Attention  36.4 58.3 39.1 21.8 40.4 46.7
    """,
    "IV": """
        baseline   36.5 58.4 39.1 21.9 40.4 46.8
        conv 1x1   36.0 57.9 38.3 21.6 39.7 46.1
        conv 3x3   36.6 58.3 39.3 21.3 40.5 46.6
        conv 5x5   36.6 58.4 39.5 21.6 40.5 46.9
        Non-local  36.7 58.8 38.9 21.8 40.9 46.8
        Attention  36.8 58.8 39.9 21.9 40.4 47.0
    """,
    "V": """
        Faster R-CNN          36.5 58.4 39.1 21.9 40.4 46.8
        Faster R-CNN + GRoIE  37.5 59.2 40.6 22.3 41.5 47.8
        Grid R-CNN            39.1 57.2 42.2 22.1 43.0 50.6
        Grid R-CNN + GRoIE    39.8 58.1 42.9 23.6 43.9 51.5
        Mask R-CNN            37.3 58.9 40.4 21.7 41.1 48.2  34.1 55.5 36.1 18.0 37.6 46.7
        Mask R-CNN + GRoIE    38.4 59.9 41.7 22.9 42.1 49.7  35.8 57.1 38.0 19.1 39.0 48.7
        GC-net                39.5 62.0 42.7 24.6 43.2 51.6  35.9 58.5 38.0 20.4 39.4 49.0
        GC-net + GRoIE        40.3 62.4 44.0 24.2 44.4 52.5  37.2 59.3 39.8 20.2 41.0 51.2
    """,
}


def paper_rows(text: str) -> list[tuple[str, list[float]]]:
    """Returns the methods of a table, in small letters, and their six or twelve numbers."""
    rows = []
    for line in text.strip().splitlines():
        words = line.split()
        count = 12 if len(words) >= 13 else 6
        rows.append((" ".join(words[:-count]).lower(), [float(word) for word in words[-count:]]))
    return rows


@pytest.mark.parametrize("name", declared.known())
def test_rows_of_a_declared_sweep_have_different_names(name: str) -> None:
    """Also where other files are included; within a file, reading refuses two of one name."""
    found = declared.read(name)
    assert len({row.name_in(name) for row in found.rows}) == len(found.rows)


def test_the_tables_of_the_paper_have_its_rows_and_its_numbers() -> None:
    tables = {found.table: found for found in map(declared.read, declared.known()) if found.table}
    assert list(tables) == list(PAPER)
    for number, text in PAPER.items():
        rows = [
            (row.name.lower(), [value for kind in tables[number].columns for value in row.published.get(kind, ())])
            for row in tables[number].rows
        ]
        assert rows == paper_rows(text)


def test_rows_of_included_files_come_first_and_once_and_are_named_after_their_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(declared, "FOLDER", tmp_path)
    (tmp_path / "a.yaml").write_text("{purpose: A., table: 3, rows: [{name: x, overrides: []}]}")
    (tmp_path / "b.yaml").write_text("{purpose: B., include: [a], rows: [{name: x, overrides: [seed=1]}]}")
    (tmp_path / "c.yaml").write_text("{purpose: C., include: [b, a], caption: Both}")
    found = declared.read("c")
    assert [row.name_in("c") for row in found.rows] == ["a: x", "b: x"]
    assert [row.name_in("b") for row in declared.read("b").rows] == ["a: x", "x"]
    assert (found.caption, found.table, found.columns, found.file) == ("Both", None, (), "sweeps/c.yaml")
    assert (declared.read("a").caption, declared.read("a").table) == ("A.", "3")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("purpose: [", "sweeps/mine.yaml is not YAML: "),
        (
            "rows: []",
            "sweeps/mine.yaml lacks purpose; its keys are: purpose, table, caption, columns, figures, matters, ",
        ),
        ("", "sweeps/mine.yaml lacks purpose;"),
        ("purpose: P.\nrow: []", "sweeps/mine.yaml: 'row' is unknown; choose from: purpose, table"),
        ("purpose: P.", "sweeps/mine.yaml has no rows; list them in rows, grid or zip, or"),
        ("purpose: P.\nrows: x", "sweeps/mine.yaml: rows 'x' is refused; give a list of rows"),
        ("purpose: P.\ncolumns: [box]", "sweeps/mine.yaml: columns ['box'] is refused; give a list of bbox and segm"),
        ("purpose: P.\ninclude: [tabel1]", "sweeps/mine.yaml: include: 'tabel1' is unknown; choose from: other"),
        ("purpose: P.\ninclude: [other]", "sweeps/other.yaml: include: 'mine' is unknown"),
        ("purpose: P.\nrows: [{name: a}]", "row 'a' lacks overrides; its keys are: name, overrides, publ"),
        ("purpose: P.\nrows: [{name: on, overrides: []}]", "name True is refused; give a text in quotes"),
        (
            "purpose: P.\nrows: [{name: a, overrides: pre=conv5}]",
            "row 'a': overrides 'pre=conv5' is refused; give a list such as [agg",
        ),
        (
            "purpose: P.\nrows: [{name: a, overrides: [{pre: conv5}]}]",
            "overrides [{'pre': 'conv5'}] is refused; give a list",
        ),
        ("purpose: P.\nrows: [&a {name: a, overrides: []}, *a]", "mine.yaml has two rows named 'a'; give one of them"),
        (
            "purpose: P.\ncolumns: [bbox]\nrows: [{name: a, overrides: [], published: {segm: [1, 2, 3, 4, 5, 6]}}]",
            "row 'a': published: 'segm' is unknown; choose from: bbox",
        ),
        (
            "purpose: P.\nrows: [{name: a, overrides: [], published: {bbox: [36.5, 58.4]}}]",
            "row 'a': published {'bbox': [36.5, 58.4]} is refused; give six numbers (AP AP50 AP75 APs APm APl)",
        ),
    ],
)
def test_a_wrong_file_is_told_in_a_sentence(
    text: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(declared, "FOLDER", tmp_path)
    (tmp_path / "mine.yaml").write_text(text)
    (tmp_path / "other.yaml").write_text("{purpose: O., include: [mine]}")
    with pytest.raises(UserError) as error:
        declared.read("mine")
    assert told in str(error.value)


def test_rows_say_what_they_are_compared_with() -> None:
    of_table3 = {row.name: row.baseline for row in declared.read("table3").rows}
    assert of_table3.pop("baseline") is None
    assert set(of_table3.values()) == {"baseline"}
    of_table5 = {row.name: row.baseline for row in declared.read("table5").rows}
    assert {row for row, baseline in of_table5.items() if baseline is None} == {
        "Faster R-CNN", "Grid R-CNN", "Mask R-CNN", "GC-Net"
    }  # fmt: skip
    assert of_table5["GC-Net + GRoIE"] == "GC-Net"
    fidelity = {row.name: row.baseline for row in declared.read("fidelity").rows}
    assert fidelity["sum (paper) without ReLU"] == "sum (paper)"


def test_figures_of_the_paper() -> None:
    found = {number: (name, kind) for name in declared.known() for number, kind in declared.read(name).figures.items()}
    paper = {"2": ("table1", "bbox"), "4": ("table2", "bbox"), "5": ("table5", "bbox"), "6": ("table5", "segm")}
    assert found == paper


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (
            "{purpose: P., figures: [4], rows: [{name: a, overrides: []}]}",
            "figures [4] is refused; give a mapping such as {4: bbox}",
        ),
        (
            "{purpose: P., figures: {4: AP}, rows: [{name: a, overrides: []}]}",
            "figures {4: 'AP'} is refused; give a mapping such as {4: bbox}",
        ),
        (
            "{purpose: P., rows: [{name: a, overrides: []}, {name: b, overrides: [], baseline: c}]}",
            "row 'b': baseline: 'c' is unknown; choose from: a",
        ),
        (
            "{purpose: P., rows: [{name: a, overrides: []}, {name: b, overrides: [], baseline: b}]}",
            "row 'b': baseline: 'b' is unknown; choose from: a",
        ),
    ],
)
def test_figures_and_baselines_that_are_not_there(
    content: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(declared, "FOLDER", tmp_path)
    (tmp_path / "mine.yaml").write_text(content)
    with pytest.raises(UserError) as error:
        declared.read("mine")
    assert told in str(error.value)


WHOLE = {
    "purpose": "P.",
    "table": "I",
    "caption": "C",
    "columns": ["bbox"],
    "figures": {"4": "bbox"},
    "include": ["other"],
    "rows": [{"name": "a", "overrides": ["seed=1"], "published": {"bbox": [1, 2, 3, 4, 5, 6]}, "baseline": None}],
}
ODD = (
    None,
    5,
    0.5,
    True,
    "x",
    "",
    [],
    {},
    [[1]],
    [None],
    {1: [2]},
    {"x": None},
    float("nan"),
    datetime.date(2020, 1, 1),
)


def damaged(node: Any) -> Iterator[Any]:
    """Yields a tree with another odd value in the place of each of its parts, one at a time."""
    yield from ODD
    for key in list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ():
        for other in damaged(node[key]):
            copied = copy.copy(node)
            copied[key] = other
            yield copied


def test_any_part_of_a_file_may_be_odd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is read, or told in a sentence that names the file; nothing else is raised."""
    monkeypatch.setattr(declared, "FOLDER", tmp_path)
    (tmp_path / "other.yaml").write_text("{purpose: O., rows: [{name: x, overrides: []}]}")
    told = []
    for content in damaged(WHOLE):
        (tmp_path / "mine.yaml").write_text(yaml.safe_dump(content))
        try:
            declared.read("mine")
        except UserError as error:
            told.append(str(error))
    assert len(told) > 150  # of some 300; the others may stand there
    assert [sentence for sentence in told if not sentence.startswith("sweeps/mine.yaml")] == []


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"a:\n\t- b", b"&a [*a]", b"\x00", b"%PDF-1.7\n\xe2\xe3"])
def test_a_file_that_is_no_text(content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(declared, "FOLDER", tmp_path)
    (tmp_path / "mine.yaml").write_bytes(content)
    with pytest.raises(UserError, match=r"sweeps/mine\.yaml"):
        declared.read("mine")


def test_a_folder_in_place_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(declared, "FOLDER", tmp_path)
    (tmp_path / "mine.yaml").mkdir()
    with pytest.raises(UserError, match=r"sweeps/mine\.yaml cannot be read \(Is a directory\)"):
        declared.read("mine")


def test_matters_is_a_difference_of_ap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(declared, "FOLDER", tmp_path)
    rows = "rows: [{name: a, overrides: []}]"
    (tmp_path / "mine.yaml").write_text(f"{{purpose: P., {rows}}}")
    assert declared.read("mine").matters is None
    (tmp_path / "mine.yaml").write_text(f"{{purpose: P., matters: 0.5, {rows}}}")
    assert declared.read("mine").matters == 0.5
    for wrong in ("0", "-1", "true", "half", "101", ".nan"):
        (tmp_path / "mine.yaml").write_text(f"{{purpose: P., matters: {wrong}, {rows}}}")
        with pytest.raises(UserError, match=r"matters .* is refused; give a difference of AP x 100"):
            declared.read("mine")
