"""What may become of a trial's files: cut, emptied, overwritten, exchanged for others; and which of it is noticed."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from experiments.paths import TrialPaths
from tests.support import transferred

Damage = Callable[[TrialPaths], Path]  # returns the file that a sentence about it must name


def holding(name: str, content: bytes) -> Damage:
    def damage(paths: TrialPaths) -> Path:
        path = paths.root / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        return path

    return damage


def a_folder(name: str) -> Damage:
    """A folder in a file's place: it cannot be read, also not by who may read everything."""

    def damage(paths: TrialPaths) -> Path:
        path = paths.root / name
        path.unlink(missing_ok=True)
        path.mkdir(parents=True)
        return path

    return damage


def with_json(name: str, **changes: Any) -> Damage:
    def damage(paths: TrialPaths) -> Path:
        transferred.edit_json(paths.root / name, **changes)
        return paths.root / name

    return damage


def lacking(name: str) -> Damage:
    def damage(paths: TrialPaths) -> Path:
        path = paths.root / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        return path

    return damage


DEEP = b'{"a":' * 100_000
GARBAGE = {"empty": b"", "garbage": b"\xff\x00{[", "a list": b"[1, 2]", "deep": DEEP, "half": b'{"number": 1, "ho'}
SMALL = ("trial.json", "attempts/0001.json", "config.yaml", "cost.json")
# A trial with any of these is damaged: it cannot be shown, delivered, exported or trained.
DAMAGES: dict[str, Damage] = {
    **{f"{name} {kind}": holding(name, content) for name in SMALL for kind, content in GARBAGE.items()},
    **{f"{name} unreadable": a_folder(name) for name in (*SMALL, "journal.jsonl")},
    "attempts is a file": lambda paths: (lacking("attempts")(paths), holding("attempts", b"")(paths))[1],
    "config.yaml lost": lacking("config.yaml"),
    "config.yaml of another program": holding("config.yaml", b"tracking: 5\n"),
    "trial of another id": with_json("trial.json", trial_id="another-s0-0123456789"),
    "epochs are a text": with_json("trial.json", epochs="many"),
    "sweeps at no time": with_json("trial.json", sweeps={"sweep.a": "a", "planned.a": "yesterday"}),
    "rows are no list": with_json("trial.json", sweeps={"sweep.a": "a", "rows.a": "{"}),
    "attempt of another number": with_json("attempts/0001.json", number=7),
    "attempt with another status": with_json("attempts/0001.json", status="DONE"),
    "attempt at no time": with_json("attempts/0001.json", started=1e300),
    "attempt on nothing": with_json("attempts/0001.json", device="cpu"),
    "cost without metrics": holding("cost.json", json.dumps({"time": 1, "step": 0}).encode()),
}
# These cost what they say and no more.
FLAWS: dict[str, Damage] = {
    **{
        f"{name} {kind}": holding(name, content)
        for name in ("provenance/0001.json", "sources/0001.json")
        for kind, content in GARBAGE.items()
    },
    "provenance unreadable": a_folder("provenance/0001.json"),
    "sources unreadable": a_folder("sources/0001.json"),
}
# And these nothing at all: they are no file of a trial's, or are not needed once it has ended.
STRANGE: dict[str, Damage] = {
    "1x.json": holding("attempts/1x.json", b"x"),
    "a copy": holding("attempts/0001 (copy).json", b"{}"),
    "five digits from nought": holding("attempts/00002.json", b"{}"),
    "an editor's": holding("provenance/0001.json.swp", b"x"),
    "ending": holding("ending.json", b"\xff"),
    "stop": a_folder("stop"),
    "record empty": holding("record", b""),
    "record garbage": holding("record", b"\xff\xfe"),
    "parts": holding("trial.json.0123.part", b"{"),
}
