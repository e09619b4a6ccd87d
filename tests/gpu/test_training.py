"""Trials train on a GPU from the command line; one is killed and resumed; memory that runs out is named."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from experiments import names
from experiments.paths import TrialPaths
from experiments.training.failures import failure
from tests.support import harness

BOX_AP = "bbox/AP"
GROIE = ("pre=conv5", "post=attention")
ATOMICS = 0.05  # by how much losses differ between two runs that add in another order


def trained(outputs: Path, *overrides: str) -> subprocess.Popen[str]:
    """Starts a tiny trial with full GRoIE."""
    command = [sys.executable, "run.py", *harness.TINY, *GROIE, *overrides, f"output_dir={outputs}"]
    return subprocess.Popen(
        command, cwd=harness.ROOT, env=harness.of_nobody(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def finished(process: subprocess.Popen[str], outputs: Path) -> Path:
    """Returns the folder of the only trial after the command's end."""
    said, _ = process.communicate(timeout=harness.PATIENCE)
    assert process.returncode == 0, said
    (trial,) = (outputs / "trials").iterdir()
    return trial


@pytest.mark.parametrize("architecture", harness.options()["architecture"])
def test_a_trial_trains_and_says_which_gpu(tmp_path: Path, architecture: str) -> None:
    trial = finished(trained(tmp_path, f"architecture={architecture}"), tmp_path)
    records = [json.loads(line) for line in (trial / "journal.jsonl").read_text().splitlines()]
    epochs = [record for record in records if "step" in record and BOX_AP in record["metrics"]]
    assert [record["step"] for record in epochs] == [1, 2]
    assert all(record["metrics"]["cost/gpu_memory_gib"] > 0 for record in epochs)
    provenance = json.loads((trial / "provenance" / "0001.json").read_text())
    assert provenance["machine"]["gpus"] != []
    assert json.loads((trial / "attempts" / "0001.json").read_text())["device"].startswith("1 x NVIDIA")
    assert yaml.safe_load((trial / "config.yaml").read_text())["resources"]["gpus"] == "auto"
    assert "RoIs pooled by Triton" in harness.runs(tmp_path)[0].data.tags[names.OPERATORS]


def losses(trial: Path) -> dict[tuple[str, int], float]:
    return {(name, step): value for name, step, value, _ in harness.journal_metrics(trial) if "loss" in name}


def test_a_trial_that_was_killed_is_resumed_to_its_twins_losses(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("killed", "twin")]
    killed, twin = (trained(folder) for folder in folders)
    until = time.monotonic() + harness.PATIENCE
    while not list(folders[0].glob("trials/*/work/epoch_1.pth")) and killed.poll() is None:
        assert time.monotonic() < until
        time.sleep(0.02)
    (folder,) = (folders[0] / "trials").iterdir()
    ranks = [
        process
        for process in harness.processes_of(folder)
        if b"torch.distributed.run" not in Path(f"/proc/{process}/cmdline").read_bytes()
    ]
    os.kill(min(ranks), signal.SIGKILL)
    expected = losses(finished(twin, folders[1]))
    found = losses(finished(killed, folders[0]))
    first, second = harness.attempts(folder)
    assert (first["status"], first["transient"]) == ("FAILED", True)
    assert second["status"] == "FINISHED"
    assert found.keys() == expected.keys() != set()
    assert list(found.values()) == pytest.approx(list(expected.values()), rel=ATOMICS, abs=ATOMICS)


def test_memory_that_runs_out_is_named(tmp_path: Path) -> None:
    paths: Any = TrialPaths(tmp_path)
    with pytest.raises(torch.OutOfMemoryError) as raised:
        torch.empty(2**42, device="cuda")
    told = failure(raised.value, paths)
    assert (told["status"], told["transient"]) == (names.FAILED, True)
    assert told["memory_at"] == 0  # in the first step: a second time there, it never fits
    assert "Tried to allocate" in told["reason"]
