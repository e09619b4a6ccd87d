"""Makes MLflow say what the trials' folders say: for what a store missed, and for runs whose process died."""

from typing import Any

import yaml
from rich.progress import track

from experiments import names
from experiments.commands import Place
from experiments.display import console
from experiments.errors import UserError
from experiments.jobs import attempts
from experiments.paths import TrialPaths
from experiments.record.status import Progress
from experiments.record.tracking import Store, deliver
from experiments.record.whole import ShortenedError


def all_trials(trials: list[Progress], uri: str | None) -> None:
    """Brings the run of every trial up to date, but for those that are running, whose own process does so.

    Args:
        trials: of one output folder.
        uri: another store than the trials' own.

    Raises UserError, once all others are delivered, where a finished trial no longer has the records of all its epochs.
    """
    stores: dict[tuple[str, str], Store] = {}
    still = [one for one in trials if one.attempt is not None and one.state != names.RUNNING]
    left_out: list[str] = []
    for one in track(still, "to MLflow", console=console, disable=not console.is_terminal):
        config: dict[str, Any] = yaml.safe_load(one.paths.config.read_text())
        tracking = config["tracking"] | ({"uri": uri} if names.stated(uri) else {})
        key = (tracking["uri"], tracking["experiment"])
        stores[key] = stores.get(key) or Store({**config, "tracking": tracking})
        try:
            deliver(stores[key], one.paths, compare=True)
        except ShortenedError as error:
            left_out.append(str(error))
    where, count = ", ".join(uri for uri, _ in stores), len(still) - len(left_out)
    if still:
        console.print(f"{count} trials are in MLflow as their folders have them: {where}", markup=False)
    if running := sum(one.state == names.RUNNING for one in trials):
        left = "runs and is left to the command that runs it" if running == 1 else "run and are left to their commands"
        console.print(f"{running} {left}", markup=False)
    if left_out:
        raise UserError(f"{len(left_out)} were not delivered: {'; '.join(left_out)}")


def what_was_missed(trials: list[TrialPaths], config: dict[str, Any]) -> None:
    """Brings MLflow what it missed of trials that ended while it was away; where it still is, says what to do then."""
    try:
        store = Store(config)
        for paths in trials:
            if attempts.state(paths.root) not in (attempts.TO_DO, names.RUNNING):
                deliver(store, paths)
    except UserError as error:
        command = Place.of(config).command("experiments", "sync")
        told = f"MLflow may lack some of these trials: {error}, or deliver it later: {command}"
        console.print(told, style="yellow", markup=False)
