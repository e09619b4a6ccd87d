"""Commands that are printed: what each program reads of them, and that they say nothing that it knows by itself."""

import itertools
import shlex
import sys
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from analysis.__main__ import parser as analysis_parser
from experiments import names
from experiments.__main__ import parser as experiments_parser
from experiments.commands import ROOT, Place, override

NAMES = (
    "plain",
    "with space",
    "it's",
    'say "x"',
    "a,b",
    "a=b",
    "c:\\d\\",
    "[x]",
    "{x}",
    "-x",
    "#1",
    "50%",
    "a&b;c|d",
    "é",
)


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def words(command: str) -> list[str]:
    """Returns a command's arguments behind the program, as a shell gives them."""
    typed = shlex.split(command)
    start = next(place for place, word in enumerate(typed) if word.endswith("run.py") or word == "-m")
    return typed[start + 1 :] if typed[start] != "-m" else typed[start + 2 :]


@pytest.mark.parametrize("name", NAMES)
def test_names_of_all_kinds_come_back_as_they_were(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    place = Place(tmp_path / name, f"sqlite:///{tmp_path}/{name}/runs.db", name)
    read = analysis_parser().parse_args(words(place.command("analysis", "table", "--sweep", "last")))
    assert (read.tracking_uri, read.experiment, read.sweep) == (place.uri, name, "last")
    read = experiments_parser().parse_args(words(place.command("experiments", "status")))
    assert read.output_dir.absolute() == place.outputs
    parsed = OverridesParser.create().parse_overrides(words(place.command("run.py", "seed=0,1")))
    given = {one.key_or_group: one.value() for one in parsed[1:]}
    expected = {"output_dir": name, "tracking.uri": place.uri, "tracking.experiment": name}
    assert given == expected


@pytest.mark.parametrize("folder", ["", "elsewhere"])
def test_commands_leave_out_defaults(folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Defaults are those of the folder where the command is typed."""
    here = tmp_path if folder else ROOT
    monkeypatch.chdir(here)
    place = Place(here / "outputs", f"sqlite:///{here}/outputs/mlflow.db", names.EXPERIMENT)
    for program, arguments in itertools.product(("run.py", "analysis", "experiments"), (["a"], ["a", "b c"])):
        assert words(place.command(program, *arguments)) == arguments
        start = f"PYTHONPATH={ROOT} " if folder and program != "run.py" else ""
        assert place.command(program, *arguments).startswith(start + place_of_python(here))
    assert place.pages().endswith("make ui" if not folder else f"make -C {ROOT} ui")
    assert ("MLFLOW_TRACKING_URI" in place.pages()) == bool(folder)


def place_of_python(here: Path) -> str:
    python = Path(sys.executable)
    return str(python.relative_to(here)) if python.is_relative_to(here) else str(python)


def test_python_on_the_path_is_called_by_its_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    monkeypatch.chdir(ROOT)
    assert Place().command("analysis", "table") == "python -m analysis table"
    assert Place().command("run.py") == "python run.py"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert Place().command("run.py").split()[0] != "python"


def test_store_of_the_environment_is_known(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    server = Place(tmp_path / "outputs", "http://127.0.0.1:5000", names.EXPERIMENT)
    assert words(server.command("run.py")) == ["tracking.uri=http://127.0.0.1:5000"]
    assert server.pages() == "http://127.0.0.1:5000"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    assert words(server.command("run.py")) == words(server.command("analysis")) == []
    beside = Place(tmp_path / "outputs", f"sqlite:///{tmp_path}/outputs/mlflow.db", names.EXPERIMENT)
    assert words(beside.command("analysis"))[0] == "--tracking-uri"


def test_commands_in_a_sentence_are_of_this_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    monkeypatch.chdir(ROOT)
    place = Place(tmp_path, f"sqlite:///{tmp_path}/mlflow.db", "mine")
    sentence = "`python run.py -m sweep=table1` runs it, `python -m analysis paper` writes it, `ls -l` lists it"
    assert place.localized(sentence) == (
        f"`python run.py -m sweep=table1 output_dir={tmp_path} tracking.experiment=mine` runs it, "
        f"`python -m analysis paper --tracking-uri sqlite:///{tmp_path}/mlflow.db --experiment mine` writes it, "
        "`ls -l` lists it"
    )


@pytest.mark.parametrize("value", [*NAMES, "null", "true", "5", "1e3", "inf", " ", "", "~", "a\\", 'a\\"', "a b\\"])
def test_hydra_reads_a_text_as_it_is(value: str) -> None:
    (parsed,) = OverridesParser.create().parse_overrides([override("dataset.name", value)])
    assert parsed.value() == value
