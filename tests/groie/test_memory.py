"""What an extractor keeps for its backward pass, with recomputation and without; recomputation changes no bit."""

import itertools
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from mmdet.models.roi_heads.roi_extractors import GenericRoIExtractor
from torch import Tensor, nn

from groie import SumLevels
from tests.support.inputs import ONE_LEVEL, STRIDES, build, gradients, pair, plain, pyramid, random_regions


def saved(extractor: nn.Module, feats: Sequence[Tensor], rois: Tensor) -> int:
    """Returns the bytes that the extractor keeps for its backward pass, besides parameters and inputs."""
    kept: dict[int, Any] = {}
    with torch.autograd.graph.saved_tensors_hooks(
        lambda x: kept.setdefault(x.untyped_storage().data_ptr(), x.untyped_storage()) and x, lambda x: x
    ):
        _out = extractor(feats, rois)
    for there in (*feats, rois, *extractor.parameters()):
        kept.pop(there.untyped_storage().data_ptr(), None)
    return sum(storage.nbytes() for storage in kept.values())


class TestMemory:
    width, count, cells = 64, 100, 7

    def full(self, **options: Any) -> Any:
        align = {"type": "RoIAlign", "output_size": self.cells, "sampling_ratio": 2}
        modules = {"pre": {"type": "RoIConv", "kernel_size": 5}, "post": {"type": "RoIAttention", "num_heads": 6}}
        return SumLevels(align, self.width, STRIDES, **modules, **options)

    def inputs(self) -> tuple[list[Tensor], Tensor]:
        return pyramid(channels=self.width, dtype=torch.float32), random_regions(self.count).float()

    def test_full_groie_saves_less_than_half_of_mmdetections(self) -> None:
        conv = dict(type="ConvModule", in_channels=self.width, out_channels=self.width, kernel_size=5, padding=2)
        attention = dict(
            type="GeneralizedAttention", in_channels=self.width, num_heads=6, attention_type="0100", kv_stride=2
        )
        align = {"type": "RoIAlign", "output_size": self.cells, "sampling_ratio": 2}
        theirs = GenericRoIExtractor(
            "sum", conv, attention, roi_layer=align, out_channels=self.width, featmap_strides=STRIDES
        )
        assert saved(self.full(), *self.inputs()) < saved(theirs, *self.inputs()) / 2

    def test_pooling_alone_saves_nothing_of_the_features_size(self) -> None:
        feats, rois = self.inputs()
        assert saved(plain(SumLevels, channels=self.width, level_activation="none"), feats, rois) == 0

    def test_recomputation_saves_nothing_and_changes_no_bit(self) -> None:
        feats, rois = self.inputs()
        kept, again = self.full(), self.full(checkpoint=True)
        again.load_state_dict(kept.state_dict(), strict=True)
        nn.init.constant_(kept.post_module.gamma, 0.5)
        nn.init.constant_(again.post_module.gamma, 0.5)
        assert saved(again, feats, rois) == 0
        found = []
        for extractor in (kept, again):
            out = extractor(feats, rois)
            leaves = [*feats, *extractor.parameters()]
            found.append([out, *torch.autograd.grad(out.square().sum(), leaves)])
        assert all(itertools.starmap(torch.equal, zip(*found, strict=True)))


@pytest.mark.parametrize("aggregation", ONE_LEVEL)
def test_one_level_recomputes_with_the_levels_that_it_drew(aggregation: type) -> None:
    feats, rois = pyramid(), random_regions(40)
    kept, again = (build(aggregation, **pair("conv3", "attention"), checkpoint=told) for told in (False, True))
    again.load_state_dict(kept.state_dict(), strict=True)
    out, expected = again(feats, rois), kept(feats, rois)
    assert torch.equal(out, expected)
    assert all(
        torch.equal(one, other)
        for one, other in zip(
            gradients(out, feats, again).values(), gradients(expected, feats, kept).values(), strict=True
        )
    )
    assert saved(again, feats, rois) < saved(kept, feats, rois) / 2
