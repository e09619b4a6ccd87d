"""`run.py` whose trials do not train: fake_worker.py stands in, in whatever process and machine a trial is run.

A job is a function that the launcher sends away, so what replaces the training must go with it.
"""

import json
import os
import sys
from pathlib import Path

import hydra
from omegaconf import DictConfig

ROOT = Path(__file__).parents[3]
WORKER = ROOT / "tests" / "support" / "fake_worker.py"
sys.path.insert(0, str(ROOT))

import run as product  # noqa: E402
from experiments.command import report  # noqa: E402


@hydra.main(version_base="1.3", config_path=str(ROOT / "conf"), config_name="config")
def run(config: DictConfig) -> str:
    """Does what run.py does, and notes the job's environment in the trial's folder."""
    from experiments.jobs import ranks

    ranks.command = lambda paths, config, attempt: [
        *(*ranks.DEAF, sys.executable, str(WORKER), str(paths.root), str(attempt.number))
    ]
    with Path(config.trial_dir, "jobs").open("a") as file:
        file.write(json.dumps(dict(os.environ)) + "\n")
    return product.run.__wrapped__(config)


if __name__ == "__main__":
    sys.exit(report(run))
