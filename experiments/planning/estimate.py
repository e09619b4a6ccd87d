"""How long trials will take, from what trials of the same output folder took."""

import json
from dataclasses import dataclass
from statistics import median

from experiments import names
from experiments.jobs import attempts
from experiments.paths import OutputPaths, TrialPaths
from experiments.planning.trial import Trial
from experiments.record import journal


@dataclass(frozen=True)
class Measured:
    """What one trial's epochs took, in device-seconds: seconds of training and evaluation times ranks."""

    variant_id: str
    alike: tuple[str, ...]  # what trials of a similar cost have in common
    epoch: float


@dataclass(frozen=True)
class Estimate:
    """Device-hours that a trial still needs, and what the figure comes from."""

    device_hours: float | None
    source: str
    gmacs: float | None = None  # 10^9 multiply-adds of the whole training, where they were counted


NONE = Estimate(None, "")


def measured(outputs: OutputPaths) -> list[Measured]:
    """Returns what each trial of the folder took that has completed an epoch, finished or not."""
    found = []
    for folder in sorted(outputs.trials.glob("*/")):
        paths = TrialPaths(folder)
        if paths.description.exists() and (epochs := journal.complete_epochs(paths.journal)):
            described = json.loads(paths.description.read_text())
            epoch = median(journal.seconds(record) for record in epochs.values())
            attempt = attempts.last(folder)
            ranks = attempt.ranks if attempt else 1
            found.append(Measured(described[names.VARIANT_ID], _alike(described["factors"]), epoch * ranks))
    return found


def estimate(trial: Trial, done: list[Measured]) -> Estimate:
    """Returns what the rest of a trial takes: by its own variant's epochs, else by those of similar trials."""
    complete = len(journal.complete_epochs(trial.paths.journal))
    left = trial.config["schedule"]["epochs"] - complete
    if left <= 0:  # finished, and to be done again
        left = trial.config["schedule"]["epochs"]
    same = [one.epoch for one in done if one.variant_id == trial.variant_id]
    similar = [one.epoch for one in done if one.alike == _alike(trial.factors)]
    for epochs, source in ((same, "the same variant"), (similar, "trials of the same architecture, data and schedule")):
        if epochs:
            return Estimate(left * median(epochs) / 3600, f"{len(epochs)} measured: {source}")
    return Estimate(None, "nothing similar measured yet")


def _alike(factors: dict[str, str]) -> tuple[str, ...]:
    return tuple(factors[name] for name in ("architecture", "profile", "dataset", "schedule"))
