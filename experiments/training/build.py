"""Turns our resolved configuration into MMEngine's `Config`; the model is in `detector`."""

from importlib import resources
from pathlib import Path

from mmengine.config import Config

from experiments.data.datasets import Split
from experiments.paths import TrialPaths
from experiments.settings import Settings
from experiments.training import detector, edits


def detector_config(settings: Settings, splits: dict[str, Split], paths: TrialPaths, processes: int) -> Config:
    """Returns the complete MMEngine config of a trial on `processes` ranks.

    Args:
        settings: of the trial.
        splits: train and val, as `datasets.locate` returns them.
        paths: where checkpoints, logs and the journal go.
        processes: ranks that share the batch; divides `schedule.batch_size`.

    Raises:
        UserError: factors edit the same key, or one that the harness sets.
    """
    cfg = base_config(settings)
    shipped = detector.width(cfg.model)
    detector.follow(cfg.model, settings)
    _set_schedule(cfg, settings)
    edited = edits.apply(cfg, settings.edits)
    # From here on, what no factor may change.
    detector.fit(cfg.model, settings, len(splits["train"].classes), shipped)
    _set_data(cfg, settings, splits, processes)
    cfg.train_cfg.max_epochs = settings.schedule.epochs
    cfg.val_evaluator = dict(
        type="ExactCocoMetric",
        ann_file=str(splits["val"].annotations),
        metric=settings.architecture.iou_types,
        folder=str(paths.root),
    )
    cfg.default_hooks.checkpoint = None  # the trial's hook saves, after the evaluation and in one step
    trial = dict(type="TrialHook", folder=str(paths.root), seed=settings.seed, priority="VERY_LOW")
    cfg.custom_hooks = [dict(type="CostHook"), trial]
    modules = ("cost", "hooks", "evaluation", "images", "randomness")
    cfg.custom_imports = dict(imports=["groie", *(f"experiments.training.{module}" for module in modules)])
    cfg.randomness = dict(seed=settings.seed)
    cfg.work_dir = str(paths.work)
    cfg.launcher = "pytorch" if processes > 1 else "none"
    edits.require_kept(cfg, edited)
    return cfg


def base_config(settings: Settings) -> Config:
    """Returns MMDetection's own config of the trial's architecture."""
    # like mmengine.hub.get_config, which takes a second because it first reads a hundred files on weights
    return Config.fromfile(Path(str(resources.files("mmdet"))) / ".mim" / "configs" / settings.architecture.base)


def _set_data(cfg: Config, settings: Settings, splits: dict[str, Split], processes: int) -> None:
    workers = settings.resources.loader_workers
    for split, loader in (("train", cfg.train_dataloader), ("val", cfg.val_dataloader)):
        dataset = loader.dataset
        dataset.data_root = ""
        dataset.ann_file = str(splits[split].annotations)
        dataset.data_prefix = dict(img=str(splits[split].images))
        dataset.metainfo = dict(classes=splits["train"].classes)
        for step in dataset.pipeline:
            if step.type == "LoadImageFromFile":
                step.update(type="LoadImageAsStated", exif=list(splits[split].exif))
            if step.type == "Resize":
                step.scale = tuple(settings.profile.image_scale)
        loader.num_workers = workers
        loader.persistent_workers = workers > 0
    cfg.train_dataloader.dataset.type = "ReproducibleCocoDataset"
    cfg.train_dataloader.dataset.augmentation_seed = settings.seed
    cfg.train_dataloader.batch_size = settings.schedule.batch_size // processes
    cfg.test_dataloader = cfg.test_evaluator = cfg.test_cfg = None  # the test set is the validation set: COCO's val2017


def _set_schedule(cfg: Config, settings: Settings) -> None:
    schedule, recipe = settings.schedule, settings.recipe
    optimizer = {"type": schedule.optimizer.type, **schedule.optimizer.arguments}
    optimizer["lr"] = optimizer["lr"] * schedule.batch_size / schedule.lr_batch_size
    limit = settings.architecture.grad_clip
    clip = dict(max_norm=limit, norm_type=2) if limit else None
    cfg.optim_wrapper = dict(type="OptimWrapper", optimizer=optimizer, clip_grad=clip)
    shipped = cfg.param_scheduler[0].start_factor
    cfg.param_scheduler = [
        dict(
            type="LinearLR",
            start_factor=shipped if recipe.warmup_ratio is None else recipe.warmup_ratio,
            by_epoch=False,
            begin=0,
            end=schedule.warmup_iters,
        ),
        dict(type="MultiStepLR", by_epoch=True, milestones=schedule.milestones, gamma=0.1),
    ]
    cfg.auto_scale_lr = dict(enable=False, base_batch_size=schedule.lr_batch_size)
