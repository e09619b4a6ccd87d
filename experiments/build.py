"""From our resolved configuration to MMEngine's `Config`: the only file that knows both vocabularies.

MMDetection's own config of the architecture is inherited; what is set here is the extractors, the data, the schedule
and the record. A profile's `model` is merged as it stands, in MMDetection's words.
"""

from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.hub import get_config

from experiments.datasets import Split, classes
from experiments.paths import TrialPaths

Settings = dict[str, Any]


def detector_config(config: Settings, splits: dict[str, Split], paths: TrialPaths, processes: int) -> Config:
    """Returns the complete MMEngine config of a trial on `processes` ranks.

    Args:
        config: the trial's resolved configuration.
        splits: train and val, as `datasets.locate` gives them.
        paths: where checkpoints, logs and the journal go.
        processes: ranks that share the batch; divides `schedule.batch_size`.
    """
    cfg = get_config(f"mmdet::{config['architecture']['base']}")
    cfg.merge_from_dict({"model": config["profile"]["model"]})
    _set_classes(cfg.model.roi_head, len(classes(splits["train"].annotations)))
    for place, output_size in config["architecture"]["extractors"].items():
        cfg.model.roi_head[place] = extractor_config(config, cfg.model.neck.out_channels, output_size)
    _set_data(cfg, config, splits, processes)
    _set_schedule(cfg, config)
    cfg.default_hooks.checkpoint = dict(type="CheckpointHook", interval=1, max_keep_ckpts=1)
    cfg.custom_hooks = [dict(type="JournalHook", path=str(paths.journal))]
    cfg.custom_imports = dict(imports=["groie", "experiments.hooks", "experiments.evaluation"])
    cfg.randomness = dict(seed=config["seed"])
    cfg.work_dir = str(paths.work)
    cfg.launcher = "pytorch" if processes > 1 else "none"
    return cfg


def extractor_config(config: Settings, channels: int, output_size: int) -> ConfigDict:
    """Returns the config of a RoI extractor: the aggregation's class with the variant's modules around it."""
    aggregation = {key: value for key, value in config["aggregation"].items() if key != "name"}
    return ConfigDict(
        **aggregation,
        roi_layer=dict(type="RoIAlign", output_size=output_size, sampling_ratio=config["recipe"]["sampling_ratio"]),
        out_channels=channels,
        featmap_strides=[4, 8, 16, 32],
        pre=_module(config["pre"]),
        post=_module(config["post"]),
    )


def _module(choice: Settings) -> Settings | None:
    """Returns a menu option as the extractor takes it: arguments without the option's name, None for no module."""
    return {key: value for key, value in choice.items() if key != "name"} if choice["type"] else None


def _set_classes(roi_head: ConfigDict, count: int) -> None:
    for head in (roi_head.bbox_head, roi_head.get("mask_head")):
        if head is not None:
            head.num_classes = count


def _set_data(cfg: Config, config: Settings, splits: dict[str, Split], processes: int) -> None:
    workers = config["resources"]["loader_workers"]
    for split, loader in (("train", cfg.train_dataloader), ("val", cfg.val_dataloader)):
        dataset = loader.dataset
        dataset.data_root = ""
        dataset.ann_file = str(splits[split].annotations)
        dataset.data_prefix = dict(img=str(splits[split].images))
        dataset.metainfo = dict(classes=classes(splits["train"].annotations))
        for step in dataset.pipeline:
            if step.type == "Resize":
                step.scale = tuple(config["profile"]["image_scale"])
        loader.num_workers = workers
        loader.persistent_workers = workers > 0
    cfg.train_dataloader.batch_size = config["schedule"]["batch_size"] // processes
    cfg.val_evaluator = dict(
        type="ExactCocoMetric", ann_file=str(splits["val"].annotations), metric=config["architecture"]["iou_types"]
    )
    cfg.test_dataloader = cfg.test_evaluator = cfg.test_cfg = None  # validation is the test: COCO's val2017


def _set_schedule(cfg: Config, config: Settings) -> None:
    schedule, recipe = config["schedule"], config["recipe"]
    cfg.train_cfg.max_epochs = schedule["epochs"]
    optimizer = dict(schedule["optimizer"])
    optimizer["lr"] = optimizer["lr"] * schedule["batch_size"] / schedule["lr_batch_size"]
    clip = dict(max_norm=recipe["grad_clip"], norm_type=2) if recipe["grad_clip"] else None
    cfg.optim_wrapper = dict(type="OptimWrapper", optimizer=optimizer, clip_grad=clip)
    cfg.param_scheduler = [
        dict(
            type="LinearLR",
            start_factor=recipe["warmup_ratio"],
            by_epoch=False,
            begin=0,
            end=schedule["warmup_iters"],
        ),
        dict(type="MultiStepLR", by_epoch=True, milestones=schedule["milestones"], gamma=0.1),
    ]
    cfg.auto_scale_lr = dict(enable=False, base_batch_size=schedule["lr_batch_size"])
