"""The step after a trial's last epoch: a separate process makes its matches and errors.

The trial is FINISHED before this step. If the process hangs or crashes, no epoch is lost and the trial stays
FINISHED; the same command makes the missing files, without training.
"""

import contextlib
import math
import signal
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

from filelock import FileLock, Timeout

from experiments import files
from experiments.console import console
from experiments.errors import UserError
from experiments.jobs import ranks
from experiments.mlflow_store.runs import Courier
from experiments.paths import TrialPaths
from experiments.settings import Settings
from experiments.trial import attempts, completeness, described, stop_requests

POLL_SECONDS = 0.2
LONGEST = 300  # characters of a reason


def is_due(paths: TrialPaths) -> bool:
    """Returns whether a trial is finished and has no matches yet, although they can be made."""
    return completeness.of(paths).matches is not None


def await_other(paths: TrialPaths, patience: float) -> None:
    """Waits while another command makes a trial's matches, at most this many seconds."""
    if paths.matching_lock.exists():
        with contextlib.suppress(Timeout), FileLock(paths.matching_lock, timeout=patience):
            pass


def make(paths: TrialPaths, settings: Settings, launch: Path) -> None:
    """Makes the matches and errors of a finished trial and sends them to MLflow; prints a failure."""
    title = described.title(described.read(paths))
    paths.work.mkdir(exist_ok=True)  # an imported trial has none
    try:
        with FileLock(paths.matching_lock, timeout=0):
            reason = _try(paths, settings, launch, title) if is_due(paths) else None
    except Timeout:
        console.print(f"{title}: another command makes its matches; this command skips it", markup=False)
        return
    trouble = Courier(settings.place, paths).close()
    if reason:
        remedy = "the same command makes it, without training"
        told = f"{title}: finished, but without matches.npz ({reason}); {remedy}; see {paths.log}"
        console.print(told, style="yellow", markup=False)
    if trouble:
        told = f"{title}: MLflow did not get its matches ({trouble}); python -m experiments sync delivers them"
        console.print(told, style="yellow", markup=False)


def _try(paths: TrialPaths, settings: Settings, launch: Path, title: str) -> str | None:
    """Returns why the matches could not be made, None if they were made."""
    console.print(f"{title}: COCO's decision on each detection (matches.npz)", markup=False)
    paths.unmatched.unlink(missing_ok=True)
    try:
        completeness.without_damaged_matches(paths)
        completeness.restore(paths)
        reason = _supervise(paths, settings, launch)
    except UserError as error:
        reason = str(error)
    if reason is None:
        return None
    if paths.unmatched.exists():  # the process reported its own reason
        reason = paths.unmatched.read_text(errors="replace")
    reason = textwrap.shorten(reason, LONGEST, placeholder=" ...")
    with contextlib.suppress(OSError):  # a full disk
        files.write(paths.unmatched, reason)
    return reason


def _supervise(paths: TrialPaths, settings: Settings, launch: Path) -> str | None:
    """Follows the process to its end, and ends it if it hangs or has to stop; returns why it failed, if it did."""
    attempt = attempts.last(paths.root)
    assert attempt is not None
    ranks.end_leftovers(paths, attempt.number)  # of a command that was killed
    claim = attempts.Claim(paths.root, attempt, None)
    claim.beaten = -math.inf  # an old attempt was not touched for long
    patience = settings.resources.patience
    with paths.log.open("ab") as log:
        log.write(f"--- matches of attempt {attempt.number} on {socket.gethostname()}\n".encode())
        log.flush()
        process = subprocess.Popen(
            command(paths, attempt.number),
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=ranks.chosen(paths, gpus=False),
        )
        size, heard = 0, time.monotonic()
        try:
            while process.poll() is None:
                claim.beat()  # else the process ends itself
                if stop_requests.asked(paths.root, launch) == stop_requests.NOW:
                    return "stopped as asked"
                if paths.log.stat().st_size != size:
                    size, heard = paths.log.stat().st_size, time.monotonic()
                elif time.monotonic() - heard > patience:
                    return f"hung: no sign of life for {patience} s (resources.patience)"
                time.sleep(POLL_SECONDS)
        finally:
            ranks.end(process)
            ranks.end_leftovers(paths, attempt.number)
    if process.returncode < 0:
        name = signal.Signals(-process.returncode).name
        return f"its process was ended by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")
    return "its process ended without giving a reason" if process.returncode else None


def command(paths: TrialPaths, attempt: int) -> list[str]:
    """Returns the command of the process; the folder and the number at its end identify its trial, as for ranks."""
    return [*ranks.DEAF, sys.executable, "-m", "experiments.training.decisions", str(paths.root), str(attempt)]
