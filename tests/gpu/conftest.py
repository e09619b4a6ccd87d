"""Tests that need a GPU: `python -m pytest tests/gpu`; without one they say so and are skipped."""

import pytest
import torch


@pytest.fixture(autouse=True)
def _float32() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no GPU is visible here")
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.manual_seed(0)
