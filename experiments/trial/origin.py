"""Finds which source trained which epochs of a trial: the commits, and the files that the training loaded.

Attempts may run on different sources. Tables and commands that show such a result say so.
"""

import hashlib
import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from experiments import names
from experiments.paths import TrialPaths
from experiments.reading import DamagedError, of_json
from experiments.trial import attempts, journal, provenance, sources
from experiments.trial.git import Source
from experiments.trial.sources import LOADED

MOST = 20  # commits that are named of one trial
TAG = 4000  # characters of a tag; MLflow takes 5000 or more
NUMBER = re.compile("[0-9]{4,9}")


@dataclass(frozen=True)
class Part:
    """Epochs that one source trained; if last < first, the attempt has completed no epoch yet."""

    attempt: int  # the last attempt that trained them
    first: int | None  # counted from 1; None if unknown
    last: int
    source: dict[str, Any]  # as `git.Source.facts` returns it
    files: dict[str, str] | None  # as `sources.loaded` returns them; None if unknown

    @property
    def trained(self) -> bool:
        return self.first is None or self.first <= self.last

    @property
    def epochs(self) -> str:
        """Returns the epochs as text: "epochs 1-2", "" if unknown."""
        if self.first is None:
            return ""
        if not self.trained:
            return f"after epoch {self.last}"
        return f"epochs {self.first}-{self.last}" if self.first < self.last else f"epoch {self.last}"

    @property
    def commit(self) -> str:
        return provenance.short(self.source)

    def is_of(self, source: dict[str, Any], files: dict[str, str] | None = None) -> bool:
        """Returns whether its source is the same, as far as is known."""
        known = files is not None and self.files is not None
        return _same(self.source, source) and (files == self.files or not known)


def trained(paths: TrialPaths) -> list[Part]:
    """Returns the sources that trained a trial's epochs, in order."""
    return [one for one in parts(paths) if one.trained]


def parts(paths: TrialPaths) -> list[Part]:
    """Returns the same, and also the source of the newest attempt if it has completed no epoch yet."""
    epochs = journal.complete_epochs(paths.journal)
    begun = [(number, _source(paths, number), _noted(paths, number, epochs)) for number in _numbers(paths)]
    complete = max(epochs, default=0)
    found: list[Part] = []
    for place, (number, source, noted) in enumerate(begun):
        last = min([complete, *(other["after"] for _, _, other in begun[place + 1 :] if other)])
        if noted:
            part = Part(number, noted["after"] + 1, last, source, noted["files"])
        elif last and all(other is None for _, _, other in begun[:place]):  # an earlier version, which recorded nothing
            part = Part(number, None, last, source, None)
        else:  # it ended before its training began
            part = Part(number, last + 1, last, source, None)
        if not part.trained and place < len(begun) - 1:
            continue
        if found and found[-1].is_of(part.source, part.files):
            found[-1] = replace(found[-1], attempt=number, last=last, files=found[-1].files or part.files)
        else:
            found.append(part)
    if found and found[0].first is None and all(one.first is not None for one in found[1:]):
        found[0] = replace(found[0], first=1)
    return found


def _numbers(paths: TrialPaths) -> list[int]:
    """Returns the attempts that have a provenance, in their order."""
    found = (path.stem for path in paths.provenance(1).parent.glob("*.json"))
    return sorted(int(name) for name in found if NUMBER.fullmatch(name))


def _source(paths: TrialPaths, number: int) -> dict[str, Any]:
    """Returns the source of an attempt; an unknown source if its provenance is damaged."""
    try:
        source: dict[str, Any] = provenance.read(paths, number)["source"]
    except DamagedError:
        return Source().facts()
    return source


def _noted(paths: TrialPaths, number: int, epochs: dict[int, journal.Record]) -> dict[str, Any] | None:
    """Returns the files that an attempt's training recorded, None if it recorded nothing.

    If that record is damaged, the attempt's first epoch is found from the times of attempts and epochs.
    """
    if not paths.sources(number).exists():
        return None
    try:
        found, _ = of_json(paths.sources(number), LOADED)
    except DamagedError:
        began = next((one.started for one in attempts.every(paths.root) if one.number == number), math.inf)
        return {"after": sum(epoch["time"] < 1000 * began for epoch in epochs.values()), "files": None}
    return found


def flaws(paths: TrialPaths) -> list[str]:
    """Returns a sentence for each damaged file about a trial's source."""
    found = []
    for number in _numbers(paths):
        try:
            provenance.read(paths, number)
            if paths.sources(number).exists():
                of_json(paths.sources(number), LOADED)
        except DamagedError as error:
            found.append(str(error))
    return found


def _same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one["commit"] == other["commit"] and not differs(one, other)


def differs(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Returns whether two trees have different uncommitted changes; of long changes only the hash is known."""
    kind = "difference_sha256" if "difference_sha256" in one and "difference_sha256" in other else "difference"
    return bool(one[kind] != other[kind])


def tags(paths: TrialPaths, attempt: int) -> dict[str, str]:
    """Returns the tags of a run about the source of its result; none before the attempt has a provenance."""
    if not paths.provenance(attempt).exists():
        return {}
    found = parts(paths)
    files, used = _files(found), _operators(paths)
    try:
        shown = provenance.tags(provenance.read(paths, attempt))
    except DamagedError as error:
        shown = {names.NOT_RECORDED: str(error)}
    return {
        **shown,
        names.COMMIT: commits(found),
        **({names.CODE: _short(files)} if files else {}),
        **({names.OPERATORS: used} if used else {}),
    }


def _operators(paths: TrialPaths) -> str:
    """Returns the packages of NMS and RoIAlign that the attempts used: "groie", or "groie, torchvision 0.28.0"."""
    noted = [_noted(paths, number, {}) for number in _numbers(paths)]
    return ", ".join(dict.fromkeys(one["operators"] for one in noted if one and one.get("operators")))


def commits(found: Sequence[Part]) -> str:
    """Returns the commits: "1f2e3d4c5b6a", of several "1f2e3d4c5b6a (epochs 1-2), 3c4d5e6f7a8b (epochs 3-4)"."""
    if len(found) == 1:
        return found[0].commit
    named = [f"{one.commit} ({one.epochs})" if one.epochs else one.commit for one in found]
    return ", ".join(named if len(named) <= MOST else [*named[: MOST - 1], "...", named[-1]])


def _files(found: Sequence[Part]) -> dict[str, str]:
    """Returns each file's hash; those of several sources in their order, with a comma between."""
    of_file: dict[str, dict[str, None]] = {}
    for part in [one for one in found if one.trained] or found:
        for name, meaning in (part.files or {}).items():
            of_file.setdefault(name, {})[meaning] = None
    return {name: ",".join(meanings) for name, meanings in sorted(of_file.items())}


def _short(files: dict[str, str]) -> str:
    """Returns the hashes as JSON that fits in a tag; for many files, one hash for each folder."""
    text = json.dumps(files, separators=(",", ":"))
    if len(text) <= TAG:
        return text
    folders: dict[str, str] = {}
    for name, meaning in files.items():
        top = name.partition("/")[0] + "/"
        folders[top] = f"{folders.get(top, '')}{name} {meaning}\n"
    text = json.dumps({top: _digest(content) for top, content in folders.items()}, separators=(",", ":"))
    return text if len(text) <= TAG else json.dumps({"/": _digest(text)})


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def changed(found: Sequence[Part]) -> str:
    """Returns a text on the files whose meaning has changed since the training; "" if there are none."""
    return sources.changed(_files(found))


def crossing(found: Sequence[Part], now: dict[str, Any]) -> str:
    """Returns a text on how today's source differs from that of a trial's epochs so far; "" if it does not.

    Args:
        found: the parts that trained epochs.
        now: as `git.Source.facts` returns it.
    """
    if not found:
        return ""
    last, others = found[-1], changed(found)
    where = ""
    if last.source["commit"] != now["commit"]:
        where = f" at commit {provenance.short(now)}; commit {last.commit} trained its last epoch"
    elif not _same(last.source, now):
        where = f" with a changed tree; commit {last.commit} trained its last epoch"
    return where + (f"; {others}" if others else "")
