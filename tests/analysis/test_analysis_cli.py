"""`python -m analysis` as a person meets it: output, files, error sentences, exit codes."""

import http.server
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest

from analysis.__main__ import main
from experiments import declared
from experiments.commands import Place
from tests.support.recorded import DECLARED, NEWER, OLDER, TYPED_MORE, Recorder

ROOT = Path(__file__).parents[2]


def analysis(*arguments: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "analysis", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture(autouse=True)
def environment() -> Iterator[None]:
    with mock.patch.dict(os.environ):  # MLflow's settings are the process's: none shall reach other tests
        for name in [name for name in os.environ if name.startswith("MLFLOW")]:
            del os.environ[name]
        yield


def test_table_prints_the_newest_sweep_and_nothing_else(recorder: Recorder, tmp_path: Path) -> None:
    done = analysis("table", folder=tmp_path, MLFLOW_TRACKING_URI=recorder.uri)
    assert (done.returncode, done.stderr) == (0, "")
    lines = [line.split() for line in done.stdout.splitlines()]
    assert done.stdout.startswith(f"sweep {NEWER}, profile demo, dataset shapes + coco, recipe paper, schedule short")
    assert ["single", "44.0", "60.0", "40.0", "20.0", "20.0", "-", "1", "3"] in lines
    assert ["mask_rcnn", "sum", "20.0", "21.0", "22.0", "23.0", "24.0", "25.0", "1", "2"] in lines
    assert list(tmp_path.iterdir()) == []


def test_table_shows_trials_without_result(
    recorder: Recorder, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = tmp_path / "table.md"
    assert main(["table", "--sweep", OLDER, "--tracking-uri", recorder.uri, "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    for text in ("running, epoch 2", "killed", "seed 2 failed: CUDA out of memory", "2 of 3"):
        assert text in printed
        assert text in out.read_text()
    assert printed.splitlines()[-1] == str(out)


def test_figure_prints_the_path_of_the_picture(
    recorder: Recorder, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["figure", "--sweep", OLDER, "--tracking-uri", recorder.uri]) == 0
    path = Path(capsys.readouterr().out.strip())
    assert path.parent == Path("outputs/figures")
    assert re.fullmatch(r"modules__before___after-[0-9a-f]{8}\.png", path.name)
    assert path.read_bytes().startswith(b"\x89PNG")


def declared_sweep(recorder: Recorder, *arguments: str) -> int:
    return main([*arguments, "--tracking-uri", recorder.uri, "--experiment", DECLARED])


def command(recorder: Recorder, *words: str) -> str:
    """Returns what runs more of the declared sweeps, as it is typed here (tests/experiments/test_commands.py)."""
    return Place(recorder.folder, recorder.uri, DECLARED).command("run.py", "-m", *words)


def test_a_tables_number_is_its_declared_sweep(declared_recorder: Recorder, capsys: pytest.CaptureFixture[str]) -> None:
    printed = []
    for asked in (["3"], ["III"], ["iii"], ["--sweep", "table3"]):
        assert declared_sweep(declared_recorder, "table", *asked) == 0
        printed.append(capsys.readouterr().out)
    assert len(set(printed)) == 1
    lines = [line.split() for line in printed[0].splitlines()]
    assert printed[0].startswith("Table III: Ablation on pre-processing (sweep table3, profile demo, dataset shapes, ")
    order = [["baseline"], ["conv", "1x1"], ["conv", "3x3"], ["conv", "5x5"], ["non-local"], ["attention"]]
    places = [next(i for i, line in enumerate(lines) if line[: len(row)] == row) for row in order]
    assert places == sorted(places)
    assert lines.count(["not", "run"]) == 4
    more = command(declared_recorder, "sweep=table3", "seed=0,1")
    assert f"`{more}` runs what is not run yet.\n" in printed[0]
    assert "published" not in printed[0]


def test_last_is_what_was_asked_for_by_name_not_the_tables_in_it(
    declared_recorder: Recorder, capsys: pytest.CaptureFixture[str]
) -> None:
    assert declared_sweep(declared_recorder, "table") == 0
    assert f"(sweep {TYPED_MORE}, " in capsys.readouterr().out.splitlines()[0]


def test_detail_adds_published_lines_to_what_is_printed_and_written(
    declared_recorder: Recorder, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for ending in (".md", ".csv"):
        out = tmp_path / f"table{ending}"
        assert declared_sweep(declared_recorder, "table", "5", "--detail", "--out", str(out)) == 0
        printed = capsys.readouterr().out
        assert ["published", "(COCO,", "1", "run)", "38.4", "59.9", "41.7", "22.9", "42.1", "49.7"] in [
            line.split() for line in printed.splitlines()
        ]
        assert any(
            line.startswith("Intervals (95 %) ") and "Holm" in line for line in printed.splitlines()
        )  # in a pipe
        (row,) = [line for line in out.read_text().splitlines() if "Mask R-CNN + GRoIE" in line and "35.8" in line]
        assert "not run" in row  # the published AP of its masks, and why there is none of ours


def test_a_declared_sweep_without_runs_says_what_runs_it(
    recorder: Recorder, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of this experiment no trial is a row of it; where some are, they are shown without having been asked for."""
    assert main(["table", "--sweep", "fidelity", "--tracking-uri", recorder.uri]) == 2
    command = Place(recorder.folder, recorder.uri).command("run.py", "-m", "sweep=fidelity")
    told = f"error: no sweep 'fidelity' in {recorder.uri}; `{command}` runs it; known, newest first: {NEWER}, {OLDER}; "
    assert capsys.readouterr().err.startswith(told)


def test_a_sweep_whose_file_is_gone_is_shown_by_the_rows_that_were_recorded(
    declared_recorder: Recorder, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(declared, "FOLDER", tmp_path)
    assert declared_sweep(declared_recorder, "table", "--sweep", "table2", "--detail") == 0
    printed = capsys.readouterr().out
    assert printed.startswith("sweep table2, profile demo, ")
    table, _, _ = printed.partition("How sure")
    shown = [line.split()[0] for line in table.splitlines() if " 2" in line and "." in line]
    assert [row for row in shown if row in ("baseline", "sum", "sum+", "concat")] == ["baseline", "sum", "sum+"]
    out = tmp_path / "figure.png"
    assert declared_sweep(declared_recorder, "figure", "--sweep", "table2", "--out", str(out)) == 0
    assert out.read_bytes().startswith(b"\x89PNG")


def test_a_renamed_row_is_told_of_in_the_terminal(
    declared_recorder: Recorder, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (ROOT / "sweeps" / "table2.yaml").read_text()
    (tmp_path / "table2.yaml").write_text(text.replace("{name: sum+,", "{name: sum and conv,"))
    monkeypatch.setattr(declared, "FOLDER", tmp_path)
    assert declared_sweep(declared_recorder, "table", "2") == 0
    lines = capsys.readouterr().out.splitlines()
    named = [
        i for i, line in enumerate(lines) if line.startswith(("baseline ", "sum ", "sum and conv ", "concat ", "sum+ "))
    ]
    assert [lines[i].split("  ")[0] for i in named] == ["baseline", "sum", "sum and conv", "concat", "sum+"]
    assert lines[named[2] + 1].strip() == "not run"
    assert lines[named[4] + 1].strip() == "not in sweeps/table2.yaml any more"


def test_a_store_that_does_not_exist_is_one_sentence_and_stays_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = analysis("table", folder=tmp_path)
    monkeypatch.chdir(tmp_path)  # the command is for this folder
    run = Place().command("run.py")
    expected = f"error: no sweeps recorded yet in sqlite:///outputs/mlflow.db; run `{run}` first\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", expected)
    assert list(tmp_path.iterdir()) == []


def test_a_store_without_runs_is_the_same_and_stays_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = tmp_path / "empty.db"
    empty.write_bytes(b"")
    assert main(["table", "--tracking-uri", f"sqlite:///{empty}"]) == 2
    assert capsys.readouterr().err.startswith(f"error: no sweeps recorded yet in sqlite:///{empty};")
    assert empty.read_bytes() == b""


def test_a_wrong_sweep_lists_the_known_ones(recorder: Recorder, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["figure", "--sweep", "tabel3", "--tracking-uri", recorder.uri]) == 2
    sentence = f"error: no sweep 'tabel3' in {recorder.uri}; known, newest first: {NEWER}, {OLDER}; or last\n"
    assert capsys.readouterr().err == sentence


def test_a_server_that_does_not_answer_is_named_within_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts and never says a word
        uri = f"http://127.0.0.1:{silent.getsockname()[1]}"
        begin = time.monotonic()
        assert main(["table", "--tracking-uri", uri]) == 2
    assert time.monotonic() - begin < 15  # 8 s of waiting, the rest for a busy machine
    told = f"error: the MLflow server {uri} does not answer; start it (mlflow server) or name another --tracking-uri\n"
    assert capsys.readouterr().err == told


def test_a_server_that_refuses_is_not_called_silent(capsys: pytest.CaptureFixture[str]) -> None:
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:  # 501 to everything
        threading.Thread(target=server.serve_forever, daemon=True).start()
        assert main(["table", "--tracking-uri", f"http://127.0.0.1:{server.server_port}"]) == 2
        server.shutdown()
    error = capsys.readouterr().err.splitlines()[-1]  # the lines before are the server's own
    assert error.startswith(f"error: cannot read the tracking URI http://127.0.0.1:{server.server_port} (")
    assert "501" in error


def test_an_error_shows_no_password(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["table", "--tracking-uri", "postgresql://me:s3cret@127.0.0.1:1/x"]) == 2
    error = capsys.readouterr().err
    assert "postgresql://me:***@127.0.0.1:1/x" in error
    assert "s3cret" not in error


def test_analysis_needs_neither_training_code_nor_mlflow_for_its_help(tmp_path: Path) -> None:
    code = (
        "import sys, importlib, pkgutil, analysis, analysis.__main__\n"
        "try: analysis.__main__.main(['--help'])\n"
        "except SystemExit: pass\n"
        "slow = {'mlflow', 'pandas', 'matplotlib'} & set(sys.modules)\n"
        "for one in pkgutil.walk_packages(analysis.__path__, 'analysis.'): importlib.import_module(one.name)\n"
        "import mlflow\n"
        "ours = {name for name in sys.modules if name.startswith(('experiments.', 'groie'))}\n"
        "print(slow, sorted(ours), {'torch', 'mmdet', 'mmcv', 'mmengine', 'hydra', 'omegaconf'} & set(sys.modules))\n"
    )
    modules = "commands declared errors factors files names parsers passwords seeds sentences sqlite_uri sweep_file"
    of_trials = ("trial", "trial.detections", "trial.matches")
    light = [f"experiments.{module}" for module in (*modules.split(), *of_trials)]
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(ROOT)}, cwd=tmp_path, text=True,
        capture_output=True, check=True,
    )  # fmt: skip
    assert done.stdout.splitlines()[-1] == f"set() {light} set()"


def test_a_single_figure_has_the_colours_of_the_whole_study(declared_recorder: Recorder, tmp_path: Path) -> None:
    """The curves of a table's figure, asked for alone, look as in the paper's study."""
    assert declared_sweep(declared_recorder, "figure", "--sweep", "table2", "--out", str(tmp_path / "alone.svg")) == 0
    assert declared_sweep(declared_recorder, "paper", "--out", str(tmp_path / "study")) == 0
    (beside,) = [
        path
        for path in (tmp_path / "study").glob("*.svg")
        if path.read_bytes() == (tmp_path / "alone.svg").read_bytes()
    ]
    assert beside.stem == "figure4"
