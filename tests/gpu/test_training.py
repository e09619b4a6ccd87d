"""A trial trains on a GPU from the command line, is stopped, and is resumed in the same run."""

import json
from pathlib import Path

import harness
import pytest
import yaml

BOX_AP = "bbox/AP"


@pytest.mark.parametrize("architecture", ["faster_rcnn", "mask_rcnn"])
def test_a_trial_trains_and_says_which_gpu(tmp_path: Path, architecture: str) -> None:
    done = harness.run(
        "run.py", *harness.TINY, f"architecture={architecture}", "pre=conv5", "post=attention", f"output_dir={tmp_path}"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (trial,) = (tmp_path / "trials").iterdir()
    records = [json.loads(line) for line in (trial / "journal.jsonl").read_text().splitlines()]
    epochs = [record for record in records if "step" in record and BOX_AP in record["metrics"]]
    assert [record["step"] for record in epochs] == [1, 2]
    assert all(record["metrics"]["cost/gpu_memory_gib"] > 0 for record in epochs)
    provenance = json.loads((trial / "provenance" / "0001.json").read_text())
    assert provenance["machine"]["gpus"] != []
    assert json.loads((trial / "attempts" / "0001.json").read_text())["device"].startswith("1 x NVIDIA")
    assert yaml.safe_load((trial / "config.yaml").read_text())["resources"]["gpus"] == "auto"
