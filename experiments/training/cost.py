"""What a variant costs: parameters and multiply-adds, counted without training; time and memory, measured in it."""

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
TIMED = 50  # steps of an epoch that are
PASSES = 3  # of training, by multiply-adds: forward, gradients by inputs, gradients by weights


@dataclass(frozen=True)
class Cost:
    """Of a detector. gmacs are 10^9 multiply-adds for one image in test, None where they could not be counted.

    One multiply-add counts one, as in MMDetection's GFLOPs; groie/cost.py says what counts.
    """

    parameters: int
    trainable_parameters: int
    extractor_parameters: int
    gmacs: float | None
    extractor_gmacs: float | None


def count(model: Mapping[str, Any], width: int, height: int) -> Cost:
    """Returns the cost of a two-stage detector; nothing is computed, nothing loaded.

    Where an operator cannot run without values (`predict`), a warning says why gmacs are None.

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
    except Exception as error:  # of any operator or head: what cannot be counted can still be trained
        warnings.warn(f"multiply-adds were not counted: {type(error).__name__}: {error}", stacklevel=2)
        macs = share = None
    trainable = sum(parameter.numel() for parameter in detector.parameters() if parameter.requires_grad)
    return Cost(_size(detector), trainable, sum(map(_size, extractors)), macs, share)


def training_gmacs(model: Mapping[str, Any], width: int, height: int) -> float | None:
    """Returns 10^9 multiply-adds of one image in training; None where they could not be counted.

    Three times the forward pass: a layer's gradients by its input and by its weights cost as much as itself. Of
    proposals there are as many as the sampler draws, not as many as the RPN leaves in test, and of boxes for
    masks or grids as many as it takes for objects. Frozen layers are counted like the others, so it is a little much.
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
    """Has a detector without memory look at an image; returns its multiply-adds, and its extractors' part in them.

    Its own code for test runs on tensors without values: backbone, neck, RPN, every stage of a cascade for as many
    proposals, and masks or grids for as many detections as `test_cfg` allows, of all sizes (`groie.cost.squares`).
    The image is padded as MMDetection pads it. Raises what the detector raises: torch's error where one part does not
    fit the next, or where an operator, as mmcv's deformable convolution, cannot run so; that names the meta device.
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
    """Replaces what depends on the image: heads find as many boxes as they may, whatever they compute."""

    def found(most: int) -> Any:
        boxes = squares(most, height, width)[:, 1:]
        result = InstanceData(bboxes=boxes, scores=torch.ones(most), labels=torch.zeros(most, dtype=torch.long))
        # Heads for masks and grids are given the boxes that theirs are of.
        return lambda *_, results_list=None, **__: results_list or [result]

    limits = detector.test_cfg
    for module in detector.modules():
        if hasattr(module, "predict_by_feat"):
            module.predict_by_feat = found((limits.rpn if module is detector.rpn_head else limits.rcnn).max_per_img)
        if hasattr(module, "regress_by_class"):  # between the stages of a cascade
            module.regress_by_class = lambda rois, *_: rois


def as_metrics(cost: Cost) -> dict[str, float]:
    """Returns what is known under the metrics' names."""
    return {names.COST + name: float(value) for name, value in asdict(cost).items() if value is not None}


@HOOKS.register_module()
class CostHook(Hook):
    """Measures each epoch and adds to its metrics, before hooks of lower priority read them.

    cost/seconds_per_image: median over the validation images, one a batch, of the detector's forward: from pixels on
        the device to boxes and masks of the original size. Neither loading nor normalising the image is in it.
    cost/seconds_per_iteration: median over some steps of forward, backward and optimizer; the batch is loaded by then.
    cost/gpu_memory_gib: highest memory of tensors in training. Only of a GPU: a process on the CPU holds hundreds of
        MiB of Python and libraries, beside which variants differ by less than its allocator's whims.

    All are the first rank's. Times wait for the GPU before and after; the first of an epoch are left out.
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
    """Returns the median without the first, which are slower; of all where there are only these."""
    return statistics.median(seconds[WARM_UP:] or seconds)
