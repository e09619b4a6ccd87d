"""Measures what trials cost where none has run yet: each variant trains for some seconds, and nothing is kept of it."""

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

SECONDS = 10.0  # of training that are measured, from the first record of it
PATIENCE_SECONDS = 300.0  # until then


def fill(plan: Plan) -> None:
    """Gives an estimate to each trial of the plan that is to run and has none, by training its variant here and now."""
    estimate_unknown(plan, "measuring", _estimate)


def _estimate(trial: Trial) -> Estimate:
    seconds = epoch_seconds(trial)
    if seconds is None:
        return Estimate(None, "it did not get to train; start it to see why")
    count = resources.ranks_per_node(trial.settings) * trial.settings.resources.nodes
    hours = trial.settings.schedule.epochs * seconds * count / 3600
    return Estimate(hours, f"{SECONDS:.0f} s of training here; evaluation not counted")


def epoch_seconds(trial: Trial) -> float | None:
    """Returns the seconds that an epoch's training takes on this machine; None where it does not get to train."""
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
            if "step" in record:  # sooner than asked: a whole epoch
                return float(record["metrics"][names.EPOCH_SECONDS])
            if "loss" in record:
                first, last = first or record, record
        if first and last and last["time"] - first["time"] >= 1000 * SECONDS:
            steps = last["iteration"] - first["iteration"]
            return float((last["time"] - first["time"]) / 1000 / steps * last["iterations"])
        claim.beat()
        time.sleep(0.5)
    return None
