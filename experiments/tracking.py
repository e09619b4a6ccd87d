"""The only writer of MLflow: one run per trial, its metrics copied from the journal, its status true."""

import contextlib
import logging
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from filelock import FileLock

# Quiet, and a store that does not answer is given up after seconds, not MLflow's own minutes; read at mlflow's import.
for _name, _value in {
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}.items():
    os.environ.setdefault(_name, _value)

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException

from experiments import names
from experiments.errors import UserError
from experiments.journal import Reader, Record
from experiments.paths import OutputPaths, TrialPaths

logging.getLogger("alembic").setLevel(logging.ERROR)  # else a first use prints some sixty lines of migrations


class Store:
    """An MLflow store and the experiment in it that holds our runs."""

    def __init__(self, config: dict[str, Any]) -> None:
        """Opens the store of a resolved configuration, creating the sqlite file and the experiment where missing.

        Raises UserError where the store does not answer.
        """
        tracking, outputs = config["tracking"], OutputPaths(Path(config["output_dir"]))
        outputs.root.mkdir(parents=True, exist_ok=True)
        self.uri = tracking["uri"]
        try:
            # Processes that create one sqlite store together leave it broken: one at a time.
            with FileLock(outputs.store_lock):
                self.client = MlflowClient(self.uri)
                found = self.client.get_experiment_by_name(tracking["experiment"])
                if found is None:
                    local = self.uri.startswith("sqlite:")
                    where = outputs.artifacts.resolve().as_uri() if local else None  # a server chooses its own place
                    self.experiment_id = self.client.create_experiment(tracking["experiment"], artifact_location=where)
                else:
                    self.experiment_id = found.experiment_id
        except (MlflowException, OSError) as error:
            reason = str(error).splitlines()[0]
            raise UserError(
                f"the MLflow store tracking.uri={self.uri} does not answer ({reason}); start it or use tracking=sqlite"
            ) from error

    def open_run(self, description: dict[str, Any], run_id: str | None = None) -> "Run":
        """Returns the run of a trial that `description` (its folder's trial.json) tells of, RUNNING.

        It is the run `run_id` of an earlier attempt, where the store has it, else a new one.
        """
        if run_id is not None:
            with contextlib.suppress(MlflowException):  # another store, or one that was lost
                self.client.update_run(run_id, status=names.RUNNING)
                self._tag(run_id, description["sweeps"])
                return Run(self.client, run_id)
        tags = {key: description[key] for key in (names.TRIAL_ID, names.VARIANT_ID, names.VARIANT)}
        tags[names.OVERRIDES] = " ".join(description[names.OVERRIDES])
        tags["mlflow.runName"] = f"{description[names.VARIANT]} s{description[names.SEED]}"
        tags |= description["sweeps"]
        run = self.client.create_run(self.experiment_id, tags=tags)
        params = {**description["factors"], names.SEED: description[names.SEED]}
        self.client.log_batch(run.info.run_id, params=[Param(key, str(value)) for key, value in params.items()])
        return Run(self.client, run.info.run_id)

    def _tag(self, run_id: str, tags: dict[str, str]) -> None:
        self.client.log_batch(run_id, tags=[RunTag(key, value) for key, value in tags.items()])

    def join(self, description: dict[str, Any], paths: TrialPaths) -> None:
        """Makes the runs of a finished trial members of its sweeps; a store that has none gets one from the journal."""
        query = f"tags.{names.TRIAL_ID} = '{description[names.TRIAL_ID]}' and status = '{names.FINISHED}'"
        runs = self.client.search_runs([self.experiment_id], query)
        for run in runs:
            self._tag(run.info.run_id, description["sweeps"])
        if not runs:
            anew = self.open_run(description)
            anew.deliver(Reader(paths.journal).new_records())
            anew.close(names.FINISHED, None, paths)


class Run:
    """An MLflow run being written."""

    def __init__(self, client: MlflowClient, run_id: str) -> None:
        self.client = client
        self.run_id = run_id
        self.pending: list[Metric] = []  # what the store has not taken yet
        self.trouble: str | None = None  # why it did not, at the last try

    def deliver(self, records: Iterable[Record]) -> None:
        """Copies the journal's metrics, with their own times and steps: the same record twice adds nothing.

        What a store in trouble does not take is tried again at the next call; training goes on meanwhile.
        """
        self.pending += [
            Metric(name, value, record["time"], record["step"])
            for record in records
            for name, value in record.get("metrics", {}).items()
        ]
        if self.pending:
            self._try(self._log_pending)

    def _log_pending(self) -> None:
        self.client.log_batch(self.run_id, metrics=self.pending)
        self.pending = []

    def _try(self, step: Callable[[], None]) -> None:
        try:
            step()
            self.trouble = None
        except (MlflowException, OSError) as error:
            self.trouble = str(error).partition("\n")[0]

    def close(self, status: str, reason: str | None, paths: TrialPaths) -> None:
        """Ends the run with its true status and keeps what is needed to repeat and to understand the trial.

        A store in trouble leaves the run as it is and says why in `trouble`; the journal has everything.
        """
        self.deliver([])
        self._try(lambda: self._settle(status, reason, paths))

    def _settle(self, status: str, reason: str | None, paths: TrialPaths) -> None:
        if reason or names.REASON in self.client.get_run(self.run_id).data.tags:
            self.client.set_tag(self.run_id, names.REASON, reason or "")
        for path in (paths.config, paths.detector_config, paths.log):
            if path.exists():
                self.client.log_artifact(self.run_id, str(path))
        self.client.set_terminated(self.run_id, status)
