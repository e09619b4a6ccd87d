"""A trial's identity: what makes another trial, and what does not."""

import copy

import pytest

from experiments.planning.identity import Trial
from tests.support import harness

# A change here makes every finished trial a stranger. Where a default of conf/ was changed on purpose, pin the new id;
# where the same configuration came to mean another computation, raise ID_VERSION in planning/trial.py as well.
PINNED = {
    (): "faster_rcnn-sum-none-none-s0-d64902f0de",
    ("pre=conv5", "post=attention"): "faster_rcnn-sum-conv5-attention-s0-b46ced51ba",
    ("profile=coco", "architecture=gcnet", "aggregation=single", "recipe=upstream", "seed=2"): (
        "gcnet-single-none-none-s2-927536b22c"
    ),
}


@pytest.mark.parametrize("overrides", PINNED)
def test_ids_are_pinned(overrides: tuple[str, ...]) -> None:
    assert trial(*overrides).trial_id == PINNED[overrides]


def trial(*overrides: str) -> Trial:
    return harness.labelled(copy.deepcopy(harness.composed(*overrides)), overrides)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("pre=conv5",), ("pre=conv", "pre.kernel_size=5")),
        (("aggregation=sum",), ()),
        ((), ("output_dir=/elsewhere",)),
        ((), ("resources.cpu_processes=2", "resources.nodes=2", "resources.gpus=0", "resources.loader_workers=4")),
        ((), ("extractor.checkpoint=true",)),
        ((), ("tracking=server", "tracking.experiment=other")),
        ((), ("dry_run=true", "rerun=true", "fail_fast=true", "retry.failed=true", "retry.attempts=9")),
        (("profile=coco", "dataset.root=/data/coco"), ("profile=coco", "dataset.root=/scratch/coco")),
    ],
)
def test_same_trial(one: tuple[str, ...], other: tuple[str, ...]) -> None:
    """Two spellings of a choice, and where and by whom it is run, do not make two trials."""
    assert trial(*one).trial_id == trial(*other).trial_id


@pytest.mark.parametrize(
    "override",
    [
        "seed=1",
        "schedule.epochs=5",
        "schedule.batch_size=8",
        "schedule.optimizer.lr=0.002",
        "pre=conv5",
        "post=conv5",
        "aggregation=single",
        "recipe.grad_clip=1",
        "recipe=upstream",
        "architecture=mask_rcnn",
        "dataset.image_size=96",
        "dataset.train_images=100",
        "profile.finest_scale=11",
        "+profile.model.backbone.with_cp=true",
    ],
)
def test_another_trial(override: str) -> None:
    assert trial(override).trial_id != trial().trial_id


def test_seeds_share_a_variant() -> None:
    zero, one = trial("pre=conv5"), trial("pre=conv5", "seed=1")
    assert zero.variant_id == one.variant_id
    assert zero.variant == one.variant == "faster_rcnn sum pre=conv5"
    assert zero.trial_id != one.trial_id
    assert trial("pre=conv3").variant_id != zero.variant_id


def test_seed_of_a_users_module_is_the_seed_once_more() -> None:
    """As that of `aggregation=random`: a module that draws has a replica for each seed, not a variant."""

    def drawing(seed: int, own: int) -> Trial:
        config = copy.deepcopy(harness.composed(f"seed={seed}"))
        config["post"] = {"name": "dropping", "type": "mine.Dropping", "seed": own}
        return Trial(config, ())

    assert drawing(0, 0).variant_id == drawing(1, 1).variant_id
    assert drawing(0, 0).trial_id != drawing(1, 1).trial_id
    assert drawing(0, 5).variant_id != drawing(0, 0).variant_id
