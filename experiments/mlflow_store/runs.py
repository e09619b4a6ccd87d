"""The only writer to MLflow: makes a trial's run a copy of the trial's folder. Repeating it changes nothing.

All records are on disk, so neither a dead process nor a lost store loses any.
"""

import threading
import time
from pathlib import Path
from typing import Any

from filelock import FileLock
from mlflow.entities import LifecycleStage, Metric, Param, RunTag, ViewType
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, ErrorCode

from experiments import names
from experiments.commands import Place
from experiments.errors import UserError
from experiments.mlflow_store import accepted, contents, page_layout, store_file, texts
from experiments.mlflow_store.client import MlflowClient
from experiments.paths import OutputPaths, TrialPaths
from experiments.reading import DamagedError
from experiments.trial import attempts, completeness, described, journal, origin
from experiments.trial.journal import Reader

SECONDS, LONGEST_SECONDS = 1.0, 15.0  # between two updates of a run; doubled while the store is in trouble
CLOSING_SECONDS = 30.0  # for the last one


class Store:
    """An MLflow store and the experiment in it that holds our runs."""

    def __init__(self, place: Place, folder_too: bool = True) -> None:
        """Opens a store; creates the sqlite file and the experiment if they are missing.

        Args:
            place: of the trials and their store.
            folder_too: whether the file's folder is also created.

        Raises UserError if the store cannot be used.
        """
        self.uri, self.place = str(place.uri), place
        accepted.accept(self.uri)
        outputs = OutputPaths(Path(str(place.outputs)))
        try:
            with store_file.prepared(self.uri, self.place, folder_too):
                self.client = MlflowClient(self.uri)
                found = accepted.experiment(self.client, self.place)
                self.experiment_id = found or self._create_experiment(outputs)
        except UserError:
            raise
        except Exception as error:  # of MLflow, SQLAlchemy, Alembic or a driver
            raise accepted.unusable(self.uri, error) from error

    def _create_experiment(self, outputs: OutputPaths) -> str:
        local = self.uri.startswith("sqlite:")
        where = outputs.artifacts.resolve().as_uri() if local else None  # a server chooses its own place
        made = self.client.create_experiment(
            str(self.place.experiment), artifact_location=where, tags=page_layout.tags()
        )
        return str(made)


class Run:
    """The MLflow run of a trial, a copy of the trial's folder."""

    def __init__(self, store: Store, paths: TrialPaths) -> None:
        self.client, self.experiment_id = store.client, store.experiment_id
        self.paths, self.outputs = paths, paths.root.parents[1]
        self.reader = Reader(paths.journal)
        self.read: set[Path] = set()  # of the files that hold one record each
        self.pending: list[Metric] = []  # records that are not in the store yet
        self.run_id = ""  # unknown until it is found or created
        self.tags: dict[str, str] = {}  # as the store has them

    def update(self, compare: bool = False) -> None:
        """Brings the run up to date; a second time in a row changes nothing.

        Args:
            compare: whether to compare the store's content, instead of trusting the run's tag `settled`.
        """
        description = described.read(self.paths)
        tried = attempts.every(self.paths.root)
        attempt = tried[-1] if tried else None
        ended = attempt is not None and not attempt.alive
        if ended:
            completeness.restore(self.paths)  # before delivery
        if not self.run_id:
            with FileLock(OutputPaths(self.outputs).record_lock):  # one of two commands creates it
                self._find_or_create(description, tried)
        unmatched = (completeness.of(self.paths).matches or "") if ended else ""
        settled = self._settled(attempt, unmatched) if attempt and ended else ""
        status = (attempt.status or names.KILLED) if attempt and ended else names.RUNNING
        changed = settled != self.tags[names.SETTLED]
        if compare and ended and not changed:
            changed = contents.differs(self.client, self.client.get_run(self.run_id), self.paths, status, tried)
        if changed or not ended:
            self._deliver()
        if changed and attempt and ended:
            self._keep_files()
            self.client.log_batch(self.run_id, metrics=contents.spent(tried))
        reason = (attempt.reason or "") if attempt and ended else ""
        told = {names.REASON: reason, names.UNMATCHED: unmatched}
        self._tag({**contents.tags(description), **self._texts(description), **self._origin(attempt), **told})
        if changed and attempt and ended:
            end = contents.milliseconds(max(one.heard for one in tried))
            self.client.set_terminated(self.run_id, status, end_time=end)
        elif changed:
            self.client.update_run(self.run_id, status=names.RUNNING)
        self._tag({names.SETTLED: settled})  # last, so that all steps are repeated if the store fails earlier

    def _settled(self, attempt: attempts.Attempt, unmatched: str) -> str:
        """Returns a summary that changes when the folder of a trial that has ended gets new content."""
        known = [attempt.number, attempt.state, _size(self.paths.journal)]
        known += [_size(self.paths.errors)] if self.paths.errors.exists() else []
        return " ".join(filter(None, (*map(str, known), unmatched)))

    def _keep_files(self) -> None:
        """Copies the files that are needed to repeat and to understand the trial."""
        for name, path in contents.kept(self.paths).items():
            self.client.log_artifact(self.run_id, str(path), str(Path(name).parent) if "/" in name else None)

    def _texts(self, description: dict[str, Any]) -> dict[str, str]:
        """Returns the run's name and description, if the store's present tags show that no person has changed them."""
        if all(self.tags.get(tag) == text for tag, text in contents.text_tags(description, self.outputs, {}).items()):
            return {}
        self.tags = {**self.tags, **self.client.get_run(self.run_id).data.tags}
        return contents.text_tags(description, self.outputs, self.tags)

    def _origin(self, attempt: attempts.Attempt | None) -> dict[str, str]:
        return origin.tags(self.paths, attempt.number) if attempt else {}

    def _find_or_create(self, description: dict[str, Any], tried: list[attempts.Attempt]) -> None:
        """Finds the trial's run; restores a deleted run, and creates one if there is none."""
        which = f"tags.{names.RECORD} = '{description[names.RECORD]}'"
        found = self.client.search_runs([self.experiment_id], which, run_view_type=ViewType.ALL)
        if found:  # earlier versions could create two: always take the same one
            run = min(found, key=lambda one: (one.info.lifecycle_stage == LifecycleStage.DELETED, one.info.run_id))
        else:
            began = contents.milliseconds(tried[0].started if tried else time.time())
            tags = {**contents.tags(description), **contents.text_tags(description, self.outputs, {})}
            run = self.client.create_run(self.experiment_id, start_time=began, tags=tags)
        if run.info.lifecycle_stage == LifecycleStage.DELETED:
            self.client.restore_run(run.info.run_id)
        params = contents.params(description)
        missing = [Param(key, value) for key, value in params.items() if key not in run.data.params]
        if missing:
            self.client.log_batch(run.info.run_id, params=missing)
        unsettled = "" if run.info.status == names.RUNNING else "unknown"
        self.tags = {names.SETTLED: unsettled, **run.data.tags}
        self.run_id = run.info.run_id  # last: the run exists, with all its params

    def _deliver(self) -> None:
        """Copies metrics with their own times and steps, so that MLflow recognizes duplicates."""
        records = self.reader.new_records()
        for path in (self.paths.cost, self.paths.errors):
            if path not in self.read and path.exists():
                records.append(journal.point(path))
                self.read.add(path)
        self.pending += contents.points(records)
        if self.pending:
            self.client.log_batch(self.run_id, metrics=self.pending)
            self.pending = []

    def _tag(self, tags: dict[str, str]) -> None:
        changed = {key: value for key, value in tags.items() if self.tags.get(key) != value}
        if changed:
            self.client.log_batch(self.run_id, tags=[RunTag(key, value) for key, value in changed.items()])
            self.tags = {**self.tags, **changed}


def deliver(store: Store, paths: TrialPaths, compare: bool = False) -> None:
    """Brings a trial's run up to date (`Run.update`); UserError if the store refuses it.

    DamagedError if the trial's own content is the reason.
    """
    try:
        Run(store, paths).update(compare)
    except MlflowException as error:
        if error.error_code == ErrorCode.Name(INVALID_PARAMETER_VALUE):  # a retry would fail again
            raise DamagedError(
                paths.root, f"holds values that MLflow does not accept ({texts.trouble(error)})"
            ) from error
        raise UserError(
            f"the MLflow store {store.uri} does not accept the record of {paths.root.name} ({texts.trouble(error)}); "
            "correct that, then give the same command"
        ) from error


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


class Courier:
    """Keeps a trial's run up to date in a separate thread, so that an unreachable store does not delay training."""

    def __init__(self, place: Place, paths: TrialPaths) -> None:
        self.place, self.paths = place, paths
        self.trouble: str | None = None  # why the last update was incomplete
        self.closing = threading.Event()
        self.thread = threading.Thread(target=self._work, daemon=True)
        self.thread.start()

    def _work(self) -> None:
        run: Run | None = None
        delay = SECONDS
        while True:
            closing, known = (
                self.closing.is_set(),
                run is not None,
            )  # set before the update, which sends all records until now
            try:
                run = run or Run(Store(self.place, folder_too=False), self.paths)
                run.update()
                self.trouble, delay = None, SECONDS
            except Exception as error:  # any error: a thread that ends silently would look finished
                self.trouble = error.what if isinstance(error, accepted.UnusableError) else texts.trouble(error)
                delay = min(2 * delay, LONGEST_SECONDS)
                run = None
                if known:  # the run may be deleted or its store moved: look for it again
                    continue
            if closing:
                return
            self.closing.wait(delay)

    def close(self) -> str | None:
        """Sends the remaining records within `CLOSING_SECONDS`; returns why some are missing, else None."""
        self.closing.set()
        self.thread.join(CLOSING_SECONDS)
        if self.thread.is_alive():
            return self.trouble or "the store does not answer"
        return self.trouble
