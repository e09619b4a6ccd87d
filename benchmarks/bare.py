"""`python -m benchmarks.bare DETECTOR_PY WORK_DIR`: a trial's frozen config by MMEngine's Runner alone."""

import sys

from mmengine.config import Config
from mmengine.runner import Runner


def main() -> None:
    cfg = Config.fromfile(sys.argv[1])
    cfg.custom_imports.imports = [name for name in cfg.custom_imports.imports if not name.endswith(("hooks", "cost"))]
    cfg.custom_hooks = []
    cfg.default_hooks.checkpoint = dict(type="CheckpointHook", interval=1, max_keep_ckpts=2)
    cfg.work_dir = cfg.val_evaluator.folder = sys.argv[2]
    Runner.from_cfg(cfg).train()


if __name__ == "__main__":
    main()
