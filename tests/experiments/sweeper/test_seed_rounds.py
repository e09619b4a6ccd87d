"""Which seeds a round of `seed=auto` asks for, by what is finished and what is decided; nothing is trained."""

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode

from analysis.statistics.decisions import DIFFERENT, Decision
from analysis.statistics.means import Interval
from experiments import declared, names
from experiments.errors import UserError
from experiments.planning import plan, sweep
from experiments.planning.plan import Plan
from experiments.seeds import OPEN, Rules
from experiments.trial import attempts
from hydra_plugins import _seed_decisions, _seed_rounds
from hydra_plugins._seed_decisions import Decided
from tests.support import harness

pytestmark = pytest.mark.filterwarnings("ignore")


class World:
    """Trials in states that are given, and comparisons by module, of which some are open."""

    def __init__(self, outputs: Path) -> None:
        self.outputs = outputs
        self.states: dict[tuple[str, int], str] = {}
        self.open: list[tuple[str, str]] = []
        self.closed: list[tuple[str, str]] = []

    def study(self, *arguments: str) -> _seed_rounds.Rounds:
        loader = GlobalHydra.instance().config_loader()
        compose = partial(loader.load_sweep_config, loader.load_configuration("config", [], RunMode.MULTIRUN))
        return _seed_rounds.Rounds([*arguments, "seed=auto", f"output_dir={self.outputs}"], compose)

    def look(self, planned: Plan) -> Plan:
        entries = []
        for entry in planned.entries:
            state = self.states.get((entry.trial.config["pre"]["name"], entry.trial.seed), attempts.TO_DO)
            runs = state in (attempts.TO_DO, attempts.INTERRUPTED)
            entries.append(replace(entry, state=state, runs=runs))
        return replace(planned, entries=tuple(entries))

    def decide(self, planned: Plan, rules: object, dry: bool) -> tuple[Decided, ...]:
        ids = {entry.trial.config["pre"]["name"]: entry.trial.variant_id for entry in planned.entries}
        return tuple(
            Decided("", Decision(row, ids[row], base, ids[base], state, 0, Interval(0.0, -1.0, 1.0, 2), 0.5))
            for state, pairs in ((OPEN, self.open), (DIFFERENT, self.closed))
            for row, base in pairs
        )

    def finish(self, **counts: int) -> None:
        for module, count in counts.items():
            self.states |= {(module, seed): names.FINISHED for seed in range(count)}


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    found = World(tmp_path / "outputs")
    monkeypatch.setattr(plan, "looked_at_again", found.look)
    monkeypatch.setattr(_seed_decisions, "of", found.decide)
    monkeypatch.setattr(_seed_rounds.folders, "freeze", lambda planned: None)  # finished trials have no folders here
    with initialize_config_dir(str(harness.ROOT / "conf"), version_base="1.3"):
        yield found


def asked(turn: _seed_rounds.Turn) -> set[tuple[str, int]]:
    """Returns module and seed of what a round trains."""
    return {(entry.trial.config["pre"]["name"], entry.trial.seed) for entry in turn.plan.to_run}


ROWS = "pre=none,conv1,conv3,conv5"


def test_first_round_is_of_all_rows(world: World) -> None:
    study = world.study("pre=none,conv1", "seeds.first=3")
    assert asked(study.turn()) == {(module, seed) for module in ("none", "conv1") for seed in range(3)}


def test_open_rows_and_their_baselines_get_one_seed_more(world: World) -> None:
    world.finish(none=2, conv1=2, conv3=2, conv5=2)
    world.open, world.closed = [("conv1", "none"), ("conv5", "conv3")], [("conv3", "none")]
    study = world.study(ROWS)
    assert asked(study.turn()) == {(module, 2) for module in ("none", "conv1", "conv3", "conv5")}
    world.open, world.closed = [("conv1", "none")], [("conv5", "conv3"), ("conv3", "none")]
    assert asked(study.turn()) == {("none", 2), ("conv1", 2)}
    world.open = []
    turn = study.turn()
    assert (asked(turn), study.why_not(turn)) == (set(), "nothing is left to train")


def test_baseline_that_has_more_seeds_is_not_trained_again(world: World) -> None:
    world.finish(none=5, conv1=2, conv3=2, conv5=2)
    world.open = [("conv1", "none")]
    assert asked(world.study(ROWS).turn()) == {("conv1", 2)}


def test_rows_with_the_fewest_seeds_come_first(world: World) -> None:
    """So a round that was broken off is completed before another seed of what it has finished is asked for."""
    world.finish(none=3, conv1=3, conv3=2, conv5=2)
    world.states["conv3", 2] = attempts.INTERRUPTED
    world.open = [("conv1", "none"), ("conv3", "none"), ("conv5", "none")]
    study = world.study(ROWS)
    assert asked(study.turn()) == {("conv3", 2), ("conv5", 2)}
    world.finish(conv3=3, conv5=3)
    assert asked(study.turn()) == {(module, 3) for module in ("none", "conv1", "conv3", "conv5")}


@pytest.mark.long
@pytest.mark.parametrize("state", [names.FAILED, names.RUNNING, attempts.DAMAGED])
def test_row_is_not_extended_while_a_trial_of_it_is_not_finished(world: World, state: str) -> None:
    """Nor is what is compared with it; the plan shows it."""
    world.finish(none=2, conv1=2, conv3=2, conv5=2)
    world.states["conv3", 2] = state
    world.open = [("conv1", "none"), ("conv3", "none"), ("conv5", "conv3")]
    study = world.study(ROWS)
    turn = study.turn()
    assert asked(turn) == {("none", 2), ("conv1", 2)}
    for found in (turn.plan, turn.reached):
        assert state in {entry.state for entry in found.entries}
    world.open = [("conv3", "none")]
    turn = study.turn()
    assert asked(turn) == set()
    assert study.why_not(turn) == "nothing is left to train: 1 open, because trials did not finish"


def test_no_trial_is_launched_twice_by_a_command(world: World) -> None:
    """One that was cancelled, for example: another command resumes it."""
    world.finish(none=2, conv1=2)
    world.open = [("conv1", "none")]
    study = world.study("pre=none,conv1")
    study.launched |= {entry.trial.trial_id for entry in study.turn().plan.to_run}
    world.states |= {("none", 2): attempts.INTERRUPTED, ("conv1", 2): names.FINISHED}
    turn = study.turn()
    assert asked(turn) == set()
    assert attempts.INTERRUPTED in {entry.state for entry in turn.reached.entries}
    assert asked(world.study("pre=none,conv1").turn()) == {("none", 2)}


def test_fail_fast_ends_after_what_is_not_finished(world: World) -> None:
    """A trial that failed, or that Ctrl-C has interrupted."""
    turns = [(world.study("pre=none,conv1", f"fail_fast={word}"), word) for word in ("true", "false")]
    for state in (names.FAILED, attempts.INTERRUPTED, names.FINISHED):
        for study, word in turns:
            world.states = {}
            turn = study.turn()
            world.finish(none=2, conv1=1)
            world.states["conv1", 1] = state
            assert study.ends_at_first_failure(turn) == (word == "true" and state != names.FINISHED)


@pytest.mark.long
def test_two_sweeps_share_their_variants(world: World) -> None:
    """Each is trained once; the rules are kept for both, and for those that rows are declared in."""
    turn = world.study("sweep=table1,table2").turn()
    rows = {frozenset(row.overrides) for name in ("table1", "table2") for row in declared.read(name).rows}
    assert len(rows) < sum(len(declared.read(name).rows) for name in ("table1", "table2"))
    assert len(turn.plan.to_run) == 2 * len(rows)
    assert set(turn.plan.rules) == {"table1", "table2"}
    assert set(world.study("sweep=paper").turn().plan.rules) == {"paper", *(f"table{n}" for n in range(1, 6))}


def test_each_sweep_has_decisions_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its own rules, from its own study; and none before a trial is finished."""
    with initialize_config_dir(str(harness.ROOT / "conf"), version_base="1.3"):
        planned = plan.make(
            sweep.requests(["sweep=table1,table2", f"output_dir={tmp_path}"]), lambda given: compose("config", given)
        )
    kept = {"table1": Rules(alpha=0.01), "table2": Rules(alpha=0.02)}
    assert _seed_decisions.of(planned, kept, dry=True) == ()
    planned.entries[0].state = names.FINISHED
    one = Decision("a", "1", "b", "2", OPEN, 2, Interval(0.01, float("nan"), float("nan"), 2), float("nan"))
    monkeypatch.setattr(_seed_decisions.store, "reading", lambda uri: nullcontext("client"))
    monkeypatch.setattr(_seed_decisions.study, "read", lambda client, experiment, uri, name, *shown: name)
    monkeypatch.setattr(
        _seed_decisions.decisions, "decide", lambda name, rules, progress: [replace(one, row=f"{name} {rules.alpha}")]
    )
    found = _seed_decisions.of(planned, kept, dry=True)
    assert [(each.sweep, each.decision.row) for each in found] == [("table1", "table1 0.01"), ("table2", "table2 0.02")]
    line = found[0].line
    assert (line.estimate, line.low, line.high, line.p) == (1.0, None, None, None)


def test_budget_is_kept(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was spent and what the next round will take, together."""
    world.finish(none=2, conv1=2)
    world.open = [("conv1", "none")]
    monkeypatch.setattr(_seed_rounds.rules, "device_hours", lambda planned: 12.5)
    monkeypatch.setattr(plan, "least_hours", lambda planned: 3.0)
    for budget, told in ((15.5, ""), (15.4, "budget: 12 of 15.4 device-hours spent; the next round would take 3")):
        study = world.study("pre=none,conv1", f"seeds.budget={budget}")
        assert study.why_not(study.turn()) == told


def test_row_with_a_seed_is_refused(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(
        "purpose: x\nrows:\n  - {name: a, overrides: [pre=none]}\n  - {name: b, overrides: [pre=conv1, seed=3]}\n"
    )
    monkeypatch.setattr(declared, "FOLDER", tmp_path)
    with pytest.raises(UserError, match=r"sweeps/mine\.yaml, row 'b': seed=3 cannot be combined with seed=auto"):
        world.study("sweep=mine")
