"""Estimates the cost of trials without measurements from their multiply-adds and a throughput that the user states."""

from experiments.data import datasets
from experiments.planning.estimate import Estimate
from experiments.planning.identity import Trial
from experiments.planning.plan import Plan, estimate_unknown
from experiments.planning.rehearsal import unplaced


def fill(plan: Plan) -> None:
    """Gives an estimate to each trial to run that has none, from `resources.gmacs_per_second`."""
    estimate_unknown(plan, "counting", _estimate)


def _estimate(trial: Trial) -> Estimate:
    from experiments.training import cost

    images = datasets.training_images(trial.settings)
    if images is None:
        return Estimate(None, "the number of images is unknown without the annotation files")
    model = unplaced(trial.settings).model
    per_image = cost.training_gmacs(model, *trial.settings.profile.image_scale)
    if per_image is None:
        return Estimate(None, "an operator's multiply-adds cannot be counted")
    total = per_image * images * trial.settings.schedule.epochs
    stated = trial.settings.resources.gmacs_per_second
    assert stated is not None
    source = f"multiply-adds of {images:,} images an epoch, at resources.gmacs_per_second={stated:g}"
    return Estimate(total / stated / 3600, f"{source}; loading and evaluation not counted", total)
