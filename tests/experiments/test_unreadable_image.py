"""An image that is there but cannot be read: the trial fails and says which."""

from collections.abc import Callable
from pathlib import Path

import cv2
import harness
import numpy as np
import pytest
from conftest import Preloaded
from mistakes import content, data

from experiments import names

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.parametrize("loader_workers", [0, 1])
def test_reason_names_the_file(
    preloaded: Preloaded, output_folder: Callable[[], Path], tmp_path: Path, loader_workers: int
) -> None:
    """Also where another process reads it, which sends its exception as the text of a traceback."""
    arguments = data(tmp_path, content())
    whole, broken = (tmp_path / "images" / f"{number}.png" for number in (1, 2))
    cv2.imwrite(str(whole), np.zeros((80, 100, 3), np.uint8))
    broken.write_bytes(whole.read_bytes()[:20])
    outputs = output_folder()
    done = preloaded.run(
        *arguments, *harness.TINY[3:], f"resources.loader_workers={loader_workers}", f"output_dir={outputs}"
    )
    assert done.code == 1, done.stdout + done.stderr
    (run,) = harness.runs(outputs)
    assert run.info.status == names.FAILED
    assert run.data.tags[names.REASON] == f"AssertionError: failed to load image: {broken}"
    assert str(broken) in done.stdout
