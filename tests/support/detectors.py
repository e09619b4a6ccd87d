"""MMDetection's groie configs as detectors with random weights, and the same with our extractors."""

import copy
from typing import Any

import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.utils import register_all_modules
from mmengine.config import ConfigDict
from mmengine.hub import get_config
from torch import Tensor, nn

from groie import SumLevels

CONFIGS = {  # the "faste" is theirs
    "faster_rcnn": "faste-rcnn_r50_fpn_groie_1x_coco",
    "mask_rcnn": "mask-rcnn_r50_fpn_groie_1x_coco",
    "grid_rcnn": "grid-rcnn_r50_fpn_gn-head-groie_1x_coco",
    "gcnet": "mask-rcnn_r50_fpn_syncbn-r4-gcb-c3-c5-groie_1x_coco",
    "gcnet_r101": "mask-rcnn_r101_fpn_syncbn-r4-gcb_c3-c5-groie_1x_coco",
}


def shipped(name: str) -> ConfigDict:
    """Returns the model of one of MMDetection's groie configs, as it is but for the pretrained backbone."""
    register_all_modules()
    model = get_config(f"mmdet::groie/{CONFIGS[name]}.py").model
    model.backbone.init_cfg = None
    return model


def with_our_extractors(model: ConfigDict, **options: Any) -> ConfigDict:
    """Returns the config with its extractors exchanged for GRoIE in our words, as `recipe=upstream` has it.

    `options` replace arguments of the extractors.
    """
    model = copy.deepcopy(model)
    for place, theirs in model.roi_head.items():
        if place.endswith("roi_extractor"):
            ours = dict(
                type=SumLevels,
                roi_layer=dict(theirs.roi_layer, aligned=True, sampling_ratio=2),
                out_channels=theirs.out_channels,
                featmap_strides=theirs.featmap_strides,
                pre=dict(type="RoIConv", kernel_size=5),
                post=dict(type="RoIAttention", num_heads=6),
                level_activation="none",
            )
            model.roi_head[place] = ConfigDict({**ours, **options})
    return model


def build(model: ConfigDict) -> Any:
    """Returns the detector, ready to detect; on the meta device where that is torch's default."""
    return MODELS.build(model).eval()


def randomize(detector: nn.Module) -> None:
    """Draws weights that keep activations in a sane range, so that detections depend on all of them."""
    with torch.no_grad():
        for name, parameter in detector.named_parameters():
            if parameter.dim() > 1:
                nn.init.kaiming_normal_(parameter)
            elif name.endswith("bias"):
                parameter.normal_(std=0.1)
            else:  # scales of norms, gain of attention: not zero, which would hide what they scale
                parameter.uniform_(0.2, 0.6)
            if any(layer in name for layer in ("fc_cls", "fc_reg", "rpn_reg", "deconv2", "conv_logits")):
                parameter.mul_(0.1)  # else scores are all 1 and boxes all without area


def detect(detector: Any, image: Tensor) -> Any:
    """Returns what the detector finds in an image (3, h, w): boxes, scores, labels, perhaps masks."""
    size = tuple(image.shape[1:])
    sample = DetDataSample(metainfo=dict(img_shape=size, ori_shape=size, scale_factor=(1.0, 1.0)))
    data = detector.data_preprocessor(dict(inputs=[image], data_samples=[sample]), training=False)
    with torch.no_grad():
        return detector(**data, mode="predict")[0].pred_instances
