"""What a user sees when set-up cannot start: one sentence with the remedy, exit code 2, nothing made."""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from setup import bootstrap, environment, preconditions
from setup.preconditions import DiskFullError, SetupError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone with nothing but the set-up in it."""
    shutil.copytree(ROOT / "setup", tmp_path / "clone" / "setup", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "Makefile", tmp_path / "clone")
    return tmp_path / "clone"


def start(clone: Path, code: str = "from setup.bootstrap import main", **variables: str) -> subprocess.CompletedProcess:
    """Starts set-up in the clone, after `code`, with an empty cache of wheels."""
    return subprocess.run(
        [sys.executable, "-c", f"import sys; {code}; sys.exit(main())"],
        cwd=clone,
        env=os.environ | {"XDG_CACHE_HOME": str(clone.parent / "cache"), "PYTHONPATH": ""} | variables,
        capture_output=True,
        text=True,
        timeout=60,
    )


def assert_sentence(result: subprocess.CompletedProcess, clone: Path, *parts: str) -> None:
    assert result.returncode == 2, result
    assert result.stderr.startswith("error: "), result.stderr
    assert result.stderr.count("\n") == 1, result.stderr
    for part in parts:
        assert part in result.stderr
    assert not (clone / ".venv").exists()


def test_old_pythons_can_read_the_entry_point() -> None:
    for name in ("__init__.py", "bootstrap.py"):
        tree = ast.parse((ROOT / "setup" / name).read_text(), feature_version=(3, 6))
        imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
        assert [alias.name for node in imports for alias in node.names] in ([], ["sys"])


@pytest.mark.parametrize("version", [(3, 6), (3, 10), (3, 13)])
def test_a_python_that_cannot_be_used_is_named_with_those_that_can(version: tuple[int, int]) -> None:
    sentence = bootstrap.wrong_python(version)
    assert sentence is not None
    assert f"Python {version[0]}.{version[1]} " in sentence
    assert "need 3.11 or 3.12" in sentence
    assert "make PYTHON=" in sentence


@pytest.mark.parametrize("version", [(3, 11), (3, 12)])
def test_supported_pythons_pass(version: tuple[int, int]) -> None:
    assert bootstrap.wrong_python(version) is None


def test_a_wrong_python_ends_before_anything_is_made(clone: Path) -> None:
    result = start(clone, "from setup import bootstrap; bootstrap.SUPPORTED = ((2, 7),); main = bootstrap.main")
    assert_sentence(result, clone, "apt-get install python3.11")


@pytest.mark.parametrize("name", ["python3.10", "python3.13"])
def test_make_says_so_on_a_real_unsupported_python(clone: Path, name: str) -> None:
    if shutil.which(name) is None or subprocess.run([name, "-c", ""], capture_output=True).returncode:
        pytest.skip(f"no {name} on this machine")
    result = subprocess.run(["make", f"PYTHON={name}", "test"], cwd=clone, capture_output=True, text=True)
    assert result.returncode == 2
    assert f"error: Python {name.removeprefix('python')} " in result.stderr
    assert "Traceback" not in result.stderr


def test_no_compiler_on_the_path(clone: Path) -> None:
    result = start(clone, PATH="", CXX="")
    assert_sentence(result, clone, "No C++ compiler", "neither g++, c++ nor clang++", "apt-get install g++")


def test_a_compiler_named_in_cxx_must_exist(clone: Path) -> None:
    assert_sentence(start(clone, CXX="no-such-c++ -m64"), clone, "CXX=no-such-c++ -m64 is not a program")


def test_a_compiler_named_in_cxx_is_taken_before_those_on_the_path() -> None:
    assert preconditions.find_compiler({"CXX": f"{sys.executable} -x", "PATH": ""}) == f"{sys.executable} -x"


def test_missing_python_headers(clone: Path, tmp_path: Path) -> None:
    code = f"import sysconfig; sysconfig.get_path = lambda name: {str(tmp_path)!r}; from setup.bootstrap import main"
    result = start(clone, code, CXX=sys.executable)
    assert_sentence(result, clone, f"there is no {tmp_path / 'Python.h'}", "-dev)")


def test_no_ensurepip_as_on_debian(clone: Path) -> None:
    code = (
        "import importlib.util as u; find = u.find_spec; "
        "u.find_spec = lambda name: None if name == 'ensurepip' else find(name); from setup.bootstrap import main"
    )
    package = f"python{sys.version_info.major}.{sys.version_info.minor}-venv"
    assert_sentence(start(clone, code), clone, "cannot make virtual environments", f"apt-get install {package}")


def test_too_small_a_disk(clone: Path) -> None:
    code = (
        "from setup import preconditions; preconditions.free_gb = lambda folder: 1.25; from setup.bootstrap import main"
    )
    needed, there = f"set-up needs at least {preconditions.NEEDED_GB:g} GB ", f"in {clone} and 1.2 GB are free"
    assert_sentence(start(clone, code), clone, "Too little disk space", needed, there, "larger disk")


def test_a_cached_wheel_needs_neither_compiler_nor_headers(clone: Path) -> None:
    # It gets as far as the first command, which is replaced by one that fails.
    code = (
        "from setup import environment, preconditions; environment.find_wheels = lambda key: [key]; "
        "environment.run = lambda job: (_ for _ in ()).throw(preconditions.SetupError(job.title)); "
        "from setup.bootstrap import main"
    )
    result = start(clone, code, PATH="", CXX="")
    assert result.returncode == 2
    assert result.stderr == "error: virtual environment\n"


@pytest.mark.parametrize("raised", [DiskFullError(ROOT), OSError(28, "No space left on device")])
def test_a_disk_that_becomes_full_gets_back_what_was_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], raised: Exception
) -> None:
    def make() -> None:
        (tmp_path / ".venv" / "setup").mkdir(parents=True)
        raise raised

    monkeypatch.setattr(environment, "ROOT", tmp_path)
    monkeypatch.setattr(environment, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(environment, "STAMP", tmp_path / ".venv" / "setup" / "stamp")
    monkeypatch.setattr(environment, "make", make)
    monkeypatch.setattr(environment.signal, "signal", lambda *_: None)
    assert environment.ensure() == 2
    assert "Too little disk space" in capsys.readouterr().err
    assert not (tmp_path / ".venv").exists()


def test_a_failed_step_leaves_no_stamp(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*jobs: object) -> None:
        raise SetupError("The first step failed.")

    for name, value in {"ROOT": tmp_path, "VENV": tmp_path / ".venv", "STAMP": tmp_path / ".venv/setup/stamp"}.items():
        monkeypatch.setattr(environment, name, value)
    monkeypatch.setattr(environment, "run", fail)
    monkeypatch.setattr(environment, "find_wheels", lambda key: [Path(key)])
    monkeypatch.setattr(environment.signal, "signal", lambda *_: None)
    assert environment.ensure() == 2
    assert capsys.readouterr().err == "error: The first step failed.\n"
    assert not environment.is_current()


def test_a_linked_environment_of_another_clone_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other" / "setup"
    other.mkdir(parents=True)
    (other / "stamp").write_text("of another lock")
    (tmp_path / ".venv").symlink_to(other.parent)
    test_a_failed_step_leaves_no_stamp(tmp_path, monkeypatch, capsys)
    assert (other / "stamp").read_text() == "of another lock"
    assert not (tmp_path / ".venv").is_symlink()


def test_the_stamp_counts_for_one_lock_and_one_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock, stamp, python = tmp_path / "lock", tmp_path / "stamp", tmp_path / "bin" / "python"
    python.parent.mkdir()
    for name, value in {"LOCK": lock, "STAMP": stamp, "VENV": tmp_path}.items():
        monkeypatch.setattr(environment, name, value)
    lock.write_text("torch==1\n")
    python.touch()
    assert not environment.is_current()
    stamp.write_text(environment.fingerprint())
    assert environment.is_current()
    lock.write_text("torch==2\n")
    assert not environment.is_current()
    stamp.write_text(environment.fingerprint())
    monkeypatch.setattr(environment.sys, "version_info", type("V", (), {"major": 3, "minor": 99}))
    assert not environment.is_current()


def test_set_up_that_is_current_is_silent_and_quick(clone: Path) -> None:
    code = (
        "from setup import environment as e; e.STAMP.parent.mkdir(parents=True); e.STAMP.write_text(e.fingerprint()); "
        "(e.VENV / 'bin').mkdir(); (e.VENV / 'bin' / 'python').touch(); from setup.bootstrap import main"
    )
    result = start(clone, code)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_help_tells_every_target(clone: Path) -> None:
    told = subprocess.run(["make"], cwd=clone, capture_output=True, text=True, check=True).stdout
    for target in ("help", "setup", "demo", "test", "check", "fix", "ui"):
        assert f"make {target} " in told
