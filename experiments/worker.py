"""One rank of a trial: `torchrun -m experiments.worker TRIAL_FOLDER`. The only file with a Runner in it.

Not a Hydra program: it knows the frozen configuration in its folder and nothing of the sweep.
"""

import os
import sys
from pathlib import Path

import torch
import yaml
from mmengine.runner import Runner
from mmengine.utils import import_modules_from_strings

from experiments import build, datasets
from experiments.paths import TrialPaths


def train(paths: TrialPaths) -> None:
    """Trains and evaluates the trial in `paths`, from its start to its last epoch."""
    config = yaml.safe_load(paths.config.read_text())
    ranks = int(os.environ["WORLD_SIZE"])
    if ranks > 1 and not torch.cuda.is_available():
        # Before the Runner does: MMEngine's own start of a process group asks for a GPU even with gloo.
        torch.distributed.init_process_group("gloo")
    cfg = build.detector_config(config, datasets.locate(config), paths, ranks)
    if ranks > 1 and not torch.cuda.is_available():
        # Its own choice but for the device, which would be a GPU.
        cfg.model_wrapper_cfg = dict(type="MMDistributedDataParallel", broadcast_buffers=False, device_ids=None)
    if int(os.environ["RANK"]) == 0:
        cfg.dump(paths.detector_config)
    import_modules_from_strings(**cfg.custom_imports)  # MMEngine does so only for configs read from a file
    Runner.from_cfg(cfg).train()


def main() -> None:
    paths = TrialPaths(Path(sys.argv[1]))
    try:
        train(paths)
    except BaseException as error:
        paths.error.write_text(f"{type(error).__name__}: {error}".partition("\n")[0])
        raise


if __name__ == "__main__":
    main()
