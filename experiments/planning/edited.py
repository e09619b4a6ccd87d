"""Tries what factors edit outside the detector: one image through each pipeline, one step of each optimizer."""

import contextlib
import copy
import io
import json
import logging
from collections.abc import Callable, Sequence
from typing import Any

from experiments.errors import UserError
from experiments.planning.rehearsal import unplaced
from experiments.planning.trial_builds import told
from experiments.settings import Settings

DRAWS = 20  # of an image through a pipeline


def rehearse(trials: Sequence[Settings]) -> None:
    """Runs what is distinct among the edited pipelines and optimizers; UserError with what they say."""
    distinct = {json.dumps([trial.edits, trial.schedule.model_dump()], sort_keys=True): trial for trial in trials}
    for settings in distinct.values():
        touched = {key for changes in settings.edits.values() for key in changes}
        if not touched:
            continue
        choice = " ".join(f"{group}={getattr(settings, group).name}" for group in settings.edits)
        cfg = unplaced(settings)
        tried: list[tuple[Callable[[Any], None], Any]] = []
        if touched & {"optim_wrapper", "param_scheduler"}:
            tried.append((_optimize, cfg))
        for loader in sorted(touched & {"train_dataloader", "val_dataloader"}):
            tried.append((_transform, cfg[loader].dataset.pipeline))
        for attempt, part in tried:
            try:
                attempt(copy.deepcopy(part))
            except Exception as error:  # of any transform, optimizer or schedule
                raise UserError(f"{choice} cannot be used: {told(error)}") from error


def _transform(pipeline: list[dict[str, Any]]) -> None:
    import groie  # noqa: F401 (it stands in for the operators that mmcv lacks)

    # isort: split
    import numpy as np
    import torch
    from mmcv.transforms import Compose
    from mmdet.registry import TRANSFORMS
    from mmdet.structures.bbox import HorizontalBoxes
    from mmdet.structures.mask import BitmapMasks
    from mmengine.registry import DefaultScope

    height, width = 96, 128
    masks = np.zeros((1, height, width), np.uint8)
    masks[0, 20:60, 30:90] = 1
    sample = dict(
        img=np.full((height, width, 3), 128, np.uint8),
        img_shape=(height, width),
        ori_shape=(height, width),
        height=height,
        width=width,
        img_id=1,
        img_path="",
        gt_bboxes=HorizontalBoxes(torch.tensor([[30.0, 20.0, 90.0, 60.0]])),
        gt_bboxes_labels=np.zeros(1, np.int64),
        gt_ignore_flags=np.zeros(1, bool),
        gt_masks=BitmapMasks(masks, height, width),
    )
    with DefaultScope.overwrite_default_scope("mmdet"):
        with contextlib.redirect_stdout(io.StringIO()):  # MMDetection prints which data sets it leaves out
            import mmdet.datasets.transforms  # noqa: F401 (they register themselves)
        steps = [TRANSFORMS.build(step) for step in pipeline if not step["type"].startswith("Load")]
        # A random crop may drop an image now and then.
        if all(Compose(steps)(copy.deepcopy(sample)) is None for _ in range(DRAWS)):
            raise ValueError("the pipeline drops an image with one object in its middle")


def _optimize(cfg: Any) -> None:
    import torch
    from mmengine.optim import OPTIMIZERS, build_optim_wrapper
    from mmengine.registry import PARAM_SCHEDULERS

    model = torch.nn.Sequential(torch.nn.Conv2d(3, 3, 3), torch.nn.BatchNorm2d(3))
    OPTIMIZERS.build({**cfg.optim_wrapper.optimizer, "params": list(model.parameters())})  # names what is unknown
    logging.disable(logging.INFO)  # MMEngine tells each weight's options
    try:
        wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    finally:
        logging.disable(logging.NOTSET)
    scheduled = cfg.param_scheduler if isinstance(cfg.param_scheduler, list) else [cfg.param_scheduler]
    curves = [PARAM_SCHEDULERS.build(one, default_args=dict(optimizer=wrapper.optimizer)) for one in scheduled]
    wrapper.update_params(model(torch.ones(2, 3, 8, 8)).sum())
    for curve in curves:
        curve.step()
