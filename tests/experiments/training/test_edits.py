"""What factors edit: merged as MMEngine merges, apart from each other and from what the harness sets."""

import copy
from typing import Any

import pytest
from mmengine.config import Config

from experiments.errors import UserError
from experiments.planning import rehearsal
from experiments.training import edits
from tests.support import harness

BASE: dict[str, Any] = {
    "model": {"neck": {"type": "FPN", "num_outs": 5}, "heads": [{"type": "A", "loss": {"type": "L1"}}, {"type": "B"}]},
    "train_dataloader": [{"type": "Load"}, {"type": "Resize", "scale": (1, 2)}, {"type": "Flip", "prob": 0.5}],
    "param_scheduler": [8, 11],
}


def applied(*changes: dict[str, Any]) -> dict[str, Any]:
    cfg = Config(copy.deepcopy(BASE))
    edits.require_kept(cfg, edits.apply(cfg, {f"factor{number}": one for number, one in enumerate(changes)}))
    found: dict[str, Any] = cfg.to_dict()
    return found


@pytest.mark.parametrize(
    "change",
    [
        {"model": {"neck": {"type": "PAFPN"}}},
        {"model": {"neck": {"_delete_": True, "type": "HRFPN"}}},
        {"model": {"neck": {"act": {"type": "ReLU", "inplace": True}}}, "param_scheduler": [2]},
        {"optim_wrapper": {"deep": {"er": 1}}, "param_scheduler": "none"},
    ],
)
def test_mappings_are_merged_as_mmengine_merges_them(change: dict[str, Any]) -> None:
    wanted = Config(copy.deepcopy(BASE))
    wanted.merge_from_dict(copy.deepcopy(change))
    assert applied(change) == wanted.to_dict()


def test_change_of_a_list_of_heads_reaches_each() -> None:
    found = applied({"model": {"heads": {"loss": {"_delete_": True, "type": "GIoU"}}}})
    assert found["model"]["heads"] == [{"type": "A", "loss": {"type": "GIoU"}}, {"type": "B", "loss": {"type": "GIoU"}}]


def test_steps_are_named_by_their_types() -> None:
    changes = {
        "Flip": {"prob": 0.1},
        "Crop": {"_before_": "Resize", "size": [3, 4]},
        "Resize": None,
        "Pad": {"_after_": "Flip"},
    }
    assert applied({"train_dataloader": changes})["train_dataloader"] == [
        {"type": "Load"},
        {"type": "Crop", "size": (3, 4)},
        {"type": "Flip", "prob": 0.1},
        {"type": "Pad"},
    ]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            [{"model": {"neck": {"type": "PAFPN"}}}, {"model": {"neck": {"type": "BFP"}}}],
            "factor0 and factor1 both edit model.neck.type; choose",
        ),
        (
            [{"model": {"neck": {"_delete_": True, "type": "X"}}}, {"model": {"neck": 3}}],
            "factor0 and factor1 both edit",
        ),
        (
            [{"train_dataloader": {"Flipp": {"prob": 1}}}],
            "factor0 edits train_dataloader: step 'Flipp' is unknown (did you mean Flip?)",
        ),
        ([{"train_dataloader": {"Pad": {"_after_": "Cut"}}}], "factor0 edits train_dataloader: step 'Cut' is unknown"),
    ],
)
def test_edits_that_do_not_fit_are_refused(changes: list[dict[str, Any]], told: str) -> None:
    with pytest.raises(UserError) as error:
        applied(*changes)
    assert told in str(error.value)


@pytest.mark.parametrize(
    "edit",
    [
        "model.roi_head.bbox_head.num_classes=4",
        "model.neck.out_channels=256",
        "model.roi_head.bbox_roi_extractor.finest_scale=28",
        "train_dataloader.batch_size=3",
    ],
)
def test_key_that_the_harness_sets_is_refused(edit: str) -> None:
    settings = harness.settings(f"+neck.edits.{edit}")
    key, _, value = edit.partition("=")
    with pytest.raises(
        UserError, match=rf"^neck edits {key}='?{value}'?, but the harness itself sets that key"
    ) as error:
        rehearsal.unplaced(settings)
    assert str(error.value).endswith("leave it out, or set the key of conf/ that decides on it")


@pytest.mark.parametrize("part", ["modl", "work_dir", "train_cfg", "randomness", "custom_hooks", "default_scope"])
def test_part_that_no_factor_may_edit_is_refused(part: str) -> None:
    settings = harness.settings(f"+neck.edits.{part}.x=1")
    with pytest.raises(
        UserError, match=f"^neck: edits of '{part}' is unknown.* choose one of: model, train_dataloader"
    ):
        rehearsal.unplaced(settings)


def model(*overrides: str) -> Any:
    return rehearsal.unplaced(harness.settings(*overrides))


def test_shipped_necks() -> None:
    from mmdet.models.necks import FPN, PAFPN

    from experiments.planning.trial_builds import build

    for option, kind in (("fpn", FPN), ("pafpn", PAFPN)):
        assert type(build(model(f"neck={option}").model, option).neck) is kind


@pytest.mark.parametrize("architecture", ["faster_rcnn", "cascade_mask_rcnn"])
def test_shipped_box_losses(architecture: str) -> None:
    from experiments.planning.trial_builds import build

    wanted = {"l1": "L1Loss", "smooth_l1": "SmoothL1Loss", "giou": "GIoULoss"}
    for option, kind in wanted.items():
        heads = build(model(f"box_loss={option}", f"architecture={architecture}").model, option).roi_head.bbox_head
        for head in heads if architecture.startswith("cascade") else [heads]:
            assert type(head.loss_bbox).__name__ == kind
            assert head.reg_decoded_bbox == (option == "giou")


def test_shipped_augmentations() -> None:
    steps = {
        option: [step.type for step in model(f"augmentation={option}").train_dataloader.dataset.pipeline]
        for option in harness.options()["augmentation"]
    }
    first, last = ["LoadImageAsStated", "LoadAnnotations"], ["PackDetInputs"]
    assert steps == {
        "flip": [*first, "Resize", "RandomFlip", *last],
        "none": [*first, "Resize", *last],
        "multiscale": [*first, "RandomResize", "RandomFlip", *last],
        "large_scale_jitter": [*first, "RandomResize", "RandomCrop", "RandomFlip", *last],
    }
