"""The jobs on a trial's other machines: they lend their devices to each attempt of the first machine."""

import os
import time

from experiments import names
from experiments.jobs import nodes, ranks, scratch
from experiments.paths import TrialPaths
from experiments.settings import Settings
from experiments.trial import attempts
from experiments.trial.attempts import Attempt

POLL_SECONDS = 1.0
PATIENCE_SECONDS = 600  # how long to wait for the first machine's next attempt


def run(paths: TrialPaths, settings: Settings) -> str:
    """Lends this machine's devices to every attempt of the first machine; returns the trial's state afterwards."""
    helped = 0
    since = time.monotonic()
    while time.monotonic() - since < PATIENCE_SECONDS:
        attempt = attempts.last(paths.root)
        if (
            attempt is not None and attempt.state == names.FINISHED
        ):  # only the first machine runs the step after the last epoch
            break
        if attempt is not None and attempt.job == nodes.job():
            if attempt.status is not None and not attempt.transient:
                break
            if attempt.status is None and attempt.rendezvous and attempt.number > helped:
                helped = attempt.number
                _lend(paths, settings, attempt)
                since = time.monotonic()
        time.sleep(POLL_SECONDS)
    return attempts.state(paths.root)


def _lend(paths: TrialPaths, settings: Settings, attempt: Attempt) -> None:
    with paths.node_log(os.environ.get("SLURM_NODEID", "0")).open("ab") as log:
        process = ranks.start(paths, settings, attempt, log)
        try:
            while process.poll() is None:
                now = attempts.last(paths.root)
                if now is not None and (now.number > attempt.number or now.status in (names.FAILED, names.KILLED)):
                    break
                time.sleep(POLL_SECONDS)
        finally:
            ranks.end(process)
            scratch.remove(paths.root)
