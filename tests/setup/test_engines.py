"""What make test-engines needs is told in one sentence where it cannot be had."""

import os
from pathlib import Path

import pytest

from setup import engines
from setup.preconditions import SetupError


def fake_dpkg(folder: Path, monkeypatch: pytest.MonkeyPatch, *installed: str) -> None:
    """Puts a dpkg-query on the PATH, alone but for an apt-get, that knows the packages given."""
    lines = "".join(f"echo '{package} installed'\n" for package in installed)
    for program, script in (("dpkg-query", f"#!/bin/sh\n{lines}echo 'munge not-installed'\nexit 1\n"), ("apt-get", "")):
        (folder / program).write_text(script)
        (folder / program).chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


def test_packages_that_are_missing_or_only_known_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_dpkg(tmp_path, monkeypatch, "slurm-wlm", "mariadb-server", "chromium", "chromium-driver")
    texts = ["texlive-latex-base", "texlive-latex-recommended", "poppler-utils"]
    assert engines.missing_packages() == ["slurm-wlm-basic-plugins", "slurmdbd", "munge", "postgresql", *texts]


def test_system_without_apt_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SetupError, match=r"there is no apt-get here.*Debian 12 container"):
        engines.missing_packages()


def test_who_is_not_root_is_told_what_would_be_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    with pytest.raises(SetupError, match=r"installs munge slurmdbd and starts servers.*must be root"):
        engines.check_root(["munge", "slurmdbd"])


def test_mistake_is_one_sentence_and_exit_code_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert engines.main() == 2
    told = capsys.readouterr().err
    assert told.startswith("error: ")
    assert told.count("\n") == 1


def test_environment_without_the_extras_is_not_current(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = tmp_path / "engines.lock"
    monkeypatch.setattr(engines, "ENGINES", lock)
    lock.write_text("a-package-that-is-nowhere==1.0\n")
    assert not engines.is_current()
    lock.write_text("# nothing\n")
    assert engines.is_current()
