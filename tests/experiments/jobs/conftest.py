"""Two real trials whose matches are not made yet."""

import shutil
from pathlib import Path

import pytest

from tests.support import matched


@pytest.fixture
def bare(copied: Path, empty_store: Path) -> Path:
    """The two trials as if their commands had ended before they made matches and errors, and MLflow had been away."""
    shutil.copy(empty_store, copied)
    for trial in copied.glob("trials/*"):
        for name in matched.MADE:
            (trial / name).unlink()
    return copied
