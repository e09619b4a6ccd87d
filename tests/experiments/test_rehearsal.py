"""What is built before anything starts: each distinct part of a sweep, once."""

import harness
import pytest
from mmdet.registry import MODELS

from experiments.errors import UserError
from experiments.planning import rehearsal

pytestmark = pytest.mark.filterwarnings("ignore")


def test_each_part_is_built_once_however_many_trials_share_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two detectors less their extractors, and an extractor each for boxes and masks with and without a module.

    The seed, which `random` draws from, the schedule and the data make no other detector.
    """
    built = []
    original = rehearsal._build
    monkeypatch.setattr(rehearsal, "_build", lambda wanted, choice: (built.append(choice), original(wanted, choice))[1])
    configs = [
        harness.composed("aggregation=random", f"pre={pre}", f"architecture={architecture}", f"seed={seed}", *more)
        for pre in ("none", "conv3")
        for architecture in ("faster_rcnn", "mask_rcnn")
        for seed in (0, 1)
        for more in ((), ("schedule.epochs=2",), ("dataset.seed=1",))
    ]
    rehearsal.detectors(configs)
    assert sorted(built) == [
        *["aggregation=random pre=conv3 post=none"] * 2,
        *["aggregation=random pre=none post=none"] * 2,
        "architecture=faster_rcnn recipe=paper profile=demo",
        "architecture=mask_rcnn recipe=paper profile=demo",
    ]


@pytest.mark.parametrize("architecture", harness.options()["architecture"])
@pytest.mark.parametrize("profile", ["demo", "coco"])
def test_every_architecture_passes(profile: str, architecture: str) -> None:
    rehearsal.detectors([harness.composed(f"profile={profile}", f"architecture={architecture}")])


def test_operator_that_needs_memory_is_no_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some of mmcv's operators do not run on the meta device that all is built on."""

    def forward(*_: object) -> None:
        raise NotImplementedError("deform_conv is not implemented for the device meta")

    monkeypatch.setattr(MODELS.get("ResNet"), "forward", forward)
    rehearsal.detectors([harness.composed()])


@pytest.mark.parametrize(("name", "reason"), [("LBFGS", "closure"), ("SparseAdam", "dense gradients")])
def test_optimizer_that_fails_at_its_first_step(name: str, reason: str) -> None:
    config = harness.composed()
    config = {**config, "schedule": {**config["schedule"], "optimizer": {"type": name, "lr": 0.1}}}
    with pytest.raises(UserError, match=reason):
        rehearsal.optimizers([config])
