"""One thread: the inputs are tiny, and threads would cost more than they save."""

import groie  # noqa: F401 (it stands in for the operators that mmcv lacks)

# isort: split
import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(20200413)
