"""`seed=auto` with a spent budget, in a dry run, and without its MLflow store."""

import json
from pathlib import Path

import pytest

from experiments.__main__ import main
from tests.support import harness
from tests.support.automatic import Automatic, rules_of, seeds_of
from tests.support.running import Fake

pytestmark = pytest.mark.filterwarnings("ignore")

TWO = ("none", "conv1")


@pytest.fixture
def auto(fake: Fake) -> Automatic:
    return Automatic(fake)


def files_of(outputs: Path) -> dict[str, bytes]:
    """Returns all that says what was trained and recorded."""
    return {str(path): path.read_bytes() for path in outputs.rglob("*") if path.is_file() and "plans" not in path.parts}


@pytest.mark.long
def test_budget_ends_the_rounds(auto: Automatic, tmp_path: Path) -> None:
    """Another is taken, and kept beside the first with every trial and run; all other rules stay."""
    first = auto.run("seeds.most=3", "seeds.budget=0.05", modules=TWO)  # a trial is estimated at 0.03 device-hours
    assert (first.code, first.stderr.strip()) == (0, "")
    assert auto.finished() == seeds_of(none=2, conv1=2)
    assert "1 open\nbudget: 0.00" in first.stdout
    assert " of 0.05 device-hours spent; the next round would take 0.06\n4 of 4 trials finished\n" in first.stdout

    refused = auto.run("seeds.alpha=0.01", modules=TWO)
    assert refused.code == 2
    assert "error: seeds.alpha=0.01 is refused: since 20" in refused.stderr

    before = files_of(auto.outputs)
    dry = auto.run("dry_run=true", "seeds.budget=null", modules=TWO)
    assert dry.code == 0, dry.stderr
    assert "6 unique trials, 2 to run, about 0.06 device-hours" in dry.stdout
    assert dry.stdout.endswith("1 open\nnext round: 2 trials, about 0.06 device-hours\n")
    assert files_of(auto.outputs) == before

    again = auto.run("seeds.budget=5", modules=TWO)
    assert again.code == 0, again.stderr
    assert auto.finished() == seeds_of(none=3, conv1=3)
    auto.assert_whole()
    told = [rules_of(one["sweeps"]) for one in auto.descriptions().values()]
    told += [rules_of(run.data.tags) for run in harness.runs(auto.outputs)]
    ((rules,),) = {tuple(map(json.dumps, found)) for found in told}
    assert [budget["hours"] for budget in json.loads(rules)["budgets"]] == [0.05, 5]

    archive, other = tmp_path / "study.zip", tmp_path / "other"
    assert main(["export", "last", str(archive), "--output-dir", str(auto.outputs)]) == 0
    assert main(["import", str(archive), "--output-dir", str(other)]) == 0
    for run in harness.runs(other):
        assert rules_of(run.data.tags) == [json.loads(rules)]


def test_dry_run_before_anything(auto: Automatic) -> None:
    dry = auto.run("dry_run=true", modules=TWO)
    assert dry.code == 0, dry.stderr
    assert "seed=auto: 2 to 10 seeds a row, alpha 0.05, no budget" in dry.stdout
    assert dry.stdout.endswith("next round: 4 trials, of a cost that is not known yet\n")
    assert list(auto.outputs.glob("trials/*")) == []


@pytest.mark.long
def test_seeds_are_not_chosen_without_the_store(auto: Automatic, empty_store: Path) -> None:
    """Nothing is lost: once it is back, the same command resumes."""
    place, away = auto.outputs / "store", auto.outputs / "away"
    place.mkdir()
    (place / "mlflow.db").write_bytes(empty_store.read_bytes())
    words = ("seeds.most=3", f"tracking.uri=sqlite:///{place}/mlflow.db")
    assert auto.run(*words, "seeds.budget=0.05", modules=TWO).code == 0
    place.rename(away)
    for more, told in (
        ((), "seeds cannot be chosen before MLflow has every finished trial; correct that, then give the same command"),
        (("dry_run=true",), "the seeds so far cannot be compared: no sweeps recorded yet in sqlite:///"),
    ):
        without = auto.run(*words, "seeds.budget=null", *more, modules=TWO)
        assert without.code == 2, without.stdout
        assert f"error: {told}" in without.stderr
        assert (auto.finished(), place.exists()) == (seeds_of(none=2, conv1=2), False)
    away.rename(place)
    assert auto.run(*words, "seeds.budget=null", modules=TWO).code == 0
    assert auto.finished() == seeds_of(none=3, conv1=3)
