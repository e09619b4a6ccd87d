"""What variants cost: counted without values as with them, measured by MMEngine's own loop."""

import re

import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmdet.utils import register_all_modules
from mmengine.config import ConfigDict
from mmengine.hub import get_config
from mmengine.structures import InstanceData
from torch.utils.flop_counter import FlopCounterMode

import groie.cost
from experiments.training import cost, detector
from tests.support import harness

WIDTH, HEIGHT, PROPOSALS, DETECTIONS = 150, 90, 13, 7
SEMANTIC = "htc/htc_r50_fpn_1x_coco.py"
ARCHITECTURES = harness.options()["architecture"]


@pytest.fixture(autouse=True, scope="module")
def _registered() -> None:
    register_all_modules()


def model(*overrides: str) -> ConfigDict:
    """Returns the MMDetection config of a variant for COCO's number of classes."""
    config = harness.composed(*overrides)
    wanted = get_config(f"mmdet::{config['architecture']['base']}").model
    settings, shipped = harness.typed(config), detector.width(wanted)
    detector.follow(wanted, settings)
    detector.fit(wanted, settings, 80, shipped)
    return wanted


def fixed_numbers(wanted: ConfigDict) -> ConfigDict:
    """Has a detector find a known number of boxes: the first of all that there are, none suppressed by another."""
    wanted.test_cfg.rpn.update(nms=dict(type="nms", iou_threshold=1.0), max_per_img=PROPOSALS)
    wanted.test_cfg.rcnn.update(score_thr=0.0, nms=dict(type="nms", iou_threshold=1.0), max_per_img=DETECTIONS)
    return wanted


def really(wanted: ConfigDict) -> tuple[int, int]:
    """Returns the multiply-adds of a real detection, and those of its extractors, in one image with real weights."""
    torch.manual_seed(0)
    built = MODELS.build(wanted).eval()
    sample = DetDataSample(metainfo=dict(img_shape=(HEIGHT, WIDTH), ori_shape=(HEIGHT, WIDTH), scale_factor=(1.0, 1.0)))
    image = torch.randint(0, 256, (3, HEIGHT, WIDTH), dtype=torch.uint8)
    data = built.data_preprocessor(dict(inputs=[image], data_samples=[sample]), training=False)
    with torch.no_grad(), groie.cost.MultiplyAdds(built) as counted:
        (found,) = built(**data, mode="predict")
    assert len(found.pred_instances) == DETECTIONS
    flops = {name: sum(counts.values()) for name, counts in counted.get_flop_counts().items()}  # by torch, of modules
    of_extractors = sum(count for name, count in flops.items() if re.search(r"_roi_extractor(\.\d)?$", name))
    return counted.total, of_extractors // 2 + counted.interpolation


@pytest.mark.parametrize("modules", [("aggregation=single",), ("aggregation=concat", "pre=conv3", "post=attention")])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_counted_without_values_is_what_really_runs(architecture: str, modules: tuple[str, ...]) -> None:
    wanted = fixed_numbers(model(f"architecture={architecture}", *modules))
    found = cost.count(wanted, WIDTH, HEIGHT)
    assert (found.gmacs, found.extractor_gmacs) == tuple(macs / 1e9 for macs in really(wanted))


def a_step(wanted: ConfigDict, side: int) -> float:
    """Returns 10^9 multiply-adds of a real training step on one image with twelve objects, as torch counts them."""
    torch.manual_seed(0)
    detector = MODELS.build(wanted).train()
    corners = torch.rand(12, 2) * 0.6 * side
    boxes = torch.cat([corners, corners + 10 + torch.rand(12, 2) * 0.35 * side], dim=1)
    masks = BitmapMasks(np.ones((12, side, side), np.uint8), side, side)
    sample = DetDataSample(metainfo=dict(img_shape=(side, side), ori_shape=(side, side), scale_factor=(1.0, 1.0)))
    sample.gt_instances = InstanceData(bboxes=boxes, labels=torch.arange(12) % 8, masks=masks)
    image = torch.randint(0, 256, (3, side, side), dtype=torch.uint8)
    data = detector.data_preprocessor(dict(inputs=[image], data_samples=[sample]), training=True)
    with FlopCounterMode(display=False) as counted:
        losses = detector(**data, mode="loss")
        parts = [part for name, loss in losses.items() if "loss" in name for part in ([loss], loss)[type(loss) is list]]
        sum(parts).backward()
    return counted.get_total_flops() / 2e9


@pytest.mark.parametrize(
    "overrides",
    [
        ("aggregation=single",),
        ("pre=conv5", "post=attention"),
        ("architecture=mask_rcnn", "pre=conv5", "post=attention"),
        ("architecture=grid_rcnn", "aggregation=single"),
        ("architecture=cascade_mask_rcnn", "pre=conv3"),
    ],
)
def test_training_costs_about_what_a_real_step_does(overrides: tuple[str, ...]) -> None:
    """More with masks: of objects the sampler seldom finds as many as it may take."""
    counted = cost.training_gmacs(model(*overrides), 160, 160)
    assert counted is not None
    assert 0.95 < counted / a_step(model(*overrides), 160) < 1.25


def test_head_that_is_unknown_trains_as_narrow_as_the_fpn() -> None:
    """Mask Scoring R-CNN's, which is made for 256 channels: a real step, losses and gradients."""
    base = "architecture.base=ms_rcnn/ms-rcnn_r50_fpn_1x_coco.py"
    counted = cost.training_gmacs(model("architecture=mask_rcnn", base), 160, 160)
    assert counted is not None
    assert 0.95 < counted / a_step(model("architecture=mask_rcnn", base), 160) < 1.4


def test_semantic_branch_is_counted() -> None:
    """HTC's, which conf/ leaves out: it costs parameters and multiply-adds, and its RoIs are pooled too."""
    plain = ("architecture=htc", "profile=coco", "aggregation=single")
    wanted, without = fixed_numbers(model(*plain, f"architecture.base={SEMANTIC}")), fixed_numbers(model(*plain))
    wanted.backbone.init_cfg = None
    wanted.roi_head.semantic_roi_extractor.roi_layer.sampling_ratio = 2  # shipped with 0: as many as a RoI has cells
    found, less = cost.count(wanted, WIDTH, HEIGHT), cost.count(without, WIDTH, HEIGHT)
    assert (found.gmacs, found.extractor_gmacs) == tuple(macs / 1e9 for macs in really(wanted))
    assert found.parameters > less.parameters
    assert found.extractor_gmacs > less.extractor_gmacs


@pytest.mark.parametrize(
    ("architecture", "boxes", "masks"),
    [("faster_rcnn", 1, 0), ("grid_rcnn", 1, 1), ("cascade_mask_rcnn", 3, 3), ("htc", 3, 1)],
)
def test_extractors_share(architecture: str, boxes: int, masks: int) -> None:
    """A cascade pools at each stage; HTC's masks in test are all made from one pooling, its last stage's."""
    wanted = model(f"architecture={architecture}", "profile=coco", "pre=conv5", "post=attention")
    found = cost.count(wanted, 1333, 800)
    total = 0
    for kind, times, limit in (("bbox", boxes, 1000), ("mask", masks, 100), ("grid", masks, 100)):
        place = f"{kind}_roi_extractor"
        if place in wanted.roi_head:
            rois = groie.cost.squares(limit, 800, 1344)
            total += times * groie.cost.of_extractor(MODELS.build(wanted.roi_head[place]), rois, 800, 1344).macs
    assert found.extractor_gmacs == total / 1e9


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_parameters_are_mmdetections(architecture: str) -> None:
    base = harness.composed(f"architecture={architecture}")["architecture"]["base"]
    with torch.device("meta"):
        shipped = MODELS.build(get_config(f"mmdet::{base}").model)
    plain = cost.count(model(f"architecture={architecture}", "profile=coco", "aggregation=single"), 64, 64)
    assert plain.extractor_parameters == 0
    assert plain.parameters == sum(parameter.numel() for parameter in shipped.parameters())
    full = cost.count(model(f"architecture={architecture}", "profile=coco", "aggregation=concat"), 64, 64)
    assert full.parameters - plain.parameters == full.extractor_parameters > 0


def test_counting_leaves_no_trace() -> None:
    """The config is written down and trained afterwards, with the draws that follow from the seed."""
    wanted, state = model("aggregation=random"), torch.get_rng_state()
    before = wanted.to_dict()
    first = cost.count(wanted, WIDTH, HEIGHT)
    assert wanted.to_dict() == before
    assert torch.equal(torch.get_rng_state(), state)
    assert cost.count(wanted, WIDTH, HEIGHT) == first


def test_frozen_parameters_are_not_trained() -> None:
    """profile=coco freezes the backbone's stem and first stage."""
    wanted = model("profile=coco")
    found = cost.count(wanted, 64, 64)
    backbone = MODELS.build({**wanted.backbone, "init_cfg": None})
    frozen = [*backbone.bn1.parameters(), *backbone.conv1.parameters(), *backbone.layer1.parameters()]
    assert found.parameters - found.trainable_parameters == sum(parameter.numel() for parameter in frozen)


def test_operator_without_a_meta_kernel_has_no_count(monkeypatch: pytest.MonkeyPatch) -> None:
    def forward(*_: object) -> None:
        raise NotImplementedError("deform_conv is not implemented for the device meta")

    monkeypatch.setattr(MODELS.get("ResNet"), "forward", forward)
    with pytest.warns(UserWarning, match="deform_conv is not implemented"):
        found = cost.count(model(), WIDTH, HEIGHT)
    assert (found.gmacs, found.extractor_gmacs) == (None, None)
    assert cost.as_metrics(found) == {
        "cost/parameters": found.parameters,
        "cost/trainable_parameters": found.parameters,
        "cost/extractor_parameters": 0,
    }
    assert found.parameters > 1e6
