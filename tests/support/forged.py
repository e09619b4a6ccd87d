"""Forged archives: the files of a good one, changed, with a manifest that fits them or does not."""

import hashlib
import io
import json
import random
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from experiments.mlflow_store import contents, texts
from experiments.paths import OutputPaths
from experiments.planning import estimate
from experiments.transfer import archive, imports
from experiments.trial import origin, status
from experiments.trial.journal import Reader

Files = dict[str, bytes]
Edit = Callable[[Files], None]  # changes the files of an archive, under "T/" those of its trial
Members = list[tuple[zipfile.ZipInfo, bytes]]


def write(path: Path, files: Files, edit: Edit = lambda files: None, **manifest: Any) -> None:
    """Writes an archive of changed files with a manifest that fits them but for what is given."""
    trial = next(name for name in files if name.startswith("trials/")).split("/")[1]
    short = {name.replace(f"trials/{trial}/", "T/"): content for name, content in files.items()}
    told = json.loads(short.pop("manifest.json"))
    edit(short)
    changed = {name.replace("T/", f"trials/{trial}/", 1): content for name, content in short.items()}
    told["files"] = {name: fact(content) for name, content in changed.items()}
    pack(path, [(zipfile.ZipInfo(name), content) for name, content in changed.items()], {**told, **manifest})


def fact(content: bytes) -> dict[str, Any]:
    """Returns what a manifest says of a file."""
    return {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def pack(path: Path, members: Members, manifest: object) -> None:
    with zipfile.ZipFile(path, "w") as zipped:
        for member, content in [*members, (zipfile.ZipInfo("manifest.json"), as_bytes(manifest))]:
            zipped.writestr(member, content, member.compress_type)


def as_bytes(content: object) -> bytes:
    return content if isinstance(content, bytes) else json.dumps(content).encode()


def add(name: str, content: object = b"x") -> Edit:
    """Adds a file, or puts another in its place."""
    return lambda files: files.update({name: as_bytes(content)})


def remove(name: str) -> Edit:
    return lambda files: files.pop(name) and None


def change(name: str, **changes: Any) -> Edit:
    """Changes keys of a JSON object."""
    return lambda files: files.update({name: as_bytes({**json.loads(files[name]), **changes})})


def append(name: str, line: object) -> Edit:
    """Adds a line of JSON."""
    return lambda files: files.update({name: files[name] + as_bytes(line) + b"\n"})


def shorten(name: str) -> Edit:
    """Takes the last line out of a file."""
    return lambda files: files.update({name: b"".join(files[name].splitlines(keepends=True)[:-1])})


def as_earlier(files: Files) -> None:
    """Makes of it what an earlier version exported: errors in the journal, and no digest of the journal."""
    errors = json.loads(files.pop("T/errors.json"))["metrics"]
    *lines, last = files["T/journal.jsonl"].splitlines()
    record = json.loads(last)
    record["metrics"] |= errors
    files["T/journal.jsonl"] = b"\n".join([*lines, as_bytes(record), b""])
    attempt = json.loads(files["T/attempts/0001.json"])
    del attempt["journal"]
    files["T/attempts/0001.json"] = as_bytes(attempt)


def arrays(**found: np.ndarray) -> bytes:
    """Returns an npz file, with pickles where arrays hold objects."""
    content = io.BytesIO()
    np.savez_compressed(content, **found)
    return content.getvalue()


def array_bomb() -> bytes:
    """Returns an npz file of some bytes that says it holds an exabyte."""
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "<f8", "fortran_order": False, "shape": (2**57,)})
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as zipped:
        zipped.writestr("bbox/score.npy", head.getvalue())
    return content.getvalue()


def accepted(file: Path, folder: Path) -> bool:
    """Returns whether an archive would be imported; fails where it would be, and a reader of trials breaks off."""
    outputs = OutputPaths(folder)
    folder.mkdir()
    staging = OutputPaths(folder / "staging")
    staging.root.mkdir()
    try:
        archive.unpack(file, staging.root, 1.0)
        imports._checked(staging, outputs, "sqlite:///runs.db")
    except archive.ArchiveError:
        return False
    for one in status.read(staging):
        assert one.attempt is not None
        texts.note(one.description, staging.root)
        contents.params(one.description)
        contents.tags(one.description)
        contents.points(Reader(one.paths.journal).new_records())
        contents.spent([one.attempt])
        origin.tags(one.paths, one.attempt.number)
    assert "\x1b" not in _printed(status.table(status.read(staging)))
    estimate.measured(staging)
    return True


def _printed(table: Table) -> str:
    console = Console(file=io.StringIO(), width=200)
    console.print(table)
    return console.file.getvalue()  # type: ignore[attr-defined]


STRANGE = [
    None,
    True,
    0,
    -1,
    2**70,
    1.5,
    float("nan"),
    "",
    "x",
    "../x",
    "\x1b[2J",
    [],
    [None],
    {},
    {"x": None},
    {"": {"": 0}},
]


def exchanged(content: Any, draws: random.Random) -> Any:
    """Returns JSON with one of its values exchanged."""
    places = list(content) if isinstance(content, dict) else list(range(len(content)))
    place = draws.choice(places)
    inner = content[place]
    deeper = isinstance(inner, dict | list) and inner and draws.random() < 0.7
    content[place] = exchanged(inner, draws) if deeper else draws.choice(STRANGE)
    return content
