"""MLflow's runs become tidy frames: which sweep, which run of a trial, which value of an epoch."""

import math

import pytest

from analysis.read import frames, rows
from analysis.read.runs import Point, Run, histories, requests
from analysis.statistics import noise_groups
from analysis.tables import ablation
from experiments import names
from tests.support.drawn import typed
from tests.support.recorded import BOX, NEWER, OLDER, Recorder, box, metrics_of, of_id


def test_last_is_the_sweep_planned_last_across_time_zones(runs: list[Run]) -> None:
    assert frames.find_sweep(runs, "last", "uri") == NEWER
    assert frames.sweeps(runs) == [NEWER, OLDER]


def test_a_trial_counts_once_with_its_finished_run_though_later_attempts_exist(runs: list[Run]) -> None:
    of_sweep = frames.runs_frame(runs, OLDER)
    assert list(of_sweep.loc[of_sweep[names.VARIANT] == "random", "status"]).count("FINISHED") == 1
    trials = frames.trials_frame(of_sweep)
    assert trials[names.TRIAL_ID].is_unique
    assert list(trials.loc[trials[names.VARIANT] == "random", "status"]) == ["FINISHED"]


def test_without_a_finished_run_the_latest_started_counts(recorder: Recorder) -> None:
    first = recorder.run("a", 0, "FAILED", sweeps=(), reason="first")
    second = recorder.run("a", 0, "RUNNING", sweeps=())
    for order in ([first, second], [second, first]):
        found = [of_id(recorder, run_id) for run_id in order]
        for run in found:  # membership as the store would have it, without touching the sweeps of other tests
            run.tags["sweep.only here"] = "only here"
        assert list(frames.trials_frame(frames.runs_frame(found, "only here"))["run_id"]) == [second]


def test_a_trial_belongs_to_a_sweep_by_its_id_whichever_sweep_finished_it(runs: list[Run]) -> None:
    trials = frames.trials_frame(frames.runs_frame(runs, NEWER)).set_index(names.VARIANT)
    assert trials.at["sum", "status"] == "FINISHED"
    assert "single" in trials.index  # shared by both sweeps
    assert "random" not in trials.index


def test_variants_come_as_first_started_and_seeds_as_numbers(runs: list[Run]) -> None:
    trials = frames.trials_frame(frames.runs_frame(runs, OLDER))
    order = ["random", "single", "sum pre=conv5", "sum post=attention", "concat"]
    assert list(trials["label"].unique()) == order
    assert list(trials.loc[trials["label"] == "single", names.SEED]) == ["0", "2", "10"]


def test_variants_come_as_typed_whichever_had_run_before(recorder: Recorder) -> None:
    """The first is the baseline of a typed sweep: that must not be what somebody happened to train the day before."""
    typed = "aggregation=single,sum pre.kernel_size=3,5 seed=0,1"
    ran = [("sum", "5"), ("sum", "3"), ("single", "5"), ("single", "3")]
    own_store, found = Recorder(recorder.folder, "typed order"), []
    for aggregation, kernel in ran:
        own = own_store.run(f"{aggregation} {kernel}", 0, sweeps=(typed,), aggregation=aggregation)
        own_store.client.set_tag(own, names.OVERRIDES, f"aggregation={aggregation} pre.kernel_size={kernel} seed=0")
        found.append(of_id(own_store, own))
    trials = frames.trials_frame(frames.runs_frame(found, typed))
    assert list(trials["label"]) == ["single 3", "single 5", "sum 3", "sum 5"]


def test_variants_come_as_they_were_asked_for_whatever_another_sweep_typed_since(recorder: Recorder) -> None:
    """A default that was typed, a number written otherwise: the run says its place, its overrides are the newest."""
    typed = "schedule.optimizer.lr=1e-2,1e-3 recipe.pre_shared=true,false"
    own_store, found = Recorder(recorder.folder, "recorded places"), []
    for place, (variant, overrides) in enumerate([("a", "lr=0.01"), ("b", ""), ("c", "lr=1e-3"), ("d", "")]):
        own = own_store.run(variant, 0, sweeps=(typed,))
        own_store.client.set_tag(own, names.OVERRIDES, f"schedule.optimizer.{overrides}" if overrides else "")
        own_store.client.set_tag(own, names.PLACE + names.sweep_key(typed), str(3 - place))
        found.append(of_id(own_store, own))
    trials = frames.trials_frame(frames.runs_frame(found, typed))
    assert list(trials["label"]) == ["d", "c", "b", "a"]
    gone = of_id(own_store, own_store.run("e", 0, sweeps=(typed,)))  # of a configuration that was edited since
    trials = frames.trials_frame(frames.runs_frame([gone, *found], typed))
    assert list(trials["label"]) == ["d", "c", "b", "a", "e"]


def test_a_variant_has_one_text_its_newest(recorder: Recorder) -> None:
    """Older versions recorded what was typed: seeds of a variant with several texts are one row."""
    texts = ["sum recipe.pre_shared=true", "sum", "sum"]
    found = [of_id(recorder, recorder.run(text, seed, sweeps=(), variant_id="one")) for seed, text in enumerate(texts)]
    for run in found:
        run.tags["sweep.retyped"] = "retyped"
    trials = frames.trials_frame(frames.runs_frame(found, "retyped"))
    assert set(trials["label"]) == set(trials[names.VARIANT]) == {"sum"}
    lines = rows.rows_frame("retyped", trials, None)
    assert list(lines["line"]) == [0, 0, 0]
    assert set(lines["row"]) == {"sum"}


def test_variants_that_read_alike_stay_apart(recorder: Recorder) -> None:
    ids = [recorder.run("sum", 0, sweeps=(), variant_id=f"sum-{i}") for i in "ab"]
    found = [of_id(recorder, run_id) for run_id in ids]
    for run in found:
        run.tags["sweep.alike"] = "alike"
    assert list(frames.trials_frame(frames.runs_frame(found, "alike"))["label"]) == ["sum [sum-a]", "sum [sum-b]"]


def test_a_row_per_trial_and_epoch_with_the_last_value_of_each_epoch(recorder: Recorder, runs: list[Run]) -> None:
    trials = frames.trials_frame(frames.runs_frame(runs, OLDER))
    calls: list[None] = []
    wanted = frames.wanted_histories(trials, BOX)
    metrics = frames.metrics_frame(trials, histories(recorder.client, wanted, lambda: calls.append(None)), BOX)
    assert list(metrics.columns) == ["trial_id", "epoch", *BOX]
    single = metrics.loc[metrics["trial_id"] == "single-s0"]
    assert list(single["epoch"]) == [1, 2, 3]
    assert list(single["bbox/AP"]) == [0.20, 0.34, 0.44]  # epochs 2 and 3 were first recorded as .30 and .40
    assert list(single["bbox/AP50"]) == pytest.approx([0.4, 0.5, 0.6], abs=1e-15)
    assert list(metrics.loc[metrics["trial_id"] == "random-s0", "bbox/AP"]) == [0.10, 0.20, 0.30]
    # 1 random + 3 single + 3 sum pre=conv5 + 1 running trial with six histories each; the killed one has none.
    assert len(wanted) == 48
    assert len(calls) == requests(wanted) == 6  # all runs in one request


def test_minus_one_is_no_value_and_full_precision_stays(recorder: Recorder) -> None:
    value = 0.123456789012345678
    run = of_id(recorder, recorder.run("precise", 0, points=box([value]), sweeps=()))
    run.tags["sweep.precise"] = "precise"
    metrics = metrics_of(recorder, frames.trials_frame(frames.runs_frame([run], "precise")), BOX)
    assert metrics.at[0, "bbox/AP"] == value
    assert math.isnan(metrics.at[0, "bbox/APl"])


def test_a_trial_without_a_value_at_its_last_epoch_has_no_result() -> None:
    """Also where an earlier epoch has one: in all tables and plots alike."""
    found = typed({"sum": {"0": 0.3, "1": 0.4}})
    found.histories["sum-s1", "bbox/AP"] += [Point(2, 2000, -1.0)]
    found.histories["sum-s1", "epoch/loss"] = [Point(2, 2000, 0.7)]
    (last,) = frames.last_values(found.metrics).loc[["sum-s1"]].to_dict("records")
    assert (last["epoch"], last["epoch/loss"], math.isnan(last["bbox/AP"])) == (2, 0.7, True)
    assert noise_groups.values(found, "bbox/AP") == {"sum": {"0": 0.3}}
    (row,) = ablation.of(found, found.whole).rows
    assert (row.shown("bbox/AP"), row.n) == ("-", "2")


def test_no_value_at_all_gives_an_empty_frame_with_all_columns(recorder: Recorder, runs: list[Run]) -> None:
    trials = frames.trials_frame(frames.runs_frame(runs, OLDER))
    metrics = metrics_of(recorder, trials.loc[trials["label"] == "concat"], BOX)
    assert metrics.empty
    assert list(metrics.columns) == ["trial_id", "epoch", *BOX]


def test_run_from_before_a_factor_existed_has_its_default() -> None:
    tags = {names.TRIAL_ID: "a", f"{names.SWEEP}s": "s"}
    params = {names.SEED: "0", "aggregation": "sum"}
    old = Run("1", names.FINISHED, 0, tags, params, {})
    new = Run("2", names.FINISHED, 1, {**tags, names.TRIAL_ID: "b"}, {**params, "neck": "pafpn"}, {})
    frame = frames.runs_frame([old, new], "s")
    assert list(frame["neck"]) == ["fpn", "pafpn"]
    assert list(frame["box_loss"]) == ["recipe", "recipe"]
