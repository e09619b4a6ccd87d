"""Wrong names on the command line of `python -m analysis` are refused in one sentence; Ctrl-C ends it quietly."""

from pathlib import Path

import pytest

from analysis import __main__ as command_line
from analysis.__main__ import main
from experiments.commands import Place
from tests.support.recorded import DECLARED, Recorder


@pytest.fixture(scope="module")
def folder(declared_recorder: Recorder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of results with one study in it, "mine"."""
    results = tmp_path_factory.mktemp("wrong") / "results"
    store = ["--tracking-uri", declared_recorder.uri, "--experiment", DECLARED]
    assert main(["paper", "table1 recipe=paper,upstream", *store, "--out", str(results / "mine")]) == 0
    return results


@pytest.mark.parametrize("wrong", ["nope", ".", "mine/data"])
def test_a_folder_without_a_study_is_told_with_those_that_hold_one(
    folder: Path, wrong: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["table", "--from", str(folder / wrong)]) == 2
    remedy = f"give a folder that `{Place().command('analysis', 'paper')}` wrote, which holds `data/`"
    told = f"error: {folder / wrong} holds no study; {remedy}, such as {folder / 'mine'}\n"
    assert capsys.readouterr().err == told


@pytest.mark.parametrize("sides", [("mine", "typo"), ("typo", "mine")])
def test_comparing_a_study_with_another_folder_is_refused(
    folder: Path, sides: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", *(str(folder / side) for side in sides)]) == 2
    study, typo = folder / "mine", folder / "typo"
    told = f"error: '{typo}' is not a folder with a study, but {study} is; "
    remedy = f"give two such folders, or two rows of {study} with --from {study}\n"
    assert capsys.readouterr().err == told + remedy


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["table", ""], "no file in sweeps/ declares table ''; declared: I (table1), "),
        (["figure", ""], "no file in sweeps/ declares figure ''; declared: 2 (table1, bbox), "),
        (["paper", ""], "no sweep '' in "),
    ],
)
def test_an_empty_name_is_refused(
    declared_recorder: Recorder, arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, "--tracking-uri", declared_recorder.uri, "--experiment", DECLARED]) == 2
    assert capsys.readouterr().err.startswith(f"error: {told}")


def test_ctrl_c_ends_it_quietly(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(arguments: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(command_line, "_table", interrupted)
    assert main(["table", "--detail"]) == 130
    assert capsys.readouterr() == ("", "")
