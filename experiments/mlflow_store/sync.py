"""Brings MLflow up to date with the trials' folders: missing records, and runs whose process died."""

from dataclasses import replace

from rich.progress import track

from experiments import names
from experiments.commands import Place
from experiments.console import console
from experiments.errors import UserError
from experiments.mlflow_store.runs import Store, deliver
from experiments.paths import TrialPaths
from experiments.reading import DamagedError
from experiments.trial import attempts, described, moved
from experiments.trial.status import Progress


def all_trials(trials: list[Progress], uri: str | None) -> None:
    """Brings the run of every trial up to date. Running trials are skipped: their own processes update them.

    Args:
        trials: of one output folder.
        uri: a store to use in place of the trials' own.

    Raises UserError if a file of a trial cannot be used, after all other trials are sent.
    """
    stores: dict[Place, Store] = {}
    count = 0
    still = [one for one in trials if one.attempt is not None and one.state != names.RUNNING]
    left_out = [one.damage for one in trials if one.damage]
    for one in track(still, "to MLflow", console=console, disable=not console.is_terminal):
        try:
            config = moved.here(described.configuration(one.paths), one.paths.root.parents[1])
            place = Place.of(config)
            place = replace(place, uri=uri) if names.stated(uri) else place
            stores[place] = stores.get(place) or Store(place)
            deliver(stores[place], one.paths, compare=True)
            count += 1
        except DamagedError as error:
            left_out.append(str(error))
    where = ", ".join(dict.fromkeys(str(place.uri) for place in stores))
    if still and (stores or not left_out):
        console.print(f"{count} trials in MLflow match their folders: {where}", markup=False)
    if running := sum(one.state == names.RUNNING for one in trials):
        left = (
            "is running and was skipped: its command updates it"
            if running == 1
            else "are running and were skipped: their commands update them"
        )
        console.print(f"{running} {left}", markup=False)
    if left_out:
        raise UserError(f"{len(left_out)} trials were not delivered: {'; '.join(left_out)}")


def what_was_missed(trials: list[TrialPaths], place: Place) -> bool:
    """Sends trials that ended while MLflow was unreachable; if it still is, prints what to do.

    Returns whether the store has everything except damaged trials.
    """
    try:
        store = Store(place, folder_too=False)
        for paths in trials:
            if attempts.state(paths.root) in (attempts.TO_DO, names.RUNNING):
                continue
            try:
                deliver(store, paths)
            except DamagedError as error:
                console.print(f"not delivered to MLflow: {error}", style="yellow", markup=False)
    except UserError as error:
        command = place.command("experiments", "sync")
        told = f"MLflow may lack some of these trials: {error}, or deliver it later: {command}"
        console.print(told, style="yellow", markup=False)
        return False
    return True
