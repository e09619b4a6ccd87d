"""Rows that grid and zip make, and the page that describes the format of sweep files."""

import re
from itertools import product
from pathlib import Path

import pytest

from experiments import declared, sweep_file
from experiments.errors import UserError

PAGE = (Path(__file__).parents[3] / "docs" / "sweeps.md").read_text()


def read(text: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> declared.Declaration:
    monkeypatch.setattr(declared, "FOLDER", folder)
    (folder / "mine.yaml").write_text(text)
    return declared.read("mine")


def test_grid_has_every_combination_but_the_excluded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = read(
        "{purpose: P., grid: {pre: [none, conv3], post: [none, conv3], schedule.epochs: [2, 4]},"
        " exclude: [{pre: conv3, post: conv3}, {pre: none, schedule.epochs: 4}]}",
        tmp_path,
        monkeypatch,
    )
    wanted = [
        (f"pre={pre}", f"post={post}", f"schedule.epochs={epochs}")
        for pre, post, epochs in product(("none", "conv3"), ("none", "conv3"), (2, 4))
        if (pre, post) != ("conv3", "conv3") and (pre, epochs) != ("none", 4)
    ]
    assert [row.overrides for row in found.rows] == wanted
    assert [row.name for row in found.rows] == [" ".join(overrides) for overrides in wanted]
    assert [row.baseline for row in found.rows] == [None, *[" ".join(wanted[0])] * (len(wanted) - 1)]


def test_zip_takes_one_value_of_each_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = read(
        "{purpose: P., zip: {pre: [conv1, conv5], extractor.checkpoint: [false, true]}, grid: {neck: [fpn, pafpn]},"
        " rows: [{name: base, overrides: []}]}",
        tmp_path,
        monkeypatch,
    )
    assert [row.overrides for row in found.rows] == [
        (),
        ("pre=conv1", "extractor.checkpoint=false", "neck=fpn"),
        ("pre=conv1", "extractor.checkpoint=false", "neck=pafpn"),
        ("pre=conv5", "extractor.checkpoint=true", "neck=fpn"),
        ("pre=conv5", "extractor.checkpoint=true", "neck=pafpn"),
    ]
    assert {row.baseline for row in found.rows[1:]} == {"base"}


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ("zip: {pre: [conv1, conv3], post: [none]}", "zip has lists of different lengths (2 for pre, 1 for post)"),
        ("zip: {pre: [conv1]}, grid: {pre: [conv3]}", "pre is in grid and in zip; leave it out of one of them"),
        ("grid: {pre: [conv1]}, exclude: [{pre: conv3}]", "exclude {'pre': 'conv3'} is no combination of grid and zip"),
        ("grid: {pre: []}", "grid {'pre': []} is refused; give lists of values, such as {pre: [none, conv5]}"),
        ("grid: {pre: conv1}", "grid {'pre': 'conv1'} is refused; give lists of values"),
        ("grid: {pre: [conv1, conv1]}", "has two rows named 'pre=conv1'"),
        ("grid: {pre: [[conv1]]}", "grid {'pre': [['conv1']]} is refused"),
        ("exclude: [{pre: conv1}]", "exclude {'pre': 'conv1'} is no combination"),
    ],
)
def test_grids_that_make_no_sense_are_refused(
    keys: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError) as error:
        read(f"{{purpose: P., {keys}}}", tmp_path, monkeypatch)
    assert str(error.value).startswith("sweeps/mine.yaml")
    assert told in str(error.value)


@pytest.mark.parametrize(("heading", "model"), [("Keys", sweep_file.FileKeys), ("A row", sweep_file.RowKeys)])
def test_page_has_every_key_and_what_it_takes(heading: str, model: type[sweep_file.Keys]) -> None:
    (section,) = re.findall(rf"^## {heading}\n(.*?)(?=^## |\Z)", PAGE, flags=re.M | re.S)
    listed = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", section, flags=re.M))
    assert {key: text.replace("`", "") for key, text in listed.items()} == {
        key: field.description for key, field in model.model_fields.items()
    }


def test_example_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", PAGE, flags=re.S)
    found = read(example, tmp_path, monkeypatch)
    (count,) = re.findall(r"It has (\d+) rows", PAGE)
    assert len(found.rows) == int(count)
