"""Estimates how long trials take, from measured trials of the same output folder.

The cost of an image depends on everything that identifies a trial, except the seed, the data, and the keys of the
schedule that set only length and steps of training. Estimates are scaled to the numbers of epochs and images.
"""

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from statistics import median
from typing import Any

from experiments import names
from experiments.data import datasets
from experiments.errors import UserError
from experiments.paths import OutputPaths, TrialPaths
from experiments.planning.identity import Trial, identity, unseeded, variant_of
from experiments.reading import DamagedError
from experiments.settings import Settings
from experiments.trial import attempts, described, journal, provenance
from experiments.trial.attempts import Attempt

MODULES = ("aggregation", "pre", "post")


@dataclass(frozen=True)
class Measured:
    """The measured epochs of one trial."""

    variant_id: str
    drivers: tuple[str, str]  # the settings that its cost depends on, with and without its modules
    data: str
    epochs: tuple["Epoch", ...]
    steps: int | None  # of an epoch's training; None if unknown
    batch: int  # images of a step
    validated: int | None  # images of an epoch's evaluation
    ranks: int
    device: str
    when: int  # ms since 1970, of the last epoch

    def seconds(self, images: tuple[int, int] | None) -> float | None:
        """Returns the device-seconds of an epoch, scaled to these numbers of images in training and evaluation.

        None if the measured numbers are unknown.
        """
        if images is None:
            return self.ranks * median(epoch.train + epoch.val for epoch in self.epochs)
        if not self.steps or not self.validated:
            return None
        steps, share = -(-images[0] // self.batch), images[1] / self.validated
        found = []
        for epoch in self.epochs:
            step = epoch.train / self.steps if epoch.step is None else epoch.step
            beginning = max(0.0, epoch.train - step * self.steps)
            found.append(beginning + step * steps + epoch.val * share)
        return self.ranks * median(found)


@dataclass(frozen=True)
class Epoch:
    """The seconds of an epoch."""

    train: float
    step: float | None  # of one step, without the start of the epoch; None if too few steps are recorded
    val: float


@dataclass(frozen=True)
class Estimate:
    """Device-hours that a trial still needs, and the source of this number."""

    device_hours: float | None
    source: str
    gmacs: float | None = None  # 10^9 multiply-adds of the whole training, if they were counted


NONE = Estimate(None, "")


def measured(outputs: OutputPaths) -> list[Measured]:
    """Returns the measurements of each trial of the folder that has completed an epoch, finished or not.

    Damaged trials, and trials with a configuration of an earlier version, are left out.
    """
    found = []
    for paths in described.folders(outputs):
        with suppress(DamagedError, LookupError, TypeError, AttributeError):
            found.append(_measured(paths))
    return [one for one in found if one is not None]


def _measured(paths: TrialPaths) -> Measured | None:
    found = journal.so_far(paths.journal)
    records, now = found.complete, found.newest
    if not records or not paths.config.exists():
        return None
    config = described.configuration(paths)  # of any version: only what is compared is read
    attempt = attempts.last(paths.root)
    ranks, _, device = (attempt.device if attempt else "1 x cpu").partition(" x ")
    last = max(records)
    samples = records[last].get("samples") or [{"step": None}]
    return Measured(
        variant_of(config),
        drivers(config),
        _data(config),
        tuple(map(_epoch, records.values())),
        now["iterations"] if now else samples[-1]["step"] and samples[-1]["step"] // last,
        config["schedule"]["batch_size"],
        _validated(config, paths, attempt),
        int(ranks),
        device,
        records[last]["time"],
    )


def _epoch(record: journal.Record) -> Epoch:
    metrics, samples = record["metrics"], record.get("samples") or [{"step": 0}]
    steps = samples[-1]["step"] - samples[0]["step"]
    step = (samples[-1]["time"] - samples[0]["time"]) / 1000 / steps if steps else None
    step = step if step is None or step > 0 else None  # a clock was set back
    return Epoch(metrics.get(names.EPOCH_SECONDS, 0.0), step, metrics.get(names.VALIDATION_SECONDS, 0.0))


def _validated(config: dict[str, Any], paths: TrialPaths, attempt: Attempt | None) -> int | None:
    """Returns on how many images a trial was evaluated, from its own record: its data may be gone."""
    if config["dataset"]["kind"] == "shapes":
        return int(config["dataset"]["val_images"])
    if attempt is None or not paths.provenance(attempt.number).exists():
        return None
    images: int | None = provenance.read(paths, attempt.number).get("data", {}).get("val", {}).get("images")
    return images


def drivers(config: dict[str, Any]) -> tuple[str, str]:
    """Returns the settings that the cost of an image depends on, with the modules and without them."""
    kept = {**unseeded(config), "extractor": config.get("extractor"), "dataset": None}
    schedule = kept["schedule"]
    kept["schedule"] = [schedule["batch_size"], schedule["optimizer"]["type"]]
    return _text(kept), _text({**kept, **dict.fromkeys(MODULES)})


def _data(config: dict[str, Any]) -> str:
    return _text(identity(config)["dataset"])


def _text(content: dict[str, Any]) -> str:
    return json.dumps(content, sort_keys=True)


def estimate(trial: Trial, done: Sequence[Measured], again: bool = False) -> Estimate:
    """Returns the cost of a trial's remaining epochs, from measured epochs of its variant or of similar variants.

    Args:
        trial: the trial to run.
        done: the measurements of its output folder.
        again: whether all its epochs are trained, although some are complete.
    """
    epochs = trial.settings.schedule.epochs
    left = epochs if again else epochs - len(journal.complete_epochs(trial.paths.journal))
    whole, less = drivers(trial.config)
    alike = {
        "the same variant": [one for one in done if one.variant_id == trial.variant_id],
        "the same modules": [one for one in done if one.drivers[0] == whole],
        "other modules": [one for one in done if one.drivers[1] == less],
    }
    for what, of in alike.items():
        if of and (found := _from(trial, of)):
            seconds, source = found
            return Estimate(left * seconds / 3600, source.format(what))
    return Estimate(None, "no similar trial was measured yet")


def _from(trial: Trial, alike: Sequence[Measured]) -> tuple[float, str] | None:
    """Returns the device-seconds of a trial's epoch, and a text on their source, with {} for what is similar.

    Trials on the same data are preferred. If there are several devices, only the one used last counts.
    """
    newest = max(alike, key=lambda one: one.when)
    here = [one for one in alike if one.device == newest.device]
    on = f" on {newest.device}" if len(here) < len(alike) else ""
    same = [one for one in here if one.data == _data(trial.config)]
    images = None if same else _images(trial.settings)
    if not same and images is None:
        return None
    found = [(one, seconds) for one in same or here if (seconds := one.seconds(images)) is not None]
    if not found:
        return None
    scaled = ""
    if images:
        counts = sorted({one.steps * one.batch for one, _ in found if one.steps})
        scaled = f", scaled from {' and '.join(f'{count:,}' for count in counts)} to {images[0]:,} images"
    return median(seconds for _, seconds in found), f"{len(found)} measured{on}: {{}}{scaled}"


def _images(settings: Settings) -> tuple[int, int] | None:
    """Returns how many images of a trial's data are used in training and in evaluation; None if unknown."""
    try:
        train, val = datasets.training_images(settings), datasets.validation_images(settings)
    except UserError:  # which the check of the data reports
        return None
    return (train, val) if train and val else None
