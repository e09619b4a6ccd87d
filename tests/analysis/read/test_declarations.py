"""From a recorded sweep or a table's number to the file that declares it, and back to what to type."""

from pathlib import Path

import pytest

from analysis.read import declarations
from experiments import declared
from experiments.errors import UserError


@pytest.mark.parametrize("number", ["0", "9", "13", "table3", "-1"])
def test_a_number_that_no_file_declares_lists_those_that_are(number: str) -> None:
    with pytest.raises(UserError) as error:
        declarations.numbered(number)
    listed = "I (table1), II (table2), III (table3), IV (table4), V (table5)"
    told = f"no file in sweeps/ declares table {number!r}; declared: {listed}; name others with --sweep"
    assert str(error.value) == told


def test_a_number_is_matched_as_the_file_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(declared, "FOLDER", tmp_path)
    (tmp_path / "mine.yaml").write_text("{purpose: P., table: 14, rows: [{name: a, overrides: []}]}")
    assert declarations.numbered("14") == "mine"


def test_the_first_word_of_a_sweep_is_the_file_that_declares_it() -> None:
    for sweep in ("table3", "table3 recipe=paper,upstream"):
        found = declarations.of_sweep(sweep)
        assert found is not None
        assert found.file == "sweeps/table3.yaml"
    for sweep in ("pre=conv5 post=attention", "default", "table33", "table99 seed=1"):
        assert declarations.of_sweep(sweep) is None


def test_command_has_the_overrides_and_the_seeds() -> None:
    assert declarations.command("table3") == declarations.command("table3", ["0"]) == "python run.py -m sweep=table3"
    typed = "table1 recipe=paper,upstream"
    assert declarations.command(typed, ["0", "2"]) == "python run.py -m sweep=table1 recipe=paper,upstream seed=0,2"
    assert (
        declarations.command("table1 pre=glob(conv*)", ["1"])
        == "python run.py -m sweep=table1 'pre=glob(conv*)' seed=1"
    )


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["pre=none", "seed=0"], ""),
        (["pre=none", "dataset.root=a", "seed=0", "seed=1", "dataset.root=b"], "dataset.root=b"),
        (["+dataset.root=/some where", "seed=0", "pre=none"], "dataset.root=/some where"),
    ],
)
def test_last_dataset_root_counts(overrides: list[str], told: str) -> None:
    assert declarations.data_root(overrides) == told


def test_the_papers_figures_by_their_numbers() -> None:
    assert declarations.drawn("6") == ("table5", "segm")
    with pytest.raises(UserError) as error:
        declarations.drawn("3")
    listed = "2 (table1, bbox), 4 (table2, bbox), 5 (table5, bbox), 6 (table5, segm)"
    assert f"no file in sweeps/ declares figure '3'; declared: {listed}; name sweeps with --sweep" == str(error.value)
