"""Declared sweeps: what they ask for, and the paper's tables in them."""

import re
from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser

from experiments import names
from experiments.errors import UserError
from experiments.planning import plan, sweep

ROOT = Path(__file__).parents[3]
DECLARED = {path.stem: yaml.safe_load(path.read_text()) for path in sorted((ROOT / "sweeps").glob("*.yaml"))}


def make(*arguments: str) -> plan.Plan:
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return plan.make(sweep.requests(arguments), lambda overrides: compose("config", overrides))


def test_paper_is_27_rows_and_21_trials() -> None:
    planned = make("sweep=table1,table2,table3,table4,table5")
    assert sum(len(DECLARED[f"table{number}"]["rows"]) for number in range(1, 6)) == 27
    assert (planned.rows, len(planned.trials)) == (27, 21)
    shared = {entry.trial.variant: sorted(entry.memberships) for entry in planned.entries}
    assert shared["faster_rcnn single"] == ["table1", "table2", "table3", "table4", "table5"]
    assert shared["faster_rcnn sum post=conv1"] == ["table2", "table4"]  # the paper's "sum+" and its "1x1"


def test_seeds_multiply_rows_and_do_not_rename_the_sweep() -> None:
    requests = sweep.requests(["sweep=table1", "seed=0,1"])
    assert len(requests) == 6
    assert {request.sweep for request in requests} == {"table1"}


def test_other_overrides_rename_the_sweep() -> None:
    """Rows trained otherwise must not mix with the table's own."""
    assert {request.sweep for request in sweep.requests(["sweep=table1", "schedule.epochs=2"])} == {
        "table1 schedule.epochs=2"
    }


def test_typed_sweep_is_named_by_what_decides_the_variants() -> None:
    (only,) = sweep.requests(["pre=conv5", "output_dir=/elsewhere", "hydra.verbose=true", "tracking.uri=x"])
    assert only.sweep == "pre=conv5"
    assert sweep.requests([])[0].sweep == "default"


@pytest.mark.parametrize(
    "typed",
    [
        *(["seed=0,1,2"], ["seed=range(3)"], ["seed=range(6,0,-2)"], ["+schedule.optimizer.eps=range(0.1,0.3,0.1)"]),
        *(
            ["pre=glob(conv*)"],
            ["post=glob([conv*,none],exclude=conv1)"],
            ["seed=sort(3,1,2)"],
            ["pre=choice(conv,none)"],
        ),
        *(["seed=0,1", "pre=conv1,conv3", "post=none"], ["pre=conv1", "pre=conv3,none"], ["dataset.name='a b','c,d'"]),
        *(["schedule.milestones=[1,2],[3]"], ["~pre.name"], ["output_dir='/my data (1)'"], ["++seed=1,2"]),
    ],
    ids=" ".join,
)
def test_lists_ranges_and_globs_are_expanded_as_hydra_does(typed: list[str]) -> None:
    """https://hydra.cc/docs/1.3/advanced/override_grammar/extended"""
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        parsed = OverridesParser.create(GlobalHydra.instance().config_loader()).parse_overrides(typed)
        (meant,) = BasicSweeper.split_arguments(parsed, max_batch_size=None)
    asked = [list(request.overrides) for request in sweep.requests(typed)]
    assert asked == [[word.removesuffix("=null") if word[0] == "~" else word for word in each] for each in meant]


@pytest.mark.parametrize(
    "typed", ["seed=range(5,0)", "pre=glob(zzz*)", "seed=range(0,1000000000)", "output_dir=a,b", "resources.gpus=0,1"]
)
def test_lists_without_a_trial_of_their_own_are_refused(typed: str) -> None:
    """No value, too many, or several that all mean one trial."""
    with pytest.raises(UserError, match=re.escape(typed) if "000" not in typed else "1,000,000,000 trials"):
        sweep.requests([typed])


def test_undeclared_sweep_is_refused() -> None:
    with pytest.raises(
        UserError,
        match=r"sweep 'tabel1' is unknown \(did you mean table1\?\).*fidelity, modules, orderings, paper",
    ):
        sweep.requests(["sweep=tabel1"])


@pytest.mark.parametrize("name", DECLARED)
def test_declaration_is_whole(name: str) -> None:
    """A sentence of purpose, the command in the first line, unique row names, six published numbers an IoU type."""
    declared = DECLARED[name]
    assert declared["purpose"].endswith((".", "?"))
    assert (ROOT / "sweeps" / f"{name}.yaml").read_text().startswith(f"# python run.py -m sweep={name}\n")
    rows = declared.get("rows", [])
    assert bool(rows) != ("include" in declared)
    assert len({row["name"] for row in rows}) == len(rows)
    for row in rows:
        for iou_type, numbers in row.get("published", {}).items():
            assert iou_type in names.IOU_TYPES
            assert len(numbers) == len(names.COCO_METRICS)
