"""Runs one trial in processes of its own and sees it to its end: watches the journal, writes MLflow."""

import json
import shutil
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from experiments import names
from experiments.display import TrialDisplay, console
from experiments.jobs import attempts, endings, helper, nodes, ranks, stopping
from experiments.jobs.endings import Outcome
from experiments.paths import TrialPaths
from experiments.planning import resources
from experiments.record import journal, provenance
from experiments.record.journal import Reader
from experiments.record.tracking import Courier
from experiments.training import checkpoints

POLL_SECONDS = 0.5


def run_trial(folder: Path, launch: Path) -> str:
    """Runs the frozen trial in `folder` from its last complete epoch on and returns its state afterwards.

    A failure that may pass is tried again, `retry.attempts` times in all. Nothing is started where another process has
    the trial, or once `launch`, the folder of all jobs started together, has a stop file.
    """
    paths = TrialPaths(folder)
    config = yaml.safe_load(paths.config.read_text())
    with nodes.ended_by_cluster():
        if nodes.is_helper(config):
            return helper.run(paths, config)
        return _run(paths, config, launch)


def _run(paths: TrialPaths, config: dict[str, Any], launch: Path) -> str:
    folder = paths.root
    for _ in range(config["retry"]["attempts"]):
        if stopping.asked(paths.root, launch):
            break
        try:
            claim = attempts.claim(folder, resources.device(config), nodes.job())
        except attempts.TakenError as taken:
            console.print(f"{folder.name}: {taken}, by another command; left to that one")
            break
        outcome = _attempt(claim, paths, config, launch)
        if not outcome.transient:
            break
    if attempts.state(folder) == names.FAILED and config["fail_fast"]:
        stopping.ask(launch, stopping.DRAIN)
    return attempts.state(folder)


def _attempt(claim: attempts.Claim, paths: TrialPaths, config: dict[str, Any], launch: Path) -> Outcome:
    description = json.loads(paths.description.read_text())
    outcome = Outcome(names.KILLED, "interrupted")
    courier = display = None
    try:
        ranks.end_leftovers(paths, claim.attempt.number)
        journal.mend(paths.journal)
        paths.ending.unlink(missing_ok=True)
        shutil.rmtree(paths.collected, ignore_errors=True)
        claim.update(rendezvous=nodes.rendezvous(config))
        provenance.note(paths, config, claim.attempt.number)
        courier = Courier(config, paths)
        display = TrialDisplay(description, config["schedule"]["epochs"])
        lacking = resources.lacking_space(config)
        outcome = (
            Outcome(names.FAILED, lacking) if lacking else _supervise(claim, paths, config, launch, courier, display)
        )
        outcome = endings.compared(outcome, claim.attempt, claim.before)
    except SystemExit:
        outcome = Outcome(names.KILLED, "ended by the cluster: cancelled, out of time, or pushed out by another job")
        raise
    finally:
        if not claim.lost:
            claim.update(**asdict(outcome), ended=time.time())
            if outcome.status == names.FINISHED:  # written down by now: the checkpoints may go
                _keep(paths, config["resources"]["keep_checkpoints"])
        trouble = courier.close() if courier else None
        if display:
            display.close(outcome.status, outcome.reason, trouble, paths.log)
    return outcome


def _supervise(
    claim: attempts.Claim,
    paths: TrialPaths,
    config: dict[str, Any],
    launch: Path,
    courier: Courier,
    display: TrialDisplay,
) -> Outcome:
    """Starts the ranks and follows them to their end."""
    reader = Reader(paths.journal)
    patience = config["resources"]["patience"]
    with paths.log.open("ab") as log:
        log.write(f"--- attempt {claim.attempt.number} on {claim.attempt.host}\n".encode())
        log.flush()  # before the ranks write there
        process = ranks.start(paths, config, claim.attempt, log)
        seen = (0, 0)
        heard = time.monotonic()
        try:
            while True:
                ended = process.poll() is not None  # asked first: what is written until now is read below
                records = reader.new_records()
                display.update(records, courier.trouble)
                if claim.lost:
                    return Outcome(names.KILLED, "taken over by another process while this one slept")
                if ended:
                    return endings.told(paths)
                claim.beat()
                wish = stopping.asked(paths.root, launch)
                if wish == stopping.NOW:
                    return Outcome(names.KILLED, "stopped as asked")
                if wish == stopping.DRAIN:
                    stopping.ask(paths.root, stopping.DRAIN)  # where the ranks look
                sign = (reader.offset, paths.log.stat().st_size)
                if sign != seen:
                    seen, heard = sign, time.monotonic()
                elif time.monotonic() - heard > patience:
                    return Outcome(names.FAILED, f"hung: no sign of life for {patience} s (resources.patience)", True)
                time.sleep(POLL_SECONDS)
        finally:
            ranks.end(process)
            ranks.end_leftovers(paths, claim.attempt.number)


def _keep(paths: TrialPaths, kept: list[str]) -> None:
    """Removes the checkpoints of a finished trial that nobody wants to keep."""
    checkpoints.prune(paths.work, 1 if "last" in kept else 0)
    if "best" not in kept:
        (paths.work / checkpoints.BEST).unlink(missing_ok=True)
