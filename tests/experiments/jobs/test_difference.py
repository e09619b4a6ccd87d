"""The difference to a commit is a patch that git applies, whatever is set and wherever it is asked for."""

from collections.abc import Callable
from pathlib import Path

import pytest

from experiments.trial import git
from tests.support.repositories import LATIN, ask_git, repository, tree, write

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
