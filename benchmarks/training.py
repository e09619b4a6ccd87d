"""What a training step of Faster R-CNN takes at the paper's size, next to MMDetection's own extractors in its place.

Random images and boxes, one batch again and again: loading is not in it. Both alternate, the median counts. On a GPU
the peer's RoIAlign is torchvision's.
"""

import groie  # noqa: F401 (it stands in for the operators that mmcv lacks)

# isort: split
import copy
from collections.abc import Callable, Iterator
from statistics import median
from typing import Any

import torch
from mmengine.model import BaseModel
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData

from benchmarks.extractor import ATTENTION, CHANNELS, FULL, STRIDES, alternated
from benchmarks.figure import Figure
from benchmarks.precision import of_device, precision

WHAT, PEER = "training step of Faster R-CNN R50", "MMDetection"
IMAGE = (800, 1344)  # height, width of a padded image of 800x1333
OBJECTS = 8  # of each image
SEED = 0


def figures(device: str | None = None, images: int = 2, repeats: int = 10) -> Iterator[Figure]:
    """Yields the seconds of a step and the images a second for each variant that MMDetection has a counterpart of."""
    from mmdet.utils import register_all_modules
    from mmengine.hub import get_config

    register_all_modules()
    on = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    if on.type == "cpu":
        repeats = 1
    cfg = get_config("mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py")
    cfg.model.backbone.init_cfg = None  # no download
    batch = _batch(images, on)
    for name, ours, peer in _pairs(on):
        models = [_model(cfg, extractor, on) for extractor in (ours, peer)]
        for number in of_device(on):
            with precision("tf32" if number == "bf16" else number):  # MMEngine's wrapper sets autocast
                steps = [_step(model, batch, number) for model in models]
                seconds = [median(times) for times in alternated(steps, repeats, on)]
            label = f"{name}, {images} images, {number}, {on.type}"
            yield Figure(label, *seconds)
            yield Figure(label, *(images / one for one in seconds), unit="images/s", more_is_better=True)


def _pairs(device: torch.device) -> list[tuple[str, dict, dict]]:
    align = dict(type="RoIAlign", output_size=7, sampling_ratio=2)
    shared = dict(roi_layer=align, out_channels=CHANNELS, featmap_strides=list(STRIDES))
    theirs = shared | dict(roi_layer=align | dict(use_torchvision=device.type == "cuda"))
    convolution = dict(type="ConvModule", in_channels=CHANNELS, out_channels=CHANNELS, kernel_size=5, padding=2)
    attention = dict(type="GeneralizedAttention", in_channels=CHANNELS, attention_type="0100", **ATTENTION)
    fused = dict(type="SumLevels", level_activation="none", **shared)
    generic = dict(type="GenericRoIExtractor", aggregation="sum", **theirs)
    before, after = dict(type="RoIConv", kernel_size=5), dict(type="RoIAttention", **ATTENTION)
    return [
        ("single", dict(type="SingleLevel", **shared), dict(type="SingleRoIExtractor", **theirs)),
        ("sum", fused, generic),
        (FULL, fused | dict(pre=before, post=after), generic | dict(pre_cfg=convolution, post_cfg=attention)),
    ]


def _model(cfg: Any, extractor: dict, device: torch.device) -> BaseModel:
    from mmdet.registry import MODELS

    torch.manual_seed(SEED)
    wanted = copy.deepcopy(cfg.model)
    wanted.roi_head.bbox_roi_extractor = extractor
    with DefaultScope.overwrite_default_scope("mmdet"):
        return MODELS.build(wanted).to(device).train()


def _step(model: BaseModel, batch: dict, number: str) -> Callable[[], object]:
    sgd = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9)
    optimizer = AmpOptimWrapper(dtype="bfloat16", optimizer=sgd) if number == "bf16" else OptimWrapper(sgd)
    return lambda: model.train_step(
        {"inputs": batch["inputs"], "data_samples": copy.deepcopy(batch["data_samples"])}, optimizer
    )


def _batch(images: int, device: torch.device) -> dict[str, list]:
    from mmdet.structures import DetDataSample

    torch.manual_seed(SEED)
    height, width = IMAGE
    samples = []
    for _ in range(images):
        size = 16 * 30 ** torch.rand(OBJECTS, 2)
        corner = torch.rand(OBJECTS, 2) * (torch.tensor([width, height]) - size)
        objects = InstanceData(bboxes=torch.cat([corner, corner + size], dim=1), labels=torch.arange(OBJECTS))
        known = dict(img_shape=IMAGE, ori_shape=IMAGE, scale_factor=(1.0, 1.0), batch_input_shape=IMAGE)
        sample = DetDataSample(metainfo=known)
        sample.gt_instances = objects
        samples.append(sample)
    pictures = [torch.randint(0, 256, (3, *IMAGE), dtype=torch.uint8).to(device) for _ in range(images)]
    return {"inputs": pictures, "data_samples": samples}
