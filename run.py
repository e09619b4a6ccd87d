"""Trains and evaluates the variants that the command line describes.

    python run.py                                          the default variant
    python run.py pre=conv5 post=attention                 one variant: the paper's GRoIE
    python run.py -m pre=conv5,conv3 post=attention        a sweep: every combination
    python run.py -m sweep=paper dry_run=true              only the plan, with an estimate of its cost
    python run.py --cfg job                                the whole configuration, nothing run

Hydra composes conf/ and the overrides; its sweeper (hydra_plugins/) plans the trials and writes each one's frozen
configuration; its launcher calls `run` below once per trial, here or on a cluster; analysis reads what MLflow holds.
"""

import sys
from pathlib import Path

import hydra
from omegaconf import DictConfig

sys.path.insert(0, str(Path(__file__).parent))  # as Python itself does without PYTHONSAFEPATH

from experiments.command import report
from experiments.factors import CONF


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")
def run(config: DictConfig) -> str:
    """Runs the planned trial in `config.trial_dir` in separate processes and returns its state."""
    from experiments.jobs.supervise import run_trial

    return run_trial(Path(config.trial_dir), Path(config.launch_dir))


def main() -> int:
    """Runs a command line; returns the exit code: 0, 1 for a failed trial, 2 for a mistake of the user."""
    return report(run)


if __name__ == "__main__":
    sys.exit(main())
