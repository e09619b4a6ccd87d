"""Whole commands over folders with a damaged trial: the others are trained, and no two trials share a run."""

import pytest

from experiments import names
from experiments.paths import TrialPaths
from tests.support import harness, transferred
from tests.support.damages import FLAWS, holding
from tests.support.running import Fake, wait_for

pytestmark = pytest.mark.filterwarnings("ignore")


def test_two_trials_with_empty_records_have_two_runs(fake: Fake) -> None:
    assert fake.run({160: "error", 161: "error"}).code == 1
    for seed in (160, 161):
        (fake.folder(seed) / "record").write_text("")
        transferred.edit_json(fake.folder(seed) / "trial.json", record="")
    assert fake.run({160: "finish", 161: "finish"}, "retry.failed=true").code == 0
    runs = [run for run in harness.runs(fake.outputs) if run.info.status == "FINISHED"]
    assert sorted(run.data.params["seed"] for run in runs) == ["160", "161"]
    assert len({run.data.tags[names.RECORD] for run in runs}) == 2


@pytest.mark.long
def test_command_with_a_damaged_trial_trains_the_others(fake: Fake) -> None:
    """And that one with `rerun=true`; a configuration is written again by its trial's command."""
    assert fake.run({170: "error", 171: "error", 172: "error"}).code == 1
    holding("attempts/0001.json", b"")(TrialPaths(fake.folder(170)))
    holding("config.yaml", b"\xff")(TrialPaths(fake.folder(172)))
    done = fake.run({170: "finish", 171: "finish", 172: "finish"}, "retry.failed=true")
    assert done.code == 1
    assert "Traceback" not in done.stdout + done.stderr
    assert "2 of 3 trials finished" in done.stdout
    file = fake.folder(170) / "attempts" / "0001.json"
    assert f"  damaged  {fake.folder(170).name}: {file} is damaged (" in done.stdout
    assert [statuses[1] for statuses in fake.statuses(171, 172)] == ["FINISHED", "FINISHED"]
    again = fake.run({170: "finish"}, "rerun=true")
    assert again.code == 0, again.stdout + again.stderr
    assert [attempt["number"] for attempt in harness.attempts(fake.folder(170))] == [1]


def test_file_that_is_damaged_after_the_plan_costs_its_own_trial(fake: Fake) -> None:
    """The first trial's training holds the command up meanwhile."""
    command = fake.start({180: "go on", 181: "finish", 182: "finish"})
    wait_for(lambda: fake.began(180))
    holding("config.yaml", b"\xff")(TrialPaths(fake.folder(181)))
    (fake.folder(180) / "stop").write_text("drain")
    assert command.wait().code == 1
    assert "Traceback" not in command.stdout + command.stderr
    assert f"{fake.folder(181).name}: {fake.folder(181) / 'config.yaml'} is damaged (" in command.stdout
    assert fake.statuses(182) == [(182, "FINISHED")]


@pytest.mark.long
def test_nothing_about_provenance_ends_a_trial(fake: Fake) -> None:
    seeds = {190: "provenance/0001.json empty", 191: "sources/0001.json garbage", 192: "provenance unreadable"}
    assert fake.run(dict.fromkeys(seeds, "error")).code == 1
    for seed, flaw in seeds.items():
        FLAWS[flaw](TrialPaths(fake.folder(seed)))
    done = fake.run(dict.fromkeys(seeds, "finish"), "retry.failed=true")
    assert done.code == 0, done.stdout + done.stderr
    assert [status for _, status in fake.statuses(*seeds)] == ["FINISHED"] * 3
