"""Finds what is missing in a trial's folder, records of epochs or matches, and restores records from a checkpoint.

A trial is FINISHED when its last epoch is recorded. Code that shows, plans, exports or delivers a trial asks here
whether its records are complete, and whether the step after the last epoch (`experiments.training.decisions`) was done.
"""

import shlex
import zipfile
from dataclasses import dataclass

from experiments import names
from experiments.console import console
from experiments.paths import TrialPaths
from experiments.reading import DamagedError, content
from experiments.sentences import shown
from experiments.trial import attempts, checkpoints, described, journal
from experiments.trial.attempts import Attempt
from experiments.trial.journal import Journal, Record

NOT_YET = "not made yet"
LONGEST = 1000  # characters of a reason that are shown


@dataclass(frozen=True)
class Lacks:
    """What is missing in a trial's folder; None for a part that exists or is not due yet."""

    records: str | None  # what is wrong with the journal: "lacks epochs 2 to 12 of 12"
    matches: str | None  # why a finished trial has no matches, although it has its detections


def of(paths: TrialPaths) -> Lacks:
    """Returns what is missing in a trial's folder."""
    return lacks(paths, _epochs(paths), attempts.last(paths.root), journal.so_far(paths.journal))


def lacks(paths: TrialPaths, epochs: int, attempt: Attempt | None, found: Journal) -> Lacks:
    """Returns what is missing in a trial's folder, from files that were already read.

    Args:
        paths: of the trial.
        epochs: their number in the whole training.
        attempt: its last.
        found: the content of its journal.
    """
    if attempt is None or attempt.state != names.FINISHED:
        return Lacks(found.damage, None)
    return Lacks(_flaw(found, epochs, attempt.journal), _unmatched(paths, found))


def _flaw(found: Journal, epochs: int, digest: str | None) -> str | None:
    """Returns what is wrong with the journal of a finished trial."""
    missing = [epoch for epoch in range(1, epochs + 1) if epoch not in found.complete]
    if found.damage:
        return found.damage
    if missing:
        return f"lacks {_listed(missing)} of {epochs}"
    if len(found.complete) > epochs:
        return f"has {_listed(sorted(found.complete)[epochs:])} of {epochs}"
    if digest is not None and journal.digest(_in_order(found)) != digest:
        return "was changed since the trial finished"
    return None


def _listed(epochs: list[int]) -> str:
    if len(epochs) == 1:
        return f"epoch {epochs[0]}"
    if epochs == list(range(epochs[0], epochs[-1] + 1)):
        return f"epochs {epochs[0]} to {epochs[-1]}"
    return f"epochs {', '.join(map(str, epochs))}"


def _unmatched(paths: TrialPaths, found: Journal) -> str | None:
    if not paths.detections.exists():  # no detections, so no matches can be made
        return None
    last = found.complete[max(found.complete)]["metrics"] if found.complete else {}
    # Trials of earlier versions have their errors among the metrics of the last epoch.
    told = paths.errors.exists() or names.error_metric("bbox", names.ERROR_KINDS[0]) in last
    if told and paths.matches.exists():
        return f"{', '.join(damaged)} damaged" if (damaged := _damaged(paths)) else None
    if not paths.unmatched.exists():
        return NOT_YET
    return shown(content(paths.unmatched).decode(errors="replace"), LONGEST)


def without_damaged_matches(paths: TrialPaths) -> None:
    """Removes matches and errors that cannot be read; they can be made again from the detections."""
    for name in _damaged(paths):
        (paths.root / name).unlink()


def _damaged(paths: TrialPaths) -> list[str]:
    found = [paths.matches.name] if paths.matches.exists() and not zipfile.is_zipfile(paths.matches) else []
    if paths.errors.exists():
        try:
            journal.point(paths.errors)
        except DamagedError:
            found.append(paths.errors.name)
    return found


def seal(paths: TrialPaths) -> str:
    """Returns the digest of the records of a trial that has just finished; repairs its journal first if necessary.

    Raises DamagedError where that is not possible.
    """
    _mend(paths, _epochs(paths), None)
    return journal.digest(_in_order(journal.so_far(paths.journal)))


def restore(paths: TrialPaths, dry: bool = False) -> str | None:
    """Repairs the journal of a finished trial from a checkpoint, where records are missing or changed.

    Args:
        paths: of the trial.
        dry: whether to write nothing.

    Returns a sentence about what was or would be repaired. Raises DamagedError where no checkpoint has the records.
    """
    attempt = attempts.last(paths.root)
    if attempt is None or attempt.state != names.FINISHED:
        return None
    return _mend(paths, _epochs(paths), attempt.journal, dry)


def _mend(paths: TrialPaths, epochs: int, digest: str | None, dry: bool = False) -> str | None:
    flaw = _flaw(journal.so_far(paths.journal), epochs, digest)
    if flaw is None:
        return None
    for path in (paths.work / f"epoch_{epochs}.pth", paths.work / checkpoints.BEST):
        records = checkpoints.records(path)
        steps = [record["step"] for record in records]
        if steps == list(range(1, epochs + 1)) and digest in (None, journal.digest(records)):
            mended = f"{paths.journal.name} {flaw}: repaired from {path.name}"
            if not dry:
                journal.write(paths.journal, records)
                console.print(f"{paths.root.name}: {mended}", style="yellow", markup=False)
            return mended
    overrides = shlex.join(described.without_record(paths)[names.OVERRIDES])
    raise DamagedError(
        paths.journal,
        f"{flaw}, and {paths.work} has no checkpoint with the records of all epochs to repair it from",
        f"restore the file from a copy, or train the trial again: python run.py {overrides} rerun=true",
    )


def _in_order(found: Journal) -> list[Record]:
    return [found.complete[epoch] for epoch in sorted(found.complete)]


def _epochs(paths: TrialPaths) -> int:
    epochs: int = described.without_record(paths)["epochs"]
    return epochs
