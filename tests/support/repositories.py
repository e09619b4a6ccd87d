"""Git repositories of tests: made, changed, and what is in them."""

import os
import subprocess
from pathlib import Path

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
