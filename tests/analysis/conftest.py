"""A real MLflow store, written once per session: creating one takes seconds."""

import pytest

from analysis.read.runs import Run, of_experiment
from experiments import names
from tests.support.recorded import DECLARED, Recorder, record_declared_sweeps, record_two_sweeps


@pytest.fixture(scope="session")
def recorder(tmp_path_factory: pytest.TempPathFactory) -> Recorder:
    """Returns the writer of the store that all tests read; what they add of their own belongs to no sweep in it."""
    recorder = Recorder(tmp_path_factory.mktemp("store"))
    record_two_sweeps(recorder)
    return recorder


@pytest.fixture(scope="session")
def runs(recorder: Recorder) -> list[Run]:
    """Returns all runs of the store."""
    return of_experiment(recorder.client, names.EXPERIMENT, recorder.uri)


@pytest.fixture(scope="session")
def declared_recorder(recorder: Recorder) -> Recorder:
    """Returns the writer of the experiment that holds runs of declared sweeps, in the same store."""
    declared = Recorder(recorder.folder, DECLARED)
    record_declared_sweeps(declared)
    return declared


@pytest.fixture(scope="session")
def declared_runs(declared_recorder: Recorder) -> list[Run]:
    """Returns all runs of declared sweeps."""
    return of_experiment(declared_recorder.client, DECLARED, declared_recorder.uri)
