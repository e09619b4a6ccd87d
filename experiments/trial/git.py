"""Asks git for the commit of this project's source and for the uncommitted changes; no other file calls git.

No setting of the user, the repository or the parent process changes git's answers. If git does not answer, the
result says so in a sentence; that is never an error.
"""

import os
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.commands import ROOT
from experiments.trial import programs
from experiments.trial.programs import Answer, ProgramError

SECONDS = 20.0  # before git's answer is given up
NAMED = 1000  # number of untracked files that are listed

# GIT_DIR, GIT_INDEX_FILE and similar variables, which hooks get, name another repository; others change the output.
# The following only say where the settings are, and so which folders git trusts.
KEPT = ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM")
SET = {
    "LC_ALL": "C",  # git's messages are compared below
    "GIT_OPTIONAL_LOCKS": "0",  # only read: the repository may be read-only, or in use
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_NO_LAZY_FETCH": "1",  # from a network
}
GIT = ("git", "-c", "core.quotePath=true", "-c", "core.fsmonitor=false", "-c", "diff.suppressBlankEmpty=false")
# Each overrides a setting with which the difference would not be a patch that `git apply` takes.
PATCH = (
    *("--no-color", "--no-ext-diff", "--no-textconv", "--binary", "--no-renames", "--no-relative", "-O/dev/null"),
    *("--src-prefix=a/", "--dst-prefix=b/", "--unified=3", "--inter-hunk-context=0"),
    *("--submodule=short", "--ignore-submodules=dirty"),
)


@dataclass(frozen=True)
class Source:
    """The source, as far as it is known; a commit of None, or a sentence in `trouble`, means that a part is unknown."""

    commit: str | None = None
    dirty: bool = False  # whether files differ from the commit, or are untracked
    difference: bytes = b""  # a patch that `git apply` takes; empty if it is longer than `programs.MOST`
    sha256: str | None = None  # of the difference, even if it is not kept; None if there is none
    untracked: tuple[str, ...] = ()  # no more than `NAMED`
    troubles: tuple[str, ...] = ()  # a sentence for each unknown part

    def facts(self) -> dict[str, Any]:
        """Returns the fields as JSON values."""
        return {
            "commit": self.commit,
            "dirty": self.dirty,
            "difference": self.difference.decode(errors="replace"),
            "difference_sha256": self.sha256,
            "untracked": list(self.untracked),
        }


def source(root: Path = ROOT) -> Source:
    """Returns the commit of the project at `root` and the uncommitted changes."""
    try:
        commit = _commit(root)
    except ProgramError as error:
        return Source(troubles=(f"the commit is not recorded: {error}",))
    try:
        difference = _git(root, "diff", *PATCH, "HEAD", "--")
        unknown = _git(root, "ls-files", "-z", "--others", "--exclude-standard")
    except ProgramError as error:
        return Source(commit, dirty=True, troubles=(f"the difference from the commit is not recorded: {error}",))
    names = (unknown.content or b"").split(b"\0")[:-1]
    return Source(
        commit,
        dirty=bool(difference.size or unknown.size),
        difference=difference.content or b"",
        sha256=difference.sha256 if difference.size else None,
        untracked=tuple(name.decode(errors="replace") for name in names[:NAMED]),
        troubles=tuple(_too_much(difference, unknown, len(names))),
    )


def commit(root: Path = ROOT) -> tuple[str | None, str | None]:
    """Returns the commit of the project at `root`, or a sentence on why it is unknown."""
    try:
        return _commit(root), None
    except ProgramError as error:
        return None, f"the commit is not recorded: {error}"


def _commit(root: Path) -> str:
    """Returns the commit; ProgramError if it is unknown, or is the commit of a surrounding project."""
    try:
        top = Path(os.fsdecode(_line(_git(root, "rev-parse", "--show-toplevel"))))
    except ProgramError as error:
        if "dubious ownership" in error.complaint or "unsafe repository" in error.complaint:
            trust = f"git config --global --add safe.directory {shlex.quote(str(root))}"
            raise ProgramError(f"git does not trust {root}, which another user owns; to trust it: {trust}") from error
        if "not a git repository" in error.complaint:
            raise ProgramError(f"{root} is not in a git repository") from error
        raise
    if os.path.realpath(top) != os.path.realpath(root):
        raise ProgramError(f"{root} is inside the git repository {top}, but is not a repository itself")
    try:
        return _line(_git(root, "rev-parse", "--verify", "--quiet", "HEAD^{commit}")).decode()
    except ProgramError as error:
        if error.complaint:
            raise
        raise ProgramError(f"the git repository {root} has no commit yet") from error


def _git(root: Path, *arguments: str) -> Answer:
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("GIT_") or key in KEPT}
    return programs.ask(*GIT, "-C", str(root), *arguments, environment={**inherited, **SET}, seconds=SECONDS)


def _line(answer: Answer) -> bytes:
    return (answer.content or b"").removesuffix(b"\n")


def _too_much(difference: Answer, unknown: Answer, named: int) -> list[str]:
    """Returns a sentence for each part that is too large and is kept as a hash or as a shorter list."""
    found = []
    if difference.content is None:
        found.append(
            f"the difference from the commit has {difference.size / 2**20:.1f} MiB, more than the limit of "
            f"{programs.MOST / 2**20:g}; only its SHA-256 is kept: {difference.sha256}"
        )
    if unknown.content is None:
        found.append("too many files in the tree are untracked, so none is listed")
    elif named > NAMED:
        found.append(f"{named} files in the tree are untracked; the first {NAMED} are listed")
    return found
