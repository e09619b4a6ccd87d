"""The provenance of an attempt: no error there ends a trial, and unknown parts are named."""

import platform
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from experiments import names
from experiments.__main__ import main
from experiments.commands import Place
from experiments.data import datasets
from experiments.mlflow_store.runs import Store, deliver
from experiments.paths import TrialPaths
from experiments.trial import attempts, git, provenance
from tests.support import harness, prepared
from tests.support.repositories import LATIN, ask_git, repository
from tests.support.running import Fake

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TrialPaths:
    monkeypatch.setattr(datasets, "facts", lambda config: {"val": {"unreadable": "not asked for"}})
    return prepared.folder(tmp_path / "outputs")


def noted(trial: TrialPaths) -> dict[str, Any]:
    """Has an attempt note its provenance and returns that, which its reader takes."""
    provenance.note(trial, harness.settings(), 1)
    return provenance.read(trial, 1)


def breaks(*_: object, **__: object) -> Any:
    raise RuntimeError("it is\nbroken \x1b[31m \udcff")


def test_file_with_bytes_that_are_no_text_is_noted_and_its_patch_kept_as_it_is(
    trial: TrialPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = repository(tmp_path / "project", {"notes.txt": b"a\r\n"})
    (project / "notes.txt").write_bytes(b"a\r\n" + LATIN)
    monkeypatch.setattr(git, "source", partial(git.source, project))
    known = noted(trial)
    assert (known["source"]["dirty"], known["lacking"]) == (True, [])
    patch = trial.difference(1).read_bytes()
    assert b" a\r\n+" + LATIN in patch
    assert known["source"]["difference"] == patch.decode(errors="replace")
    ask_git(project, "checkout", "--quiet", ".")
    ask_git(project, "apply", str(trial.difference(1)))
    assert (project / "notes.txt").read_bytes() == b"a\r\n" + LATIN


@pytest.mark.parametrize(
    ("place", "name", "sentence"),
    [
        (git, "source", "the source is not recorded: RuntimeError: it is broken [31m"),
        (provenance, "packages", "the packages are not recorded: RuntimeError: it is broken [31m"),
        (platform, "node", "the machine's host is not recorded: RuntimeError: it is broken [31m"),
        (platform, "platform", "the machine's system is not recorded: RuntimeError: it is broken [31m"),
        (datasets, "facts", "the data are not recorded: RuntimeError: it is broken [31m"),
    ],
)
def test_unknown_parts_of_the_provenance_are_named(
    trial: TrialPaths, monkeypatch: pytest.MonkeyPatch, place: Any, name: str, sentence: str
) -> None:
    """In the file and in the run's tag; all else is there."""
    whole = noted(trial)
    monkeypatch.setattr(place, name, breaks)
    known = noted(trial)
    assert known["lacking"] == [sentence]
    assert provenance.tags(known)[names.NOT_RECORDED] == sentence
    assert known.keys() == whole.keys()
    assert known["machine"].keys() == whole["machine"].keys()
    (differing,) = (key for key in whole if known[key] != whole[key] and key != "lacking")
    assert differing in ("source", "packages", "machine", "data")


def test_gpu_whose_driver_does_not_answer(trial: TrialPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    monkeypatch.setattr("torch.cuda.get_device_name", breaks)
    known = noted(trial)
    assert known["machine"]["gpus"] == []
    assert known["lacking"] == ["the machine's gpus is not recorded: RuntimeError: it is broken [31m"]


def test_nvidia_smi_that_is_not_there(trial: TrialPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda number: "Some GPU")
    monkeypatch.setattr(git, "source", lambda: git.Source("c" * 40))
    monkeypatch.setenv("PATH", str(tmp_path))
    known = noted(trial)
    assert (known["machine"]["gpus"], known["machine"]["driver"]) == (["Some GPU"], None)
    assert known["lacking"] == ["the GPUs' driver is not recorded: ProgramError: nvidia-smi is not installed"]


def test_packages_with_broken_metadata_are_left_out_and_counted(
    trial: TrialPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, content in (("empty", None), ("latin", b"Name: " + LATIN), ("nameless", b"Version: 1\n")):
        folder = tmp_path / "site" / f"{name}-1.dist-info"
        folder.mkdir(parents=True)
        if content is not None:
            (folder / "METADATA").write_bytes(content)
    good = tmp_path / "site" / "good-2.dist-info"
    good.mkdir()
    (good / "METADATA").write_bytes(b"Name: good\nVersion: 2\n")
    monkeypatch.syspath_prepend(tmp_path / "site")
    known = noted(trial)
    assert known["packages"]["good"] == "2"
    assert "torch" in known["packages"]
    assert known["lacking"] == ["the versions of 3 installed packages are not recorded: their metadata are broken"]


def test_undecodable_words_are_noted(trial: TrialPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["run.py", "dataset.root=/gr\udcf6\udcdfe"])
    monkeypatch.setenv("SLURM_JOB_NAME", "gr\udcf6")
    known = noted(trial)
    assert known["command"] == ["run.py", "dataset.root=/gr??e"]
    assert known["environment"]["SLURM_JOB_NAME"] == "gr?"


def test_provenance_that_cannot_be_written_is_said(trial: TrialPaths, capsys: pytest.CaptureFixture[str]) -> None:
    trial.provenance(1).parent.write_text("in the way")
    provenance.note(trial, harness.settings(), 1)
    assert f"{trial.root.name}: its provenance is not recorded: " in capsys.readouterr().out


def test_tag_of_the_run(trial: TrialPaths, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gone from there once an attempt knows all."""
    outputs = trial.root.parents[1]
    (outputs / "mlflow.db").write_bytes(empty_store.read_bytes())
    place = Place(outputs, harness.store(outputs), names.EXPERIMENT)
    unknown = git.Source(troubles=("the commit is not recorded: git is not installed",))
    for number, source in enumerate((unknown, git.Source("c" * 40)), 1):
        attempts.claim(trial.root, "1 x cpu").update(status=names.KILLED, ended=1.0)
        monkeypatch.setattr(git, "source", lambda source=source: source)
        provenance.note(trial, harness.settings(), number)
        deliver(Store(place), trial)
        (run,) = harness.runs(outputs)
        assert run.data.tags[names.COMMIT] == (source.commit or "none")[:12]
        assert run.data.tags.get(names.NOT_RECORDED, "") == "; ".join(source.troubles)


def test_sweep_without_git_says_so_once_and_trains(
    fake: Fake, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "sh").symlink_to("/bin/sh")
    done = fake.run({150: "finish", 151: "finish"}, environment={"PATH": str(tmp_path)})
    assert done.code == 0, done.stdout + done.stderr
    reason = "the commit is not recorded: git is not installed"
    assert done.stdout.splitlines().count(f"note: {reason}") == 1
    for seed in (150, 151):
        (run,) = fake.runs(seed)
        assert (run.data.tags[names.COMMIT], run.data.tags[names.NOT_RECORDED]) == ("none", reason)
    assert main(["reproduce", "s150-", "--output-dir", str(fake.outputs)]) == 0
    told = capsys.readouterr()
    assert f"note: then: {reason}\n" in told.err
    assert "git checkout" not in told.out
