"""Others' checkpoints under our names: the authors' of MMDetection v1, and MMDetection's with concat.

No file of the authors is at hand, so `authors` writes what their code would have: names as in their `groie.py` and in
MMDetection v1, the background as class 0.
"""

import runpy
from pathlib import Path
from typing import Any

import mmdet
import pytest
import torch
from mmdet.models.roi_heads.roi_extractors import GenericRoIExtractor
from torch import Tensor

from groie import ConcatLevels, SumLevels
from groie.convert import convert
from tests.support import detectors
from tests.support.inputs import CHANNELS, STRIDES, assert_equal, build, pair, plain, pyramid, random_regions, roi_align

pytestmark = pytest.mark.filterwarnings("ignore:faster_coco_eval is not installed")  # an extra of MMDetection

Weights = dict[str, Tensor]
RPN = {"rpn_head.rpn_cls.weight": torch.rand(3, 4, 1, 1), "rpn_head.rpn_cls.bias": torch.rand(3)}
CONV = ["conv.weight", "conv.bias"]
NON_LOCAL = [f"{layer}.conv.{kind}" for layer in ("g", "theta", "phi", "conv_out") for kind in ("weight", "bias")]
ATTENTION = ["gamma", "proj_conv.bias"] + [
    f"{layer}.weight" for layer in ("query_conv", "value_conv", "appr_geom_fc_x", "appr_geom_fc_y", "proj_conv")
]


def authors(weights: Weights) -> Weights:
    """Returns a detector's weights as the authors' program would have saved them."""
    before = {}
    for name, value in weights.items():
        key = (
            name.removeprefix("roi_head.").replace(".pre_module.", ".pre_conv.").replace(".post_module.", ".post_conv.")
        )
        if ".fc_cls." in key:
            value = torch.stack([value[-1], *value[:-1]])
        elif ".fc_reg." in key:
            value = torch.cat([torch.rand_like(value[:4]), value])  # v1 regressed boxes of the background too
        elif ".conv_logits." in key:
            value = torch.cat([torch.rand_like(value[:1]), value])
        before[key] = value
    return before


@pytest.mark.parametrize("name", ["mask_rcnn", "grid_rcnn", "gcnet"])
def test_authors_detector_loads_strictly(name: str) -> None:
    detector = detectors.build(detectors.with_our_extractors(detectors.shipped(name), level_activation="relu"))
    weights = detector.state_dict()
    converted = convert(authors(weights))
    assert converted.keys() == weights.keys()
    assert all(torch.equal(converted[key], value) for key, value in weights.items())
    detector.load_state_dict(converted, strict=True)


@pytest.mark.parametrize(
    ("extractor", "names"),
    [
        (plain(SumLevels, pre={"type": "RoIConv"}), [f"pre_conv.{name}" for name in CONV]),
        (plain(SumLevels, **pair("conv3", "attention")), [f"post_conv.{name}" for name in ATTENTION]),
        (plain(SumLevels, **pair("nonlocal", "conv3")), [f"pre_conv.{name}" for name in NON_LOCAL]),
        (plain(ConcatLevels), [f"reduce.{name}" for name in CONV]),
    ],
)
def test_names_in_the_authors_extractors_become_ours(extractor: SumLevels, names: list[str]) -> None:
    """Read from their groie.py (pre_conv, post_conv, reduce) and v1's ConvModule, NonLocal2D, GeneralizedAttention."""
    for place in ("bbox", "mask", "grid"):
        keys = [f"{place}_roi_extractor.{name}" for name in names]
        found = convert({**RPN, **{key: torch.ones(1) for key in keys}}).keys() - RPN.keys()
        ours = {f"roi_head.{place}_roi_extractor.{name}" for name in extractor.state_dict()}
        assert found <= ours
        assert len(found) == len(names)


@pytest.fixture
def heads() -> Weights:
    """v1's heads for the background and 5 classes, of features of 6 channels."""
    sizes = {"bbox_head.fc_cls": (6, 6), "bbox_head.fc_reg": (24, 6), "mask_head.conv_logits": (6, 6, 1, 1)}
    weights = {f"{layer}.weight": torch.rand(size) for layer, size in sizes.items()}
    return weights | {f"{layer}.bias": torch.rand(size[0]) for layer, size in sizes.items()}


class TestClasses:
    """Class c of MMDetection 2 and 3 is c + 1 of v1, whose class 0 is the background."""

    def test_keep_their_scores_boxes_and_masks(self, heads: Weights) -> None:
        def outputs(weights: Weights, layer: str) -> Tensor:
            return weights[f"{layer}.weight"].flatten(1) @ torch.linspace(-1, 1, 6) + weights[f"{layer}.bias"]

        ours = convert(heads)
        scores = outputs(ours, "roi_head.bbox_head.fc_cls").softmax(0)
        scores_before = outputs(heads, "bbox_head.fc_cls").softmax(0)
        boxes = outputs(ours, "roi_head.bbox_head.fc_reg").view(5, 4)
        boxes_before = outputs(heads, "bbox_head.fc_reg").view(6, 4)
        masks = outputs(ours, "roi_head.mask_head.conv_logits")
        masks_before = outputs(heads, "mask_head.conv_logits")
        assert len(masks) == 5
        for c in range(5):
            torch.testing.assert_close(scores[c], scores_before[c + 1])
            torch.testing.assert_close(boxes[c], boxes_before[c + 1])
            torch.testing.assert_close(masks[c], masks_before[c + 1])
        torch.testing.assert_close(scores[5], scores_before[0])

    def test_of_one_for_all_stay(self) -> None:
        agnostic = {"bbox_head.fc_reg.weight": torch.rand(4, 6), "mask_head.conv_logits.bias": torch.rand(1)}
        ours = convert({"bbox_head.fc_cls.weight": torch.rand(2, 6), **agnostic})
        for key, value in agnostic.items():
            assert torch.equal(ours[f"roi_head.{key}"], value)

    def test_agree_with_mmdetections_tool_where_it_is_consistent(self, heads: Weights) -> None:
        """Its biases of boxes and masks are those of the class before their weights', so those are not compared."""
        path = Path(mmdet.__file__).parent / ".mim" / "tools" / "model_converters" / "upgrade_model_version.py"
        if not path.exists():
            pytest.skip(f"{path} is not installed")
        tool, ours = runpy.run_path(str(path)), convert(heads)
        for key, change in {
            "bbox_head.fc_cls.weight": "reorder_cls_channel",
            "bbox_head.fc_cls.bias": "reorder_cls_channel",
            "bbox_head.fc_reg.weight": "truncate_reg_channel",
            "mask_head.conv_logits.weight": "truncate_cls_channel",
        }.items():
            assert torch.equal(ours[f"roi_head.{key}"], tool[change](heads[key], num_classes=6))
        bias = heads["bbox_head.fc_reg.bias"]
        assert torch.equal(tool["truncate_reg_channel"](bias, num_classes=6), bias[:-4])  # the weights begin at 4

    def test_leave_the_rpn_alone(self, heads: Weights) -> None:
        """Its scores are of objects, one per anchor; MMDetection's tool rotates their biases."""
        converted = convert({**RPN, **heads})
        assert all(torch.equal(converted[key], value) for key, value in RPN.items())


def test_mmdetections_concat_becomes_concat_and_reduce() -> None:
    reduction = {"type": "ConvModule", "in_channels": 4 * CHANNELS, "out_channels": CHANNELS, "kernel_size": 1}
    theirs: Any = GenericRoIExtractor(
        "concat", post_cfg=reduction, roi_layer=roi_align(), out_channels=4 * CHANNELS, featmap_strides=STRIDES
    ).double()
    prefix = "roi_head.mask_roi_extractor."
    converted = convert({f"{prefix}{name}": value for name, value in theirs.state_dict().items()})
    ours = build(ConcatLevels, level_activation="none")
    ours.load_state_dict({name.removeprefix(prefix): value for name, value in converted.items()}, strict=True)
    feats, rois = pyramid(), random_regions(20)
    assert_equal(ours(feats, rois), theirs(feats, rois))


@pytest.mark.parametrize("shape", [(8, 8, 1, 1), (8, 32, 3, 3), (8, 20, 1, 1)])
def test_other_convolutions_after_aggregation_stay(shape: tuple[int, ...]) -> None:
    name = "roi_head.bbox_roi_extractor.post_module.conv.weight"
    assert list(convert({name: torch.ones(shape)})) == [name]
