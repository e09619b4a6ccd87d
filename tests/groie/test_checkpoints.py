"""MMDetection's groie checkpoints load strictly into our detectors and ours into theirs; both detect the same."""

import os
from pathlib import Path
from typing import Any

import mmcv
import pytest
import torch
from torch import Tensor

from tests.support import detectors

pytestmark = pytest.mark.filterwarnings("ignore:faster_coco_eval is not installed")  # an extra of MMDetection

IMAGE = Path("coco_mini", "images", "000000000009.jpg")
SHARED_DATA = Path(os.environ.get("GROIE_SHARED_DATA", Path(__file__).parents[2].parent / "shared" / "data"))


@pytest.fixture(scope="module")
def image() -> Tensor:
    """A COCO image of 320 x 240 pixels, (3, h, w), in BGR as MMDetection reads it."""
    path = SHARED_DATA / IMAGE
    if not path.exists():
        pytest.skip(f"{path} does not exist; set GROIE_SHARED_DATA to the folder that has {IMAGE}")
    return torch.from_numpy(mmcv.imresize(mmcv.imread(path), (320, 240))).permute(2, 0, 1).contiguous()


def assert_same_detections(ours: Any, theirs: Any) -> None:
    assert sorted(ours.keys()) == sorted(theirs.keys())
    for key in sorted(theirs.keys()):
        torch.testing.assert_close(ours[key], theirs[key], rtol=1e-4, atol=1e-4 if key != "masks" else 1.01)


@pytest.mark.long
@pytest.mark.parametrize("name", [name for name in detectors.CONFIGS if name != "gcnet_r101"])
def test_checkpoints_load_both_ways_and_detect_the_same(name: str, image: Tensor) -> None:
    config = detectors.shipped(name)
    config.test_cfg.rpn.max_per_img = 20  # few RoIs: a 5x5 convolution on each of 1,000 takes a core half a minute
    config.test_cfg.rcnn.update(score_thr=0.0, max_per_img=10, mask_thr_binary=-1)  # masks as they are, times 255
    theirs, ours = detectors.build(config), detectors.build(detectors.with_our_extractors(config))
    found = []
    for source, target in ((theirs, ours), (ours, theirs)):
        detectors.randomize(source)
        target.load_state_dict(source.state_dict(), strict=True)
        found += [detectors.detect(ours, image), detectors.detect(theirs, image)]
        assert_same_detections(*found[-2:])
    assert len(found[0]) == 10
    assert found[0].scores.max() - found[0].scores.min() > 1e-3  # the image matters,
    assert not torch.allclose(found[0].scores, found[2].scores, atol=1e-3)  # and so do the weights


def test_gain_of_attention_matters_to_the_detections(image: Tensor) -> None:
    """Else agreement above would say nothing about attention."""
    config = detectors.shipped("faster_rcnn")
    config.test_cfg.rpn.max_per_img = 20
    config.test_cfg.rcnn.update(score_thr=0.0, max_per_img=10)
    ours = detectors.build(detectors.with_our_extractors(config))
    detectors.randomize(ours)
    before = detectors.detect(ours, image).scores
    torch.nn.init.zeros_(ours.roi_head.bbox_roi_extractor.post_module.gamma)
    assert (detectors.detect(ours, image).scores - before).abs().max() > 1e-3


@pytest.mark.parametrize("name", detectors.CONFIGS)
def test_names_and_shapes_are_mmdetections(name: str) -> None:
    config = detectors.shipped(name)
    with torch.device("meta"):
        theirs, ours = detectors.build(config), detectors.build(detectors.with_our_extractors(config))
    shapes = [{key: value.shape for key, value in model.state_dict().items()} for model in (ours, theirs)]
    assert shapes[0] == shapes[1]
    extractors = [place for place in config.roi_head if place.endswith("roi_extractor")]
    assert len(extractors) == (1 if name == "faster_rcnn" else 2)
    for place in extractors:
        assert sum(p.numel() for p in getattr(ours.roi_head, place).parameters()) == 1_896_961
