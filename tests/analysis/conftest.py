"""A real MLflow store, written once per session: creating one takes seconds."""

import pytest
from mlflow.entities import Run
from recorded import Recorder, record_two_sweeps

from analysis import frames
from experiments import names


@pytest.fixture(scope="session")
def recorder(tmp_path_factory: pytest.TempPathFactory) -> Recorder:
    """Returns the writer of the store that all tests read; what they add of their own belongs to no sweep in it."""
    recorder = Recorder(tmp_path_factory.mktemp("store"))
    record_two_sweeps(recorder)
    return recorder


@pytest.fixture(scope="session")
def runs(recorder: Recorder) -> list[Run]:
    """Returns all runs of the store."""
    return frames.experiment_runs(recorder.client, names.EXPERIMENT, recorder.uri)
