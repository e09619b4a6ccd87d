"""Commands that train nothing start at once: they import neither torch nor MLflow, nor what takes nearly as long."""

from pathlib import Path

import pytest

from tests.support import harness, prepared

SLOW = {"torch", "torchvision", "mlflow", "mmdet", "mmcv", "mmengine", "numpy", "pandas", "cv2", "sklearn", "scipy"}


@pytest.mark.parametrize(
    "command",
    [
        ("run.py", "--help"),
        ("run.py", "--cfg", "job"),
        ("-m", "experiments", "--help"),
        ("-m", "experiments", "status"),
    ],
    ids=" ".join,
)
def test_nothing_slow_is_imported(tmp_path: Path, command: tuple[str, ...]) -> None:
    prepared.finished(tmp_path)
    place = ("--output-dir", str(tmp_path)) if "status" in command else ()
    done = harness.run("-X", "importtime", *command, *place)
    assert done.returncode == 0
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in lines}
    assert {"experiments", "yaml"} <= imported  # else nothing was counted
    assert imported & SLOW == set()
