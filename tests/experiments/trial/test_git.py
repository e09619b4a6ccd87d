"""What git tells of the source, whatever is set around it: compared with trees of files, read without git."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from experiments.trial import git, programs
from tests.support.repositories import ask_git, repository, write


def test_clean_tree_and_unknown_files(tmp_path: Path) -> None:
    project = repository(tmp_path / "project", {"a.txt": b"a\n", ".gitignore": b"*.log\n"})
    commit = ask_git(project, "rev-parse", "HEAD")
    assert git.source(project) == git.Source(commit)
    assert git.commit(project) == (commit, None)
    new = ("größe 数.txt", "line\nbreak.txt", 'quoted "so".txt', "with space.txt")
    write(project, dict.fromkeys((*new, "ignored.log"), b""))
    (project / os.fsdecode("latin-ß.txt".encode("latin-1"))).touch()
    source = git.source(project)
    assert (source.dirty, source.difference, source.sha256) == (True, b"", None)
    assert sorted(source.untracked) == sorted((*new, "latin-\N{REPLACEMENT CHARACTER}.txt"))


def test_folder_within_another_repository_has_no_commit_and_shows_nothing_of_it(tmp_path: Path) -> None:
    """As where a zip of this project was unpacked in a repository of somebody's own."""
    outer = repository(tmp_path / "outer", {"secret.txt": b"a\n", "project/run.py": b"a\n"})
    write(outer, {"secret.txt": b"password\n", "unknown.txt": b"", "project/run.py": b"b\n"})
    place = f"{outer}/project is inside the git repository {outer}, but is not a repository itself"
    reason = f"the commit is not recorded: {place}"
    assert git.source(outer / "project") == git.Source(troubles=(reason,))
    assert git.commit(outer / "project") == (None, reason)


def test_worktrees_and_links_are_the_project_itself(tmp_path: Path) -> None:
    project = repository(tmp_path / "project", {"a.txt": b"a\n"})
    commit = ask_git(project, "rev-parse", "HEAD")
    ask_git(project, "worktree", "add", "--quiet", "--detach", str(tmp_path / "of its own"))
    (tmp_path / "link").symlink_to(project)
    (tmp_path / "parents").symlink_to(tmp_path)
    for root in (tmp_path / "of its own", tmp_path / "link", tmp_path / "parents" / "project"):
        assert git.source(root) == git.Source(commit)


def test_no_repository_and_no_commit(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    reason = f"the commit is not recorded: {tmp_path}/plain is not in a git repository"
    assert git.source(tmp_path / "plain").troubles == (reason,)
    ask_git(tmp_path, "init", "--quiet", "new")
    reason = f"the commit is not recorded: the git repository {tmp_path}/new has no commit yet"
    assert git.source(tmp_path / "new").troubles == (reason,)


@pytest.mark.skipif(os.getuid() != 0, reason="only root gives a folder to another user")
def test_repository_of_another_user_is_named_with_the_command_that_trusts_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = repository(tmp_path / "its project", {"a.txt": b"a\n"})
    commit = ask_git(project, "rev-parse", "HEAD")
    for path in (project, project / ".git"):
        os.chown(path, 12345, 12345)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "settings"))
    (trouble,) = git.source(project).troubles
    told, _, remedy = trouble.rpartition("; to trust it: ")
    assert told == f"the commit is not recorded: git does not trust {project}, which another user owns"
    subprocess.run(remedy, shell=True, check=True)
    assert git.source(project).commit == commit


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The only folder in which programs are found."""
    folder = tmp_path / "path"
    folder.mkdir()
    for program in ("sh", "sleep"):
        found = shutil.which(program)
        assert found is not None
        (folder / program).symlink_to(found)
    monkeypatch.setenv("PATH", str(folder))
    return folder


def test_no_git(path: Path, tmp_path: Path) -> None:
    assert git.source(tmp_path).troubles == ("the commit is not recorded: git is not installed",)


def fake_git(path: Path, script: str) -> None:
    (path / "git").write_text(f"#!/bin/sh\n{script}\n")
    (path / "git").chmod(0o755)


def test_git_that_hangs_is_ended_with_its_children(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(git, "SECONDS", 0.3)
    fake_git(path, f"sleep 600 & echo $! > {tmp_path}/child; wait")
    assert git.source(tmp_path).troubles == ("the commit is not recorded: git did not answer within 0.3 s",)
    child = Path("/proc", (tmp_path / "child").read_text().strip(), "stat")
    for _ in range(100):
        if not child.exists() or child.read_text().rpartition(")")[2].split()[0] == "Z":
            return
        time.sleep(0.05)
    raise AssertionError("the child lives")


def test_git_that_fails_is_quoted(path: Path, tmp_path: Path) -> None:
    fake_git(path, "echo 'fatal: bad object HEAD' >&2; exit 128")
    assert git.source(tmp_path).troubles == ("the commit is not recorded: git failed (fatal: bad object HEAD)",)


def test_commit_is_kept_where_the_difference_cannot_be_found(tmp_path: Path) -> None:
    """Here because a filter fails, as that of large files does where it is not installed."""
    project = repository(tmp_path / "project", {"a.txt": b"a\n"})
    ask_git(project, "config", "filter.lfs.clean", "false")
    ask_git(project, "config", "filter.lfs.required", "true")
    write(project, {".git/info/attributes": b"*.txt filter=lfs\n", "a.txt": b"changed\n"})
    source = git.source(project)
    assert (source.commit, source.dirty) == (ask_git(project, "rev-parse", "HEAD"), True)
    (trouble,) = source.troubles
    assert trouble.startswith("the difference from the commit is not recorded: git failed (")


def test_of_a_huge_difference_size_and_hash_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = repository(tmp_path / "project", {"a.bin": b""})
    write(project, {"a.bin": os.urandom(200_000)})
    whole = git.source(project)
    assert (whole.troubles, len(whole.difference) > 200_000) == ((), True)
    monkeypatch.setattr(programs, "MOST", 100_000)
    part = git.source(project)
    assert (part.commit, part.dirty, part.difference, part.sha256) == (whole.commit, True, b"", whole.sha256)
    (trouble,) = part.troubles
    assert trouble.endswith(f"; only its SHA-256 is kept: {whole.sha256}")


def test_of_many_unknown_files_the_first_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = repository(tmp_path / "project", {"a.txt": b""})
    write(project, {f"{number:03d}": b"" for number in range(30)})
    monkeypatch.setattr(git, "NAMED", 10)
    source = git.source(project)
    assert source.untracked == tuple(f"{number:03d}" for number in range(10))
    assert source.troubles == ("30 files in the tree are untracked; the first 10 are listed",)
    monkeypatch.setattr(programs, "MOST", 119)
    source = git.source(project)
    assert (source.dirty, source.untracked) == (True, ())
    assert source.troubles == ("too many files in the tree are untracked, so none is listed",)
