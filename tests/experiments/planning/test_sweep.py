"""Declared sweeps: what they ask for, and the paper's tables in them."""

from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser

from experiments.planning import plan, sweep

ROOT = Path(__file__).parents[3]
DECLARED = {path.stem: yaml.safe_load(path.read_text()) for path in sorted((ROOT / "sweeps").glob("*.yaml"))}


def make(*arguments: str) -> plan.Plan:
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return plan.make(sweep.requests(arguments), lambda overrides: compose("config", overrides))


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


@pytest.mark.parametrize("name", DECLARED)
def test_declaration_is_whole(name: str) -> None:
    """A sentence of purpose, the command in the first line, and rows or other files; reading refuses the rest."""
    declared = DECLARED[name]
    assert declared["purpose"].endswith((".", "?"))
    assert (ROOT / "sweeps" / f"{name}.yaml").read_text().startswith(f"# python run.py -m sweep={name}\n")
    assert len({"rows", "grid", "include"} & declared.keys()) == 1
