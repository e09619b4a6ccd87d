"""What git tells of the source, whatever is set around it: compared with trees of files, read without git."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from experiments.record import git, programs

NO_SETTINGS = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
LATIN = "Überschuß und Größe\n".encode("latin-1")


def ask_git(folder: Path, *arguments: str) -> str:
    """Asks git as a test does, without settings and without the code under test."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    who = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "init.defaultBranch=main")
    command = ["git", *who, "-C", str(folder), *arguments]
    done = subprocess.run(command, env={**clean, **NO_SETTINGS}, capture_output=True, check=True)
    return done.stdout.decode().strip()


def repository(folder: Path, content: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True)
    ask_git(folder, "init", "--quiet")
    write(folder, content)
    ask_git(folder, "add", "--all")
    ask_git(folder, "commit", "--quiet", "--message", "First")
    return folder


def write(folder: Path, content: dict[str, bytes]) -> None:
    for name, text in content.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(text)


def tree(folder: Path) -> dict[str, tuple[object, bool]]:
    """Returns what a working tree holds: links as their target, files as their bytes, and whether they can be run."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if ".git" in path.relative_to(folder).parts or (path.is_dir() and not path.is_symlink()):
            continue
        content = os.readlink(path) if path.is_symlink() else path.read_bytes()
        found[path.relative_to(folder).as_posix()] = (content, not path.is_symlink() and os.access(path, os.X_OK))
    return found


LINES = "".join(f"line {number}\n\n" for number in range(40))
BEFORE = {
    "text.py": LINES.encode(),
    "windows.txt": b"one\r\ntwo\r\nthree\r\n",
    "latin.txt": LATIN * 3,
    "no end.txt": b"first\nlast",
    "picture.bin": bytes(range(256)) * 8,
    "sub folder/größe 数.txt": b"a\nb\n",
    "old name.txt": LINES.encode() * 3,
    "removed.txt": b"gone\n",
    "script.sh": b"#!/bin/sh\n",
    "tab\there.txt": b"tab\n",
}
CHANGES = {
    "text.py": LINES.replace("line 3\n", "line three\n").replace("line 20\n", "").encode(),
    "windows.txt": b"one\r\nTWO\r\nthree\r\nmixed\n",
    "latin.txt": LATIN * 2 + "Änderung\n".encode("latin-1"),
    "no end.txt": b"first\nchanged, and no end",
    "picture.bin": bytes(reversed(range(256))) * 8,
    "sub folder/größe 数.txt": b"a\nc\n",
    "new.bin": b"\0\1\2" * 100,
    "tab\there.txt": b"changed\n",
}


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository in which every kind of change was made."""
    folder = repository(tmp_path_factory.mktemp("changed") / "project", BEFORE)
    (folder / "link").symlink_to("text.py")
    ask_git(folder, "add", "--all")
    ask_git(folder, "commit", "--quiet", "--message", "Second")
    write(folder, CHANGES)
    (folder / "link").unlink()
    (folder / "link").symlink_to("windows.txt")
    (folder / "script.sh").chmod(0o755)
    (folder / "removed.txt").unlink()
    ask_git(folder, "mv", "old name.txt", "new name.txt")
    ask_git(folder, "add", "new.bin")
    return folder


@pytest.fixture
def applied(changed: Path, tmp_path: Path) -> Callable[[git.Source], dict[str, tuple[object, bool]]]:
    """Applies a difference to its commit in a new clone, and returns the tree that comes of it."""

    def apply(source: git.Source) -> dict[str, tuple[object, bool]]:
        clone = tmp_path / "clone"
        ask_git(tmp_path, "clone", "--quiet", str(changed), str(clone))
        assert source.commit is not None
        ask_git(clone, "checkout", "--quiet", source.commit)
        (tmp_path / "kept.diff").write_bytes(source.difference)
        ask_git(clone, "apply", str(tmp_path / "kept.diff"))
        return tree(clone)

    return apply


SETTINGS = {
    "none": "",
    "colours": "[color]\nui = always\ndiff = always\n[diff]\ncolorMoved = zebra\nwsErrorHighlight = all\n",
    "no prefix": "[diff]\nnoprefix = true\n",
    "mnemonic prefix": "[diff]\nmnemonicPrefix = true\n",
    "other prefixes": "[diff]\nsrcPrefix = x/\ndstPrefix = y/\n",
    "another program": "[diff]\nexternal = touch ran; false\n",
    "another program for a kind of file": '[core]\nattributesFile = {here}/attributes\n[diff "own"]\ncommand = false\n',
    "conversion to text": '[core]\nattributesFile = {here}/attributes\n[diff "own"]\ntextconv = wc -c\n',
    "binary by attribute": "[core]\nattributesFile = {here}/minus\n",
    "no context": "[diff]\ncontext = 0\n",
    "hunks together": "[diff]\ninterHunkContext = 50\n",
    "blank lines": "[diff]\nsuppressBlankEmpty = true\n",
    "an order that is not there": "[diff]\norderFile = {here}/absent\n",
    "copies": "[diff]\nrenames = copies\n",
    "relative": "[diff]\nrelative = true\n",
    "words": "[diff]\nwordRegex = .\nalgorithm = patience\n",
    "plain names": "[core]\nquotePath = false\n",
    "a monitor": "[core]\nfsmonitor = {here}/absent\n",
    "submodules": "[diff]\nsubmodule = log\nignoreSubmodules = all\n",
    "a pager": "[core]\npager = false\n[pager]\ndiff = true\n",
}


@pytest.mark.parametrize("name", SETTINGS)
def test_difference_is_a_patch_whatever_is_set(
    changed: Path,
    applied: Callable[[git.Source], dict[str, tuple[object, bool]]],
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In the user's settings; those of the repository are weaker than what is asked for in the same way."""
    (tmp_path / "attributes").write_text("* diff=own\n")
    (tmp_path / "minus").write_text("* -diff\n")
    (tmp_path / "settings").write_text(SETTINGS[name].format(here=tmp_path))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "settings"))
    source = git.source(changed)
    assert (source.troubles, source.untracked, source.dirty) == ((), (), True)
    assert applied(source) == tree(changed)
    assert not (changed / "ran").exists()


SURROUNDINGS = {
    "as in a hook": {"GIT_DIR": "{other}/.git", "GIT_INDEX_FILE": "{other}/.git/index", "GIT_PREFIX": ""},
    "another work tree": {"GIT_DIR": "{other}/.git", "GIT_WORK_TREE": "{other}"},
    "another index": {"GIT_INDEX_FILE": "{other}/.git/index"},
    "other objects": {"GIT_OBJECT_DIRECTORY": "{other}/.git/objects", "GIT_COMMON_DIR": "{other}/.git"},
    "another program": {"GIT_EXTERNAL_DIFF": "false", "GIT_PAGER": "false"},
    "options": {"GIT_DIFF_OPTS": "--unified=0"},
    "settings by number": {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "diff.noprefix", "GIT_CONFIG_VALUE_0": "true"},
    "settings in one": {"GIT_CONFIG_PARAMETERS": "'diff.noprefix=true'"},
    "tracing": {"GIT_TRACE": "1", "GIT_TRACE_SETUP": "1"},
    "another language": {"LC_ALL": "de_DE.UTF-8", "LANGUAGE": "de", "LANG": "C"},
    "namespaces": {"GIT_NAMESPACE": "other", "GIT_LITERAL_PATHSPECS": "1"},
}  # fmt: skip


@pytest.mark.parametrize("name", SURROUNDINGS)
def test_environment_leads_to_no_other_repository(
    changed: Path,
    applied: Callable[[git.Source], dict[str, tuple[object, bool]]],
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = repository(tmp_path / "other", {"secret.txt": b"another project's\n"})
    write(other, {"secret.txt": b"changed\n", "unknown.txt": b""})
    for key, value in SURROUNDINGS[name].items():
        monkeypatch.setenv(key, value.format(other=other))
    source = git.source(changed)
    assert source.commit == ask_git(changed, "rev-parse", "HEAD")
    assert (source.troubles, source.untracked) == ((), ())
    assert applied(source) == tree(changed)


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
    reason = f"the commit is not recorded: {outer}/project lies in the git repository {outer} and is none itself"
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
    reason = f"the commit is not recorded: {tmp_path}/plain is in no git repository"
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
    assert git.source(tmp_path).troubles == ("the commit is not recorded: git fails (fatal: bad object HEAD)",)


def test_commit_is_kept_where_the_difference_cannot_be_found(tmp_path: Path) -> None:
    """Here because a filter fails, as that of large files does where it is not installed."""
    project = repository(tmp_path / "project", {"a.txt": b"a\n"})
    ask_git(project, "config", "filter.lfs.clean", "false")
    ask_git(project, "config", "filter.lfs.required", "true")
    write(project, {".git/info/attributes": b"*.txt filter=lfs\n", "a.txt": b"changed\n"})
    source = git.source(project)
    assert (source.commit, source.dirty) == (ask_git(project, "rev-parse", "HEAD"), True)
    (trouble,) = source.troubles
    assert trouble.startswith("what differs from the commit is not recorded: git fails (")


def test_of_a_huge_difference_size_and_hash_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = repository(tmp_path / "project", {"a.bin": b""})
    write(project, {"a.bin": os.urandom(200_000)})
    whole = git.source(project)
    assert (whole.troubles, len(whole.difference) > 200_000) == ((), True)
    monkeypatch.setattr(programs, "MOST", 100_000)
    part = git.source(project)
    assert (part.commit, part.dirty, part.difference, part.sha256) == (whole.commit, True, b"", whole.sha256)
    (trouble,) = part.troubles
    assert trouble.endswith(f" that are kept; its SHA-256 is {whole.sha256}")


def test_of_many_unknown_files_the_first_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = repository(tmp_path / "project", {"a.txt": b""})
    write(project, {f"{number:03d}": b"" for number in range(30)})
    monkeypatch.setattr(git, "NAMED", 10)
    source = git.source(project)
    assert source.untracked == tuple(f"{number:03d}" for number in range(10))
    assert source.troubles == ("of 30 files in the tree that git does not know the first 10 are named",)
    monkeypatch.setattr(programs, "MOST", 119)
    source = git.source(project)
    assert (source.dirty, source.untracked) == (True, ())
    assert source.troubles == ("git does not know so many files in the tree that none of them is named",)
