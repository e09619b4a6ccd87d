"""Runs one trial in separate processes, watches its journal, and writes to MLflow."""

import shutil
import time
from dataclasses import asdict
from pathlib import Path

from experiments import names
from experiments.console import console
from experiments.errors import UserError
from experiments.jobs import endings, extra_nodes, matching, nodes, ranks
from experiments.jobs.endings import Outcome
from experiments.jobs.progress import TrialDisplay
from experiments.mlflow_store.runs import Courier
from experiments.paths import TrialPaths
from experiments.planning import resources
from experiments.reading import DamagedError
from experiments.settings import Settings
from experiments.trial import attempts, checkpoints, completeness, described, journal, origin, provenance, stop_requests
from experiments.trial.journal import Reader

POLL_SECONDS = 0.5


def run_trial(folder: Path, launch: Path) -> str:
    """Runs the frozen trial in `folder` after its last complete epoch; returns its state afterwards.

    Then its matches are made; for a finished trial, only these. A transient failure is retried, with at most
    `retry.attempts` attempts in all. Nothing starts if another process owns the trial, or if `launch`, the folder of
    all jobs started together, has a stop file.
    """
    paths = TrialPaths(folder)
    try:
        settings = described.settings(paths)
        with nodes.ended_by_cluster():
            if nodes.is_helper(settings):
                return extra_nodes.run(paths, settings)
            return _run(paths, settings, launch)
    except DamagedError as error:  # the other trials continue
        console.print(f"{folder.name}: {error}", style="red", markup=False)
        return attempts.DAMAGED


def _run(paths: TrialPaths, settings: Settings, launch: Path) -> str:
    if not matching.is_due(paths):
        _train(paths, settings, launch)
    elif stop_requests.asked(paths.root, launch):
        return attempts.state(paths.root)
    if matching.is_due(paths) and stop_requests.asked(paths.root, launch) != stop_requests.NOW:
        matching.make(paths, settings, launch)
    return attempts.state(paths.root)


def _train(paths: TrialPaths, settings: Settings, launch: Path) -> None:
    folder = paths.root
    for _ in range(settings.retry.attempts):
        if stop_requests.asked(paths.root, launch):
            break
        try:
            claim = attempts.claim(folder, resources.device(settings), nodes.job())
        except attempts.TakenError as taken:
            console.print(f"{folder.name}: {taken} in another command; this command skips it")
            break
        outcome = _attempt(claim, paths, settings, launch)
        if not outcome.transient:
            break
    if attempts.state(folder) == names.FAILED and settings.fail_fast:
        stop_requests.ask(launch, stop_requests.DRAIN)


def _attempt(claim: attempts.Claim, paths: TrialPaths, settings: Settings, launch: Path) -> Outcome:
    outcome = Outcome(names.KILLED, "interrupted")
    courier = display = sealed = None
    try:
        description = described.read(paths)
        ranks.end_leftovers(paths, claim.attempt.number)
        _mend(paths)
        paths.ending.unlink(missing_ok=True)
        shutil.rmtree(paths.collected, ignore_errors=True)
        claim.update(rendezvous=nodes.rendezvous(settings))
        _note(paths, settings, claim.attempt.number)
        courier = Courier(settings.place, paths)
        display = TrialDisplay(description, settings.schedule.epochs)
        lacking = resources.lacking_space(settings)
        outcome = (
            Outcome(names.KILLED, lacking) if lacking else _supervise(claim, paths, settings, launch, courier, display)
        )
        if outcome.status == names.FINISHED:
            outcome, sealed = _sealed(paths, outcome)
        outcome = endings.compared(outcome, claim.attempt, claim.before)
    except SystemExit:
        outcome = Outcome(names.KILLED, "ended by the cluster: cancelled, out of time, or preempted by another job")
        raise
    finally:
        if not claim.lost:
            ended = max(time.time(), claim.attempt.started)  # a clock may have been set back
            claim.update(**asdict(outcome), ended=ended, journal=sealed)
            if outcome.status == names.FINISHED:  # recorded, so the checkpoints may be removed
                _keep(paths, settings)
        trouble = courier.close() if courier else None
        if display:
            display.close(outcome.status, outcome.reason, trouble, paths.log)
    return outcome


def _sealed(paths: TrialPaths, finished: Outcome) -> tuple[Outcome, str | None]:
    """Returns how a finished attempt ended, with the digest of its journal.

    Removes matches and errors of earlier detections.
    """
    for path in (paths.matches, paths.errors, paths.unmatched):
        path.unlink(missing_ok=True)
    try:
        return finished, completeness.seal(paths)
    except UserError as error:
        return Outcome(names.FAILED, str(error)), None


def _mend(paths: TrialPaths) -> None:
    """Removes damaged lines from the journal; the ranks restore the lost epochs from their checkpoint."""
    damaged = journal.mend(paths.journal)
    if damaged:
        console.print(f"{paths.journal} had {damaged} damaged lines, which were removed", style="yellow", markup=False)


def _note(paths: TrialPaths, settings: Settings, attempt: int) -> None:
    """Records the attempt's provenance; prints a line if another source trained the epochs so far.

    An error here never ends the trial.
    """
    trained: list[origin.Part] = []
    try:
        trained = origin.trained(paths)
    except Exception as error:  # any content of a damaged folder
        console.print(f"{paths.root.name}: its earlier sources are unknown: {error}", style="yellow", markup=False)
    source = provenance.note(paths, settings, attempt)
    try:
        crossing = origin.crossing(trained, source)
    except Exception as error:  # of source files that cannot be read
        crossing = f"; it is unknown whether its source has changed: {error}"
    if crossing:
        console.print(f"{paths.root.name}: resumes after epoch {trained[-1].last}{crossing}", markup=False)


def _supervise(
    claim: attempts.Claim,
    paths: TrialPaths,
    settings: Settings,
    launch: Path,
    courier: Courier,
    display: TrialDisplay,
) -> Outcome:
    """Starts the ranks and follows them to their end."""
    reader = Reader(paths.journal)
    patience = settings.resources.patience
    with paths.log.open("ab") as log:
        log.write(f"--- attempt {claim.attempt.number} on {claim.attempt.host}\n".encode())
        log.flush()  # before the ranks write to the log
        process = ranks.start(paths, settings, claim.attempt, log)
        seen = (0, 0)
        heard = time.monotonic()
        try:
            while True:
                ended = process.poll() is not None  # checked first, so that all records until now are read below
                records = reader.new_records()
                display.update(records, courier.trouble)
                if claim.lost:
                    return Outcome(names.KILLED, "taken over by another process while this one was suspended")
                if ended:
                    return endings.told(paths)
                claim.beat()
                wish = stop_requests.asked(paths.root, launch)
                if wish == stop_requests.NOW:
                    return Outcome(names.KILLED, "stopped as asked")
                if wish == stop_requests.DRAIN:
                    stop_requests.ask(paths.root, stop_requests.DRAIN)  # where the ranks look
                sign = (reader.offset, paths.log.stat().st_size)
                if sign != seen:
                    seen, heard = sign, time.monotonic()
                elif time.monotonic() - heard > patience:
                    return Outcome(names.FAILED, f"hung: no sign of life for {patience} s (resources.patience)", True)
                time.sleep(POLL_SECONDS)
        finally:
            ranks.end(process)
            ranks.end_leftovers(paths, claim.attempt.number)


def _keep(paths: TrialPaths, settings: Settings) -> None:
    """Removes the checkpoints of a finished trial except those of `resources.keep_checkpoints`."""
    kept = settings.resources.keep_checkpoints
    checkpoints.prune(paths.work, settings.schedule.epochs, 1 if "last" in kept else 0)
    if "best" not in kept:
        (paths.work / checkpoints.BEST).unlink(missing_ok=True)
