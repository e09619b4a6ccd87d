"""Measures the cost of variants that have not run yet: each trains for some seconds, and no result is kept."""

import tempfile
import time
from pathlib import Path
from subprocess import Popen

import yaml

from experiments import files, names
from experiments.jobs import ranks
from experiments.paths import TrialPaths
from experiments.planning import resources
from experiments.planning.estimate import Estimate
from experiments.planning.identity import Trial
from experiments.planning.plan import Plan, estimate_unknown
from experiments.trial import attempts
from experiments.trial.journal import Reader

SECONDS = 10.0  # of training that are measured, from its first record
PATIENCE_SECONDS = 300.0  # to wait for the first record


def fill(plan: Plan) -> None:
    """Gives an estimate to each trial to run that has none, by training its variant on this machine."""
    estimate_unknown(plan, "measuring", _estimate)


def _estimate(trial: Trial) -> Estimate:
    seconds = epoch_seconds(trial)
    if seconds is None:
        return Estimate(None, "calibration did not reach the first training step; start the trial to see why")
    count = resources.ranks_per_node(trial.settings) * trial.settings.resources.nodes
    hours = trial.settings.schedule.epochs * seconds * count / 3600
    return Estimate(hours, f"{SECONDS:.0f} s of training here; evaluation not included")


def epoch_seconds(trial: Trial) -> float | None:
    """Returns the seconds of an epoch's training on this machine; None if the first step is not reached."""
    with tempfile.TemporaryDirectory() as folder:
        paths = TrialPaths(Path(folder).resolve())
        files.write(paths.config, yaml.safe_dump(trial.config))
        claim = attempts.claim(paths.root, "1 x calibration")
        with paths.log.open("wb") as log:
            process = ranks.start(paths, trial.settings, claim.attempt, log)
            try:
                return _watch(process, claim, Reader(paths.journal))
            finally:
                ranks.end(process)
                ranks.end_leftovers(paths, claim.attempt.number)


def _watch(process: Popen, claim: attempts.Claim, reader: Reader) -> float | None:
    started = time.monotonic()
    first = last = None
    while process.poll() is None and (first is not None or time.monotonic() - started < PATIENCE_SECONDS):
        for record in reader.new_records():
            if "step" in record:  # before the time is up: a whole epoch
                return float(record["metrics"][names.EPOCH_SECONDS])
            if "loss" in record:
                first, last = first or record, record
        if first and last and last["time"] - first["time"] >= 1000 * SECONDS:
            steps = last["iteration"] - first["iteration"]
            return float((last["time"] - first["time"]) / 1000 / steps * last["iterations"])
        claim.beat()
        time.sleep(0.5)
    return None
