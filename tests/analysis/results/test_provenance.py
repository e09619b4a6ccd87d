"""Where a study comes from, what was planned and became of it, and its tidy frames."""

import json
import shlex
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from mlflow.entities import Metric, RunTag

from analysis.read import environments, rows
from analysis.read.runs import of_experiment
from analysis.read.study import Study
from analysis.results import flat_files, provenance
from experiments import names
from tests.support.recorded import Recorder, box, read

HASH = "0123456789abcdef" * 4
NOTED = {
    "source": {"commit": "c" * 40, "dirty": False, "difference": "", "untracked": []},
    "packages": {"torch": "2.0"},
    "machine": {
        "host": "gpu7", "system": "Linux-6", "python": "3.11.7", "processor": "EPYC", "cores": 2, "memory_gib": 24.0,
        "gpus": [], "driver": None, "cuda": None,
    },
    "command": ["/home/ada/run.py"],
    "data": {
        "train": {"annotations": "/home/ada/train.json", "sha256": HASH, "images": 400, "objects": 1234, "classes": 8},
        "val": {"unreadable": "/home/ada/val.json not found"},
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Two trials of one sweep on one machine: the first was interrupted twice."""
    record = Recorder(tmp_path_factory.mktemp("store"), "provenance")
    for seed, attempts in ((0, 3), (1, 1)):
        run_id = record.run("sum", seed, points=box([0.1, 0.2]))
        tags = {names.COMMIT: "cccccccccccc", names.HOST: "gpu7", names.OVERRIDES: f"aggregation=sum seed={seed}"}
        spent = {names.ATTEMPTS: attempts, names.WALL_SECONDS: 900.0, names.DEVICE_SECONDS: 1800.0}
        record.client.log_batch(
            run_id,
            metrics=[Metric(name, value, record.clock, attempts) for name, value in spent.items()],
            tags=[RunTag(name, value) for name, value in tags.items()],
        )
        for attempt in range(1, attempts + 1):
            noted = json.dumps({**NOTED, "packages": {"torch": f"2.{attempt}"}})
            record.client.log_text(run_id, noted, f"provenance/{attempt:04d}.json")
        record.client.log_text(run_id, "", "provenance/0009.diff")
    return read(record, "last")


def test_surroundings_are_the_last_attempts_without_places(found: Study) -> None:
    (one,) = found.surroundings  # both trials ran in the same
    assert one["packages"] == {"torch": "2.3"}
    assert one["machine"]["host"] == "gpu7"
    assert list(one["data"]) == ["train"]
    assert "/home" not in json.dumps(one)


def test_trials_that_noted_nothing_have_no_surroundings(recorder: Recorder) -> None:
    runs = of_experiment(recorder.client, names.EXPERIMENT, recorder.uri)
    assert environments.read(runs, recorder.uri) == []


def test_provenance_tells_commit_machine_data_time_and_interruptions(found: Study) -> None:
    told = provenance.of(found)
    assert (told["commit"], "not recorded" in told) == ("cccccccccccc", False)
    assert told["machines"] == "gpu7 (EPYC, 2 cores, 24.0 GiB, Linux-6, Python 3.11.7)"
    assert told["data, train"] == "400 images, 1,234 objects, 8 classes (SHA-256 0123456789abcdef)"
    assert (told["wall time of all trials"], told["device-hours"]) == ("0.50 h", "1.00 h")
    assert told["interrupted"] == "2 times (sum-s0)"
    assert told["trained"] == "2026-02-25 06:13 to 2026-02-25 06:13 UTC"
    page = provenance.page(found)
    assert all(f"| {key} | {value} |" in page for key, value in told.items())


def test_epochs_have_a_line_for_each_trial_and_epoch(found: Study) -> None:
    frame = flat_files.epochs(found)
    assert list(frame[["trial_id", "seed", "epoch", "bbox/AP"]].itertuples(index=False, name=None)) == [
        ("sum-s0", "0", 1, 0.1), ("sum-s0", "0", 2, 0.2), ("sum-s1", "1", 1, 0.1), ("sum-s1", "1", 2, 0.2)
    ]  # fmt: skip
    assert set(frame["profile"]) == {"demo"}
    assert "segm/AP" not in frame  # nobody measured it


def test_plan_of_a_typed_sweep_is_its_trials(found: Study) -> None:
    frame = flat_files.plan(found)
    assert list(frame["overrides"]) == ["aggregation=sum seed=0", "aggregation=sum seed=1"]
    assert list(frame["attempts"]) == [3, 1]
    assert list(frame["device_seconds"]) == [1800.0, 1800.0]


def test_plan_of_a_declared_sweep_has_what_never_ran(declared_recorder: Recorder, tmp_path: Path) -> None:
    whole = read(declared_recorder, "paper")
    frame = flat_files.plan(whole)
    file = tmp_path / "plan.csv"
    frame.to_csv(file, index=False)
    told = ("table", "row", "variant", "seed", "overrides", "trial_id", "state")
    pd.testing.assert_frame_equal(pd.read_csv(file, dtype=str, keep_default_na=False)[list(told)], frame[list(told)])
    absent = frame.loc[(frame["table"] == "table3") & (frame["row"] == "conv 1x1")]
    assert set(absent["state"]) == {"not run"}
    assert "aggregation=sum pre=conv1 seed=0" in set(absent["overrides"])
    assert len(frame) == sum(len(part.lines) for part in whole.parts)


def test_plan_has_what_was_typed_beside_the_name_and_where_the_data_lie(recorder: Recorder) -> None:
    """Also for what never ran: it would else be another profile, or train on other data."""
    sweep, root = "table1 profile=coco", shlex.quote("dataset.root=/data/my own")
    own = Recorder(recorder.folder, "typed")
    for seed in (0, 1):
        run_id = own.run("faster_rcnn single", seed, points=box([0.1]), sweeps=(), rows={sweep: ["baseline"]})
        own.client.set_tag(run_id, names.OVERRIDES, f"aggregation=single seed={seed} profile=coco {root}")
    run_id = own.run("faster_rcnn random", 0, points=box([0.1]), sweeps=(), rows={sweep: ["random"]})
    own.client.set_tag(run_id, names.OVERRIDES, f"aggregation=random seed=0 profile=coco {root}")
    typed = read(own, sweep)
    frame = flat_files.plan(typed)
    assert list(frame.loc[frame["state"] == "not run", "overrides"]) == [
        f"aggregation=random profile=coco {root} seed=1",
        f"aggregation=sum profile=coco {root} seed=0",
        f"aggregation=sum profile=coco {root} seed=1",
    ]
    told = rows.what_runs_the_rest(sweep, typed.whole.lines)
    assert told == f"python run.py -m sweep=table1 profile=coco {root} seed=0,1"


def test_provenance_tells_what_is_not_recorded(found: Study) -> None:
    reason = "the commit is not recorded: git is not installed"
    lacking = [replace(run, tags={**run.tags, names.NOT_RECORDED: reason}) for run in found.runs]
    assert provenance.of(replace(found, runs=lacking))["not recorded"] == reason
