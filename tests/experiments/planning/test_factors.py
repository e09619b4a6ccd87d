"""Factors that edit: what they do to ids and names, and what is refused at planning."""

import pytest

from experiments.errors import UserError
from experiments.factors import EDITING, FACTORS, GROUPS
from experiments.planning import edited, known_types, rehearsal
from experiments.planning.identity import Trial, identity
from tests.support import harness

JITTER = "augmentation.edits.train_dataloader.dataset.pipeline"


def rehearse(*overrides: str) -> None:
    settings = [harness.settings(*overrides)]
    rehearsal.detectors(settings)
    edited.rehearse(settings)


def test_factors_are_the_groups_of_the_configuration() -> None:
    assert set(FACTORS) == {group for group in harness.options() if group not in ("resources", "tracking")}
    assert set(EDITING) == {"neck", "box_loss", "augmentation"}


def test_options_that_edit_nothing_change_no_id() -> None:
    kept = identity(harness.composed())
    assert not set(EDITING) & set(kept)
    for group in EDITING:
        assert harness.composed()[group] == {"name": GROUPS[group]}


def test_options_that_edit_make_other_trials() -> None:
    ids = {
        Trial(harness.composed(f"{group}={option}"), ()).trial_id
        for group in EDITING
        for option in harness.options()[group]
    }
    assert len(ids) == 1 + sum(len(harness.options()[group]) - 1 for group in EDITING)


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (("neck=pafpn", "+box_loss.edits.model.neck.type=BFP"), "neck and box_loss both edit model.neck.type; choose"),
        (("+neck.edits.model.neck.type=Nope",), "cannot be built: KeyError: Nope is not in the mmdet::model registry"),
        (("+neck.edits.model.neck.num_outs=3",), "neck=fpn cannot be"),
        ((f"+{JITTER}.RandomFlip.prob=7",), "augmentation=flip cannot be used: "),
        (
            (f"+{JITTER}.RandomFlipp.prob=0.7",),
            "augmentation edits train_dataloader.dataset.pipeline: step 'RandomFlipp' is",
        ),
        (("+neck.edits.optim_wrapper.optimizer.lr=-1",), "neck=fpn cannot be used: Invalid learning rate: -1"),
        (
            ("+schedule.edits.param_scheduler=[{type:Step}]",),
            "schedule=demo cannot be used: KeyError: Step is not in the",
        ),
    ],
)
def test_edits_that_cannot_be_trained_are_refused_at_planning(overrides: tuple[str, ...], told: str) -> None:
    with pytest.raises(UserError) as error:
        rehearse(*overrides)
    assert told in str(error.value)


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("+neck.edits.model.neck.type=os.system", "neck.edits.model.neck.type 'os.system' is unknown"),
        ("+neck.edits.model.neck.type=collections.OrderedDict", "it is in Python's standard library"),
        (
            "+neck.edits.model.neck.type=experiments.files.write",
            "or give the full name of a subclass of torch.nn.Module",
        ),
        (
            f"+{JITTER}.Pad={{type:json.loads,_after_:Resize}}",
            "json.loads' is unknown (it is in Python's",
        ),
        ("+neck.edits.optim_wrapper.type=subprocess.Popen", "'subprocess.Popen' is unknown"),
        ("+schedule.edits.param_scheduler=[{type:os.system}]", "schedule.edits.param_scheduler.0.type 'os.system' is"),
        ("+neck.edits.optim_wrapper.optimizer.type=torch.nn.Linear", "a subclass of torch.optim.Optimizer"),
        (f"'+{JITTER}={{PIL.Image.open:{{_after_:Resize}}}}'", "'PIL.Image.open' is unknown"),
        ("+schedule.edits.param_scheduler={PIL.Image.open:{_after_:LinearLR}}", "'PIL.Image.open' is unknown"),
    ],
)
def test_no_edit_has_any_function_called(override: str, told: str) -> None:
    with pytest.raises(UserError) as error:
        known_types.require([harness.composed(override.strip("'"))])
    assert told in str(error.value)


@pytest.mark.parametrize("group", EDITING)
def test_every_shipped_option_can_be_trained(group: str) -> None:
    for option in harness.options()[group]:
        rehearse(f"{group}={option}")
