"""Reads runs of trials (tags, params, last values) and metric histories from MLflow, as plain data."""

import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from analysis.read.store import artifacts, nothing_recorded
from experiments import names, passwords, seeds
from experiments.errors import UserError
from experiments.sentences import shown

if TYPE_CHECKING:
    from mlflow import MlflowClient

ROWS, CODE = TypeAdapter(list[str]), TypeAdapter(dict[str, str])
PAGE = 100  # runs in one request for histories: no server gives more
MLFLOW_S_OWN = "Default"  # the experiment that every store has
MOST_POINTS = 25_000  # in one answer, as MLflow's server limits it


@dataclass(frozen=True)
class Run:
    """One MLflow run of a trial."""

    run_id: str
    status: str
    started: int  # ms since 1970
    tags: dict[str, str]
    params: dict[str, str]
    metrics: dict[str, float]  # the last value of each
    artifacts: str = field(default="", compare=False)  # URI of their folder

    @property
    def overrides(self) -> list[str]:
        """Returns the overrides of its trial, to type after `python run.py`; [] where they are not recorded."""
        return shlex.split(self.tags.get(names.OVERRIDES, ""))

    @property
    def without_matches(self) -> str:
        """Returns the remedy for a finished trial that has no matches.npz."""
        why = self.tags.get(names.UNMATCHED)
        if not why:  # an earlier version trained it, or its detections are lost
            return "train it again with rerun=true"
        return f"{why}: `{shlex.join(['python', 'run.py', *self.overrides])}` makes matches.npz, without training"

    def as_dict(self) -> dict[str, Any]:
        """Returns its fields for JSON, without the place of its artifacts; `Run(**...)` is the inverse."""
        return {name: value for name, value in asdict(self).items() if name != "artifacts"}


def check(run: Run) -> None:
    """Raises ValueError if a tag that analysis reads has a wrong form."""
    if not run.tags.get(names.TRIAL_ID):
        raise ValueError("a run has no trial_id")
    _ = run.overrides
    CODE.validate_json(run.tags.get(names.CODE) or "{}")
    for tag, value in run.tags.items():
        if tag.startswith(names.ROWS):
            ROWS.validate_json(value)
        elif tag.startswith(names.PLACE):
            int(value)
        elif tag.startswith(names.RULES):
            seeds.read(value)
        elif tag.startswith(names.ASKED) and datetime.fromisoformat(value).tzinfo is None:
            raise ValueError(f"{tag} {value} has no time zone")


@dataclass(frozen=True)
class Point:
    """One value of a metric's history."""

    step: int
    timestamp: int  # ms since 1970
    value: float


def of_experiment(client: "MlflowClient", experiment: str, uri: str) -> list[Run]:
    """Returns all runs of trials in an MLflow experiment.

    Raises UserError, which names the `uri` and the other experiments, if there is none.
    """
    found = client.get_experiment_by_name(experiment)
    runs: list[Run] = []
    token: str | None = None
    while found is not None:
        page = client.search_runs([found.experiment_id], max_results=1000, page_token=token)
        runs += [
            Run(
                run.info.run_id,
                run.info.status,
                run.info.start_time,
                run.data.tags,
                run.data.params,
                run.data.metrics,
                artifacts(uri, run.info.run_id, run.info.artifact_uri),
            )
            for run in page
            if names.TRIAL_ID in run.data.tags
        ]
        token = page.token
        if not token:
            break
    if not runs:
        raise _no_trials(client, experiment, uri)
    for run in runs:
        try:
            check(run)
        except ValueError as error:
            reason = shown(" ".join(str(error).split()), 200)
            raise UserError(
                f"the run {run.run_id} in {passwords.hidden(uri)} has a tag that was changed ({reason}); "
                "`python -m experiments sync` writes it again"
            ) from error
    return runs


def _no_trials(client: "MlflowClient", experiment: str, uri: str) -> UserError:
    others = sorted({one.name for one in client.search_experiments()} - {experiment, MLFLOW_S_OWN})
    if not others:
        return nothing_recorded(uri)
    return UserError(
        f"no trials in experiment {experiment!r} of {passwords.hidden(uri)}; "
        f"name another with --experiment: {', '.join(others)}"
    )


Histories = dict[tuple[str, str], list[Point]]  # (run id, metric) -> points


def histories(
    client: "MlflowClient", wanted: Sequence[tuple[str, str]], on_read: Callable[[], None] = lambda: None
) -> Histories:
    """Returns the points of each (run id, metric), many runs in a request; `on_read` is called `requests` times."""
    found: Histories = {key: [] for key in wanted}
    for metric, run_ids in _pages(wanted):
        points = _bulk(client, metric, run_ids)
        if len(points) < MOST_POINTS:
            for run_id, point in points:
                found[run_id, metric].append(point)
        else:  # the answer may be truncated: ask for each run
            for run_id in run_ids:
                history = client.get_metric_history(run_id, metric)
                found[run_id, metric] = [Point(one.step, one.timestamp, one.value) for one in history]
        on_read()
    return found


def requests(wanted: Sequence[tuple[str, str]]) -> int:
    """Returns how many requests `histories` will make."""
    return sum(1 for _ in _pages(wanted))


def _pages(wanted: Sequence[tuple[str, str]]) -> Iterator[tuple[str, list[str]]]:
    by_metric: dict[str, list[str]] = {}
    for run_id, metric in wanted:
        by_metric.setdefault(metric, []).append(run_id)
    for metric, run_ids in by_metric.items():
        for first in range(0, len(run_ids), PAGE):
            yield metric, run_ids[first : first + PAGE]


def _bulk(client: "MlflowClient", metric: str, run_ids: list[str]) -> list[tuple[str, Point]]:
    """Returns points of many runs in one request; MLflow's client (3.17) has no method for it."""
    store = client._tracking_client.store
    if hasattr(store, "get_metric_history_bulk"):  # a database
        points = store.get_metric_history_bulk(run_ids, metric, MOST_POINTS)
        return [(one.run_id, Point(one.step, one.timestamp, one.value)) for one in points]
    else:  # a server
        from mlflow.utils.rest_utils import http_request, verify_rest_response

        endpoint = "/ajax-api/2.0/mlflow/metrics/get-history-bulk"
        asked = {"run_id": run_ids, "metric_key": metric, "max_results": MOST_POINTS}
        answer = http_request(store.get_host_creds(), endpoint, "GET", params=asked)
        found = verify_rest_response(answer, endpoint).json()["metrics"]
    return [(one["run_id"], Point(one["step"], one["timestamp"], one["value"])) for one in found]
