"""Side by side with MMDetection's extractors where both mean the same; and in a config that knows only MMDetection."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from mmdet.models.roi_heads.roi_extractors import GenericRoIExtractor, SingleRoIExtractor
from mmdet.registry import MODELS

from groie import ConcatLevels, RandomLevel, RoIAlignV1, SingleLevel, SumLevels
from tests.support.inputs import (
    AGGREGATIONS,
    CHANNELS,
    STRIDES,
    assert_equal,
    build,
    gradients,
    pair,
    plain,
    pyramid,
    random_regions,
    randomize,
    regions,
    roi_align,
)

CONV = {"type": "ConvModule", "in_channels": 8, "out_channels": 8, "kernel_size": 3, "padding": 1, "inplace": False}
NONLOCAL = {"type": "NonLocal2d", "in_channels": 8, "reduction": 2, "use_scale": True}
ATTENTION = {
    "type": "GeneralizedAttention",
    "in_channels": 8,
    "spatial_range": -1,
    "num_heads": 3,
    "attention_type": "0100",
    "kv_stride": 2,
}
MODULES = ("conv3", "nonlocal", "attention")
# The menu in MMDetection's words, as its groie configs have them.
THEIRS: dict[str, dict[str, Any] | None] = {"none": None, "conv3": CONV, "nonlocal": NONLOCAL, "attention": ATTENTION}


def generic(pre: str, post: str) -> Any:
    return randomize(
        GenericRoIExtractor(
            "sum",
            pre_cfg=THEIRS[pre],
            post_cfg=THEIRS[post],
            roi_layer=roi_align(THEIRS[pre], THEIRS[post]),
            out_channels=CHANNELS,
            featmap_strides=STRIDES,
        )
    )


def assert_same(ours: Any, theirs: Any, case: str = "many", **scale: float) -> None:
    """Outputs and all gradients agree; parameters have the same names in both."""
    feats, rois = pyramid(), random_regions(40) if case == "random" else regions(case)
    out, reference = ours(feats, rois, **scale), theirs(feats, rois, **scale)
    assert_equal(out, reference)
    if case != "none":  # theirs leaves the graph there
        assert_equal(gradients(out, feats, ours), gradients(reference, feats, theirs))


@pytest.mark.parametrize(
    ("pre", "post"), [("none", "none"), *((m, "none") for m in MODULES), *(("none", m) for m in MODULES)]
)
def test_sum_without_the_hidden_relu_is_generic_roi_extractor_and_loads_its_checkpoint(pre: str, post: str) -> None:
    theirs = generic(pre, post)
    ours = build(SumLevels, **pair(pre, post), level_activation="none")
    ours.load_state_dict(theirs.state_dict(), strict=True)
    assert_same(ours, theirs)


@pytest.mark.parametrize("case", ["none", "one", "many", "random"])
def test_sum_equals_generic_roi_extractor_for_every_kind_of_roi(case: str) -> None:
    """With convolution before, both have a ReLU, and so the published GRoIE is the same in both."""
    theirs, ours = generic("conv3", "attention"), build(SumLevels, **pair("conv3", "attention"))
    ours.load_state_dict(theirs.state_dict(), strict=True)
    assert_same(ours, theirs, case)
    assert_same(ours, theirs, case, roi_scale_factor=1.3)


def test_concat_equals_generic_roi_extractor_that_reduces_in_its_post_processing() -> None:
    reduction = {"type": "ConvModule", "in_channels": 32, "out_channels": 8, "kernel_size": 1}
    theirs: Any = GenericRoIExtractor(
        "concat", post_cfg=reduction, roi_layer=roi_align(), out_channels=32, featmap_strides=STRIDES
    )
    ours, feats, rois = build(ConcatLevels, level_activation="none"), pyramid(), random_regions(40)
    theirs.double().post_module.load_state_dict(ours.reduce.state_dict())
    out, reference = ours(feats, rois), theirs(feats, rois)
    assert_equal(out, reference)
    names = {name: name.replace("post_module", "reduce") for name, _ in theirs.named_parameters()}
    expected = {names.get(name, name): value for name, value in gradients(reference, feats, theirs).items()}
    assert_equal(gradients(out, feats, ours), expected)


@pytest.mark.parametrize("case", ["none", "one", "many", "random"])
@pytest.mark.parametrize(("finest_scale", "dtype"), [(5, torch.float64), (5, torch.float32), (56, torch.float32)])
def test_single_is_single_roi_extractor(case: str, finest_scale: int, dtype: torch.dtype) -> None:
    """Where the recipe is MMDetection's own."""
    theirs = SingleRoIExtractor(roi_align(), CHANNELS, STRIDES, finest_scale=finest_scale)
    ours = plain(SingleLevel, finest_scale=finest_scale)
    assert isinstance(ours, SingleRoIExtractor)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    feats, rois = pyramid(dtype=dtype), random_regions(40) if case == "random" else regions(case)
    for scale in ({}, {"roi_scale_factor": 1.3}):
        grads = []
        for extractor in (ours, theirs):
            out = extractor(feats, rois.to(torch.float32), **scale)
            loss = (out.double() ** 2).sum()
            grads.append([out, *torch.autograd.grad(loss, feats, allow_unused=True, materialize_grads=True)])
        near = 1e-9 if dtype == torch.float64 else 1e-4  # of gradients up to 20
        assert all(torch.allclose(a, b, rtol=0, atol=near) for a, b in zip(*grads, strict=True))


@pytest.mark.parametrize("aggregation", [SingleLevel, RandomLevel])
def test_scale_factor_enlarges_the_roi_after_its_level_is_chosen(aggregation: type) -> None:
    extractor, feats = plain(aggregation, finest_scale=10), pyramid()
    rois = torch.tensor([[0.0, 10.0, 10.0, 28.0, 28.0]], dtype=torch.float64)  # level 0; enlarged it would be level 1
    enlarged = torch.tensor([[0.0, 1.0, 1.0, 37.0, 37.0]], dtype=torch.float64)
    out = extractor(feats, rois, roi_scale_factor=2.0)
    pooled = [layer(feat, enlarged) for layer, feat in zip(extractor.roi_layers, feats, strict=True)]
    matches = [level for level, expected in enumerate(pooled) if torch.allclose(out, expected, rtol=0, atol=1e-9)]
    assert len(matches) == 1
    assert matches == [0] or aggregation is RandomLevel


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_scale_factor_is_honoured_with_one_level(aggregation: type) -> None:
    """MMDetection's classes leave it out there."""
    extractor, feats = build(aggregation, levels=1), pyramid(1)
    rois = torch.tensor([[0.0, 10.0, 10.0, 28.0, 28.0]], dtype=torch.float64)
    enlarged = torch.tensor([[0.0, 1.0, 1.0, 37.0, 37.0]], dtype=torch.float64)
    assert_equal(extractor(feats, rois, roi_scale_factor=2.0), extractor(feats, enlarged))


def test_names_do_not_shadow_mmdetections() -> None:
    for cls in (GenericRoIExtractor, SingleRoIExtractor, RoIAlignV1, *AGGREGATIONS):
        assert MODELS.get(cls.__name__) is cls


EXTRACTORS = {  # modules, and what the config says of the pooling beside MMDetection's own
    "SumLevels": ("pre=dict(type='RoIConv', kernel_size=5), post=dict(type='RoIAttention', num_heads=6)", "RoIAlignV1"),
    "ConcatLevels": ("pre=dict(type='RoINonLocal'), pre_shared=False", "RoIAlign"),
    "SingleLevel": ("pre=dict(type='RoIConv'), post=dict(type='RoINonLocal')", "RoIAlignV1"),
}

CONFIG = """
_base_ = "mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py"
custom_imports = dict(imports=["groie"])
model = dict(
    backbone=dict(depth=18, init_cfg=None),
    neck=dict(in_channels=[64, 128, 256, 512], out_channels=16),
    rpn_head=dict(in_channels=16, feat_channels=16),
    roi_head=dict(
        bbox_roi_extractor=dict(
            type="{name}", {modules}, out_channels=16, roi_layer=dict(type="{layer}", sampling_ratio=2)),
        bbox_head=dict(in_channels=16, fc_out_channels=32, num_classes=3)))
"""

PROGRAM = """
import json, sys, torch
from mmengine.config import Config
from mmengine.structures import InstanceData
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.utils import register_all_modules

torch.set_num_threads(1)
torch.manual_seed(0)
configs = [Config.fromfile(path) for path in sys.argv[1:]]  # first, as in MMDetection's tools: they import groie
register_all_modules()
sample = DetDataSample(metainfo=dict(img_shape=(96, 128), ori_shape=(96, 128), scale_factor=(1.0, 1.0)))
boxes = torch.tensor([[8.0, 8.0, 60.0, 70.0], [70.0, 20.0, 120.0, 90.0]])
sample.gt_instances = InstanceData(bboxes=boxes, labels=torch.tensor([0, 2]))
batch = dict(inputs=[torch.randint(0, 255, (3, 96, 128))], data_samples=[sample])
told = {}
for path, config in zip(sys.argv[1:], configs):
    config.dump(path)  # as a trial's detector.py and MMEngine's checkpoints have it
    model = MODELS.build(Config.fromfile(path).model)
    model.init_weights()
    model.to(memory_format=torch.channels_last)  # which MMDetection's extractor refuses where a level gets no RoI
    data = model.data_preprocessor(batch, training=True)
    losses = model(**data, mode="loss")
    sum(sum(loss) if isinstance(loss, list) else loss for name, loss in losses.items() if "loss" in name).backward()
    with torch.no_grad():
        found = model.eval()(**data, mode="predict")[0].pred_instances
    extractor = model.roi_head.bbox_roi_extractor
    told[type(extractor).__name__] = dict(
        loss=float(losses["loss_cls"]),
        detections=list(found.bboxes.shape),
        layers=sorted({type(layer).__name__ for layer in extractor.roi_layers}),
        without_gradient=[name for name, parameter in extractor.named_parameters() if parameter.grad is None],
        strangers=[name for name in sys.modules if name.split(".")[0] in ("hydra", "omegaconf", "experiments")])
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a program of MMDetection alone says about a detector of each config."""
    folder = tmp_path_factory.mktemp("plain_mmdetection")
    for name, (modules, layer) in EXTRACTORS.items():
        text = CONFIG.replace("{name}", name).replace("{modules}", modules).replace("{layer}", layer)
        (folder / f"{name}.py").write_text(text)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM, *(str(folder / f"{name}.py") for name in EXTRACTORS)],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={"PYTHONPATH": str(Path(__file__).parents[2]), "PATH": "", "HOME": str(folder)},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("extractor", EXTRACTORS)
def test_plain_mmdetection_config_trains_and_detects(extractor: str, told: dict[str, Any]) -> None:
    """`custom_imports` is enough: neither Hydra nor the experiments are loaded. Weights lie channels last."""
    result = told[extractor]
    assert result["layers"] == [EXTRACTORS[extractor][1]]
    assert 0 < result["loss"] < 10
    assert result["detections"][1] == 4
    assert result["without_gradient"] == []
    assert result["strangers"] == []
