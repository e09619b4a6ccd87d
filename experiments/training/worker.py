"""One rank of a trial: `torchrun -m experiments.training.worker FOLDER ATTEMPT`. The only file with a Runner in it.

It is not a Hydra program: it reads only the frozen configuration in its folder.
"""

import gc
import json
import os
import sys
from pathlib import Path
from typing import Any

import torch
from mmengine.runner import Runner
from mmengine.utils import import_modules_from_strings

from experiments import files, names, patches
from experiments.data import datasets
from experiments.paths import TrialPaths
from experiments.training import build, cost, failures
from experiments.trial import attempts, checkpoints, described, journal, sources


def train(paths: TrialPaths, attempt: int) -> dict[str, Any]:
    """Trains and evaluates the trial in `paths` after its last complete epoch; returns how the training ended."""
    patches.format_configs_once()
    settings = described.settings(paths)
    ranks = int(os.environ["WORLD_SIZE"])
    cfg = build.detector_config(settings, datasets.locate(settings), paths, ranks)
    if ranks > 1 and not torch.cuda.is_available():
        # Before the Runner does it: MMEngine's start of a process group needs a GPU even with gloo.
        torch.distributed.init_process_group("gloo")
        # MMEngine's own choice except for the device, which would be a GPU.
        cfg.model_wrapper_cfg = dict(type="MMDistributedDataParallel", broadcast_buffers=False, device_ids=None)
    if int(os.environ["RANK"]) == 0:
        cfg.dump(paths.detector_config)
        if not paths.cost.exists():
            counted = cost.as_metrics(cost.count(cfg.model, *settings.profile.image_scale))
            files.write(paths.cost, json.dumps(journal.stamped(step=0, metrics=counted), indent=1))
    checkpoint = checkpoints.newest(paths.work)
    if checkpoint is not None:
        cfg.load_from, cfg.resume = str(checkpoint), True
    import_modules_from_strings(**cfg.custom_imports)  # MMEngine does so only for configs read from a file
    gc.freeze()  # MMEngine collects garbage with every data set; imported modules need not be searched
    runner = Runner.from_cfg(cfg)
    if int(os.environ["RANK"]) == 0:
        sources.note(
            paths, attempt, checkpoints.epoch_of(checkpoint) if checkpoint else 0, described.configuration(paths)
        )
    runner.train()
    if runner.epoch < runner.max_epochs:
        return {"status": names.KILLED, "reason": f"stopped as asked after epoch {runner.epoch}"}
    return {"status": names.FINISHED, "reason": None}


def main() -> None:
    paths = TrialPaths(Path(sys.argv[1]))
    attempt = int(sys.argv[2])
    attempts.end_with(paths.root, attempt)
    try:
        ending = train(paths, attempt)
    except BaseException as error:
        files.create(
            paths.ending, json.dumps(failures.failure(error, paths))
        )  # the first rank that fails has the reason
        raise
    if int(os.environ["RANK"]) == 0:
        files.create(paths.ending, json.dumps(ending))


if __name__ == "__main__":
    main()
