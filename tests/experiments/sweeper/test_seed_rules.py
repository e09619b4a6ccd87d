"""The rules of `seed=auto`: made before the first training, kept with the trials, and fixed but for the budget."""

import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir

from experiments import names, seeds
from experiments.errors import UserError
from experiments.planning import plan, rules, sweep
from experiments.planning.identity import Trial
from experiments.reading import DamagedError
from experiments.seeds import Recorded, Rules
from experiments.settings import Seeds
from experiments.transfer import imports
from experiments.trial import described
from tests.support import harness
from tests.support.traces import describe, write_attempt

pytestmark = pytest.mark.filterwarnings("ignore")

EARLY, LATE = "2026-01-02T03:04:05+00:00", "2026-02-02T03:04:05+00:00"


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"first": 1}, "seeds.first=1 is refused; give a whole number, 2 or more and at most 100"),
        (
            {"first": 5, "most": 4},
            "seeds.most=4 is refused; give a whole number, seeds.first=5 or more and at most 100",
        ),
        ({"most": 101}, "seeds.most=101 is refused"),
        ({"budget": 0}, "seeds.budget=0 is refused; give device-hours above 0, or null"),
        ({"budget": float("nan")}, "seeds.budget=nan is refused"),
        ({"budget": float("inf")}, "seeds.budget=inf is refused"),
        ({"alpha": 0}, "seeds.alpha=0 is refused; give a number above 0 and below 1"),
        ({"alpha": 1}, "seeds.alpha=1 is refused"),
        ({"alpha": float("nan")}, "seeds.alpha=nan is refused"),
    ],
    ids=str,
)
def test_impossible_rules_are_refused(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=re.escape(told)):
        Rules(**wrong)


def test_rules_are_kept_as_text() -> None:
    made = Recorded.of(Rules(3, 7, 20.5, 0.01), EARLY)
    assert seeds.read(made.text()) == made
    assert made.rules == Rules(3, 7, 20.5, 0.01)
    assert made.with_budget(20.5, LATE) == made
    other = made.with_budget(None, LATE)
    assert json.loads(other.text())["budgets"] == [{"hours": 20.5, "since": EARLY}, {"hours": None, "since": LATE}]
    assert other.rules == Rules(3, 7, None, 0.01)


def test_text_of_rules_stays_short_enough_for_a_tag() -> None:
    """However often the budget was changed."""
    made = Recorded.of(Rules(), EARLY)
    for hours in range(1, 500):
        made = made.with_budget(hours / 3, LATE)
    assert len(made.text()) < 5000
    assert (made.rules.budget, made.made) == (499 / 3, EARLY)


@pytest.mark.parametrize(
    "change",
    [
        *({"first": 2.5}, {"first": "2"}, {"most": 1}, {"alpha": None}, {"made": "soon"}, {"made": EARLY[:19]}),
        *({"budgets": []}, {"budgets": [{"hours": -1, "since": EARLY}]}, {"budgets": [{"hours": 1, "since": "x"}]}),
    ],
    ids=str,
)
def test_damaged_text_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    """By its reader, and so by all who read a trial's folder."""
    text = json.dumps({**json.loads(Recorded.of(Rules(), EARLY).text()), **change})
    with pytest.raises(ValueError, match=r"^rules of seeds: .+"):
        seeds.read(text)
    trial = Trial({**harness.composed(), "output_dir": str(tmp_path)}, ())
    describe(trial, sweeps={names.SWEEP + "x": "x", names.RULES + "x": text})
    with pytest.raises(DamagedError, match="rules of seeds"):
        described.without_record(trial.paths)


def test_earliest_rules_count() -> None:
    first = Recorded.of(Rules(alpha=0.01), EARLY)
    changed, later = first.with_budget(3, LATE), Recorded.of(Rules(), LATE)
    for found in ([later, first, changed], [changed, first, later], [first, changed]):
        assert seeds.earliest(*found) == changed


def test_import_keeps_the_earliest_rules() -> None:
    """Though of all else what was planned last counts."""
    tags = [
        {names.SWEEP + "x": "x", names.PLANNED + "x": made, names.RULES + "x": Recorded.of(Rules(), made).text()}
        for made in (EARLY, LATE)
    ]
    for there, coming in (tags, tags[::-1]):
        merged = imports.joined(there, coming)
        assert merged == {**tags[1], names.RULES + "x": tags[0][names.RULES + "x"]}


def make(*arguments: str) -> plan.Plan:
    with initialize_config_dir(str(harness.ROOT / "conf"), version_base="1.3"):
        return plan.make(sweep.requests(arguments), lambda overrides: compose("config", overrides))


def test_rules_make_no_other_trial() -> None:
    asked = make("pre=none,conv1", "seed=auto", "seeds.first=3", "seeds.most=7", "seeds.budget=5", "seeds.alpha=.01")
    plain = make("pre=none,conv1")
    assert [trial.trial_id for trial in asked.trials] == [trial.trial_id for trial in plain.trials]
    assert asked.sweeps == plain.sweeps == ("pre=none,conv1",)
    assert [trial.describe() for trial in asked.trials] == [trial.describe() for trial in plain.trials]
    assert make("sweep=table1", "seed=auto", "seeds.most=3").sweeps == ("table1",)


@pytest.fixture
def begun(tmp_path: Path) -> Callable[..., dict[str, Recorded]]:
    """Asks for the rules of sweeps in a folder in which `a` and `b` were begun with others."""
    kept = {"a": Rules(3, 7, 5.0, 0.01), "b": Rules(3, 8, None, 0.01)}
    for number, (name, own) in enumerate(kept.items()):
        trial = Trial({**harness.composed(), "seed": number, "output_dir": str(tmp_path)}, ())
        describe(trial, sweeps={names.SWEEP + name: name, names.RULES + name: Recorded.of(own, EARLY).text()})
    default = dataclasses.asdict(Rules())

    def ask(*sweeps: str, others: tuple[str, ...] = (), **typed: Any) -> dict[str, Recorded]:
        outputs = trial.paths.root.parents[1]
        return rules.agreed(rules.OutputPaths(outputs), sweeps, others, Seeds(**{**default, **typed}), typed)

    return ask


def test_rules_default_to_those_of_the_study(begun: Callable[..., dict[str, Recorded]]) -> None:
    assert begun("a")["a"].rules == begun("a", first=3, most=7, alpha=0.01)["a"].rules == Rules(3, 7, 5.0, 0.01)
    assert begun("new", most=4)["new"].rules == Rules(most=4)
    both = begun("a", "new", others=("b",))
    assert (both["new"].rules, both["b"].rules) == (Rules(3, 7, 5.0, 0.01), Rules(3, 8, None, 0.01))


@pytest.mark.parametrize(("name", "old", "new"), [("first", 3, 2), ("most", 7, 10), ("alpha", 0.01, 0.05)])
def test_rules_are_not_changed(begun: Callable[..., dict[str, Recorded]], name: str, old: float, new: float) -> None:
    told = (
        f"seeds.{name}={new} is refused: since 2026-01-02 03:04 UTC this study has seeds.{name}={old}, and its "
        "rules cannot be changed; leave it out, or give another output_dir"
    )
    with pytest.raises(UserError, match=f"^{re.escape(told)}$"):
        begun("a", **{name: new})


def test_sweeps_of_other_rules_are_not_asked_for_together(begun: Callable[..., dict[str, Recorded]]) -> None:
    told = "seeds.most is 8 in b and 7 in another of these sweeps; run them with two commands"
    with pytest.raises(UserError, match=re.escape(told)):
        begun("a", "b")


def test_another_budget_is_kept_beside_the_first(begun: Callable[..., dict[str, Recorded]]) -> None:
    changed = begun("a", budget=9.0)["a"]
    assert [budget.hours for budget in changed.budgets] == [5.0, 9.0]
    assert begun("a", budget=None)["a"].rules.budget is None


def test_trials_that_were_finished_before_are_counted(tmp_path: Path) -> None:
    planned = make("seed=0,1,2", f"output_dir={tmp_path}")
    attempts = ((10.0, "FINISHED"), (30.0, "FINISHED"), (10.0, "FAILED"))
    for trial, (started, status) in zip(planned.trials, attempts, strict=True):
        describe(trial)
        write_attempt(trial.paths.root, 1, started=started, ended=started + 5, status=status)
    made = rules.datetime.fromtimestamp(20, rules.UTC)
    assert rules.finished_before(planned, made) == 1
    assert rules.device_hours(planned) == pytest.approx(15 / 3600)
