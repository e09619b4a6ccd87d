"""The cost of a variant: parameters and multiply-adds, counted; time and memory, measured in training."""

import copy
import math
import statistics
import time
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch

import groie  # noqa: F401 (it stands in for the operators that mmcv lacks)

# isort: split
from mmdet.models.roi_heads.roi_extractors.base_roi_extractor import BaseRoIExtractor
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS, DefaultScope
from mmengine.runner import Runner
from mmengine.structures import InstanceData
from torch import nn

from experiments import names
from groie.cost import MultiplyAdds, squares

WARM_UP = 5  # steps and images that are not timed
TIMED = 50  # steps of an epoch that are timed
PASSES = 3  # factor from a forward pass to training: forward, gradients by inputs, gradients by weights


@dataclass(frozen=True)
class Cost:
    """The cost of a detector. gmacs are 10^9 multiply-adds for one image in test, None if they could not be counted.

    One multiply-add counts as one, as in MMDetection's GFLOPs; groie/cost.py lists the operations that count.
    """

    parameters: int
    trainable_parameters: int
    extractor_parameters: int
    gmacs: float | None
    extractor_gmacs: float | None


def count(model: Mapping[str, Any], width: int, height: int) -> Cost:
    """Returns the cost of a two-stage detector, without computing values or loading weights.

    If an operator cannot run on the meta device (`predict`), gmacs are None and a warning gives the reason.

    Args:
        model: the `model` of the trial's MMDetection config.
        width, height: of the image in pixels: `profile.image_scale`.
    """
    with torch.device("meta"), DefaultScope.overwrite_default_scope("mmdet"):
        detector = MODELS.build(copy.deepcopy(model)).eval()  # MMDetection writes into it
    extractors = [module for module in detector.modules() if isinstance(module, BaseRoIExtractor)]
    macs: float | None
    share: float | None
    try:
        macs, share = (total / 1e9 for total in predict(detector, width, height))
    except Exception as error:  # of any operator or head; the detector can still be trained
        warnings.warn(f"multiply-adds were not counted: {type(error).__name__}: {error}", stacklevel=2)
        macs = share = None
    trainable = sum(parameter.numel() for parameter in detector.parameters() if parameter.requires_grad)
    return Cost(_size(detector), trainable, sum(map(_size, extractors)), macs, share)


def training_gmacs(model: Mapping[str, Any], width: int, height: int) -> float | None:
    """Returns 10^9 multiply-adds of one image in training; None if they could not be counted.

    This is three times the forward pass: each of a layer's gradients, by its input and by its weights, costs as much as
    the layer. The number of proposals is that of the sampler, not of the RPN in test; masks or grids get as many boxes
    as the sampler's positives. Frozen layers are counted like the others, so the number is slightly too high.
    """
    model = copy.deepcopy(dict(model))
    stages = model["train_cfg"]["rcnn"]
    sampler = (stages if isinstance(stages, Mapping) else stages[0])["sampler"]
    model["test_cfg"]["rpn"]["max_per_img"] = sampler["num"]
    model["test_cfg"]["rcnn"]["max_per_img"] = round(sampler["num"] * sampler["pos_fraction"])
    forward = count(model, width, height).gmacs
    return None if forward is None else PASSES * forward


def _size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def predict(detector: Any, width: int, height: int) -> tuple[int, int]:
    """Has a detector on the meta device predict an image; returns its multiply-adds, and the part of its extractors.

    Its own test code runs on tensors without values: backbone, neck, RPN, every stage of a cascade with the same number
    of proposals, and masks or grids for as many detections as `test_cfg` allows, of all sizes (`groie.cost.squares`).
    The image is padded as in MMDetection. Raises the detector's errors: torch's error if parts do not fit, or if an
    operator such as mmcv's deformable convolution cannot run on the meta device, which the message then names.
    """
    divisor = getattr(detector.data_preprocessor, "pad_size_divisor", 1)
    size = tuple(math.ceil(side / divisor) * divisor for side in (height, width))
    _fix_numbers(detector, *size)
    sample = DetDataSample(metainfo=dict(img_shape=size, ori_shape=size, scale_factor=(1.0, 1.0)))
    parts: list[int] = []
    with torch.no_grad(), MultiplyAdds(detector) as counted:
        for extractor in (module for module in detector.modules() if isinstance(module, BaseRoIExtractor)):
            extractor.register_forward_pre_hook(lambda *_: parts.append(-counted.total))
            extractor.register_forward_hook(lambda *_: parts.append(counted.total))
        detector(torch.empty(1, 3, *size, device="meta"), [sample], mode="predict")
    return counted.total, sum(parts)


def _fix_numbers(detector: Any, height: int, width: int) -> None:
    """Replaces the steps that depend on values: heads find as many boxes as they may."""

    def found(most: int) -> Any:
        boxes = squares(most, height, width)[:, 1:]
        result = InstanceData(bboxes=boxes, scores=torch.ones(most), labels=torch.zeros(most, dtype=torch.long))
        # Heads for masks and grids get the boxes of their features.
        return lambda *_, results_list=None, **__: results_list or [result]

    limits = detector.test_cfg
    for module in detector.modules():
        if hasattr(module, "predict_by_feat"):
            module.predict_by_feat = found((limits.rpn if module is detector.rpn_head else limits.rcnn).max_per_img)
        if hasattr(module, "regress_by_class"):  # between the stages of a cascade
            module.regress_by_class = lambda rois, *_: rois


def as_metrics(cost: Cost) -> dict[str, float]:
    """Returns the known values by the metrics' names."""
    return {names.COST + name: float(value) for name, value in asdict(cost).items() if value is not None}


@HOOKS.register_module()
class CostHook(Hook):
    """Measures each epoch and adds to its metrics, before hooks of lower priority read them.

    cost/seconds_per_image: median over the validation images, one per batch, of the detector's forward pass: from
        pixels on the device to boxes and masks of the original size, without loading and normalising the image.
    cost/seconds_per_iteration: median over some steps of forward, backward and optimizer; without loading the batch.
    cost/gpu_memory_gib: highest memory of tensors in training, only on a GPU. A process on the CPU holds hundreds of
        MiB of Python and libraries, so the differences between variants are lost in the allocator's noise.

    All values are from the first rank. The GPU is synchronised before and after each time; the first times of an epoch
    are left out.
    """

    priority = "NORMAL"  # before MMEngine's LoggerHook, which resets the GPU's highest memory whenever it logs

    def before_train_epoch(self, runner: Runner) -> None:
        self.steps: list[float] = []
        self.memory = 0
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None) -> None:
        if batch_idx < WARM_UP + TIMED:
            self.started = _now()

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: dict | None = None
    ) -> None:
        if batch_idx < WARM_UP + TIMED:
            self.steps.append(_now() - self.started)
        if torch.cuda.is_available():
            self.memory = max(self.memory, torch.cuda.max_memory_allocated())

    def before_val_epoch(self, runner: Runner) -> None:
        self.images: list[float] = []
        detector = runner.model.module if is_model_wrapper(runner.model) else runner.model
        self.clock = [
            detector.register_forward_pre_hook(lambda *_: self.images.append(-_now())),
            detector.register_forward_hook(lambda *_: self.images.append(self.images.pop() + _now())),
        ]

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        for handle in self.clock:
            handle.remove()
        assert metrics is not None
        metrics[names.SECONDS_PER_IMAGE] = _typical(self.images)
        metrics[names.SECONDS_PER_ITERATION] = _typical(self.steps)
        if self.memory:
            metrics[names.TRAINING_MEMORY] = self.memory / 2**30


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def _typical(seconds: list[float]) -> float:
    """Returns the median without the first times, which are slower; the median of all if there are no others."""
    return statistics.median(seconds[WARM_UP:] or seconds)
