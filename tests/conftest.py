"""What all tests share: an output folder, and third parties' warnings that no one here can act on are not shown."""

import gc
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

# Before torch is imported: what is computed here is tiny, and threads would cost more than they save.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_configure(config: pytest.Config) -> None:
    # a make that a test starts is nobody's child, though `make test` started the tests
    for name in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS"):
        os.environ.pop(name, None)
    # a shell that starts the tests in its background has them and all that they start ignore Ctrl-C, which some send
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # torch's own modules still use torch.jit, and say so once per use at import
    config.addinivalue_line("filterwarnings", "ignore:`torch.jit:DeprecationWarning")


def pytest_collection_finish() -> None:
    gc.freeze()  # nothing that was imported is garbage, for which MMEngine looks with each data set


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow store as MLflow makes it, which takes seconds."""
    folder = tmp_path_factory.mktemp("empty_store")
    from mlflow import MlflowClient  # only here: it takes seconds, which most tests do not need

    MlflowClient(f"sqlite:///{folder}/mlflow.db").search_experiments()
    return folder / "mlflow.db"


@pytest.fixture(scope="session")
def output_folder(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    """Makes an output folder in which nothing was run, only MLflow's store is there."""

    def make() -> Path:
        folder = tmp_path_factory.mktemp("outputs")
        shutil.copy(empty_store, folder)
        return folder

    return make
