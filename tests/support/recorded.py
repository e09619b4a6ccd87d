"""Writes runs into a real MLflow store as an experiment would, and the sweeps that the tests read."""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Metric, Param

from analysis.read import frames, study
from analysis.read.metrics import COCO_NAMES
from analysis.read.runs import Run, histories, of_experiment
from experiments import names

BOX = tuple(f"bbox/{short}" for short in ("AP", "AP50", "AP75", "APs", "APm", "APl"))
MASK = tuple(f"segm/{short}" for short in ("AP", "AP50", "AP75", "APs", "APm", "APl"))
OLDER, NEWER = "modules: before & after", "masks/two heads"
# As text OLDER's last plan sorts behind NEWER's; as a moment (07:30 UTC against 08:00 UTC) it is the earlier one.
PLANNED = {OLDER: "2026-03-02T09:30:00+02:00", NEWER: "2026-03-02T08:00:00+00:00"}
# Declared sweeps, in an experiment of their own.
DECLARED = "declared"
TYPED_MORE = "table1 recipe=paper,upstream"
PLANNED |= {"paper": "2026-03-03T08:00:00+00:00", TYPED_MORE: "2026-03-04T08:00:00+00:00"}


class Recorder:
    """Writes runs of trials into a store, each started a second after the one before."""

    def __init__(self, folder: Path, experiment: str = names.EXPERIMENT) -> None:
        self.folder, self.experiment = folder, experiment
        self.uri = f"sqlite:///{folder / 'mlflow.db'}"
        self.client = MlflowClient(self.uri)
        self.experiment_id = self.client.create_experiment(experiment, artifact_location=folder.as_uri())
        self.clock = 1_772_000_000_000  # ms since 1970

    def run(
        self,
        variant: str,
        seed: int,
        status: str = "FINISHED",
        points: Mapping[str, Sequence[float]] | None = None,
        sweeps: Sequence[str] = (OLDER,),
        reason: str = "",
        variant_id: str = "",
        rows: Mapping[str, Sequence[str]] | None = None,
        **factors: str,
    ) -> str:
        """Records a run; returns its id.

        `points` gives each metric's values at epochs 1, 2, ...; `rows` the rows that it serves in declared sweeps. Of
        all sweeps, those in PLANNED were asked for by name.
        """
        self.clock += 1000
        variant_id = variant_id or variant.replace(" ", "_")
        tags = {names.VARIANT: variant, names.VARIANT_ID: variant_id, names.TRIAL_ID: f"{variant_id}-s{seed}"}
        if reason:
            tags[names.REASON] = reason
        for sweep in (*sweeps, *(rows or {})):
            tags[names.SWEEP + names.sweep_key(sweep)] = sweep
            if sweep in PLANNED:
                tags[names.PLANNED + names.sweep_key(sweep)] = PLANNED[sweep]
        for sweep, served in (rows or {}).items():
            tags[names.ROWS + names.sweep_key(sweep)] = json.dumps(served)
        known = {"profile": "demo", "dataset": "shapes", "recipe": "paper", "schedule": "short", **factors}
        run = self.client.create_run(self.experiment_id, start_time=self.clock, tags=tags)
        self.client.log_batch(
            run.info.run_id,
            params=[Param(names.SEED, str(seed)), *(Param(key, value) for key, value in known.items())],
            metrics=[
                Metric(name, value, self.clock + 10 * epoch, epoch)
                for name, values in (points or {}).items()
                for epoch, value in enumerate(values, start=1)
            ],
        )
        if status != "RUNNING":
            self.client.set_terminated(run.info.run_id, status, self.clock + 500)
        return str(run.info.run_id)


def silent(text: str, steps: int) -> AbstractContextManager[Callable[[], None]]:
    """Shows no progress."""
    return nullcontext(lambda: None)


def read(recorder: Recorder, sweep: str, progress: study.Progress = silent) -> study.Study:
    """Returns a sweep of an experiment as analysis reads it; fails where something was left out."""
    notes: list[str] = []
    found = study.read(recorder.client, recorder.experiment, recorder.uri, sweep, progress, notes.append)
    assert not notes
    return found


def of_id(recorder: Recorder, run_id: str) -> Run:
    """Returns a run as analysis has it."""
    return next(
        run for run in of_experiment(recorder.client, recorder.experiment, recorder.uri) if run.run_id == run_id
    )


def metrics_of(recorder: Recorder, trials: pd.DataFrame, wanted: tuple[str, ...] = COCO_NAMES) -> pd.DataFrame:
    """Returns the tidy frame of what the store has of these trials."""
    return frames.metrics_frame(trials, histories(recorder.client, frames.wanted_histories(trials, wanted)), wanted)


def box(ap: Sequence[float], large: float = -1.0) -> dict[str, list[float]]:
    """Returns points of all six box metrics that follow from AP: AP50 = AP + .2, AP75 = AP, small and medium AP / 2."""
    known = {"bbox/AP": list(ap), "bbox/AP50": [a + 0.2 for a in ap], "bbox/AP75": list(ap)}
    return {**known, "bbox/APs": [a / 2 for a in ap], "bbox/APm": [a / 2 for a in ap], "bbox/APl": [large for _ in ap]}


def record_two_sweeps(record: Recorder) -> None:
    """Records OLDER, with trials in every state, and NEWER, with masks; they share a trial."""
    # A failed attempt, the one that finished, and a later one that somebody started again: the finished one counts.
    record.run("random", 0, "FAILED", box([0.9]), reason="disk full")
    record.run("random", 0, "FINISHED", box([0.10, 0.20, 0.30]))
    record.run("random", 0, "RUNNING", box([0.8]))
    single = record.run("single", 0, points=box([0.20, 0.30, 0.40]), sweeps=(OLDER, NEWER))
    # Resumed from epoch 1: epochs 2 and 3 come a second time, later, and with other values.
    again = [Metric("bbox/AP", value, record.clock + 900, epoch) for epoch, value in ((2, 0.34), (3, 0.44))]
    record.client.log_batch(single, metrics=again)
    record.run("single", 10, points=box([0.20, 0.35, 0.48]))
    record.run("single", 2, points=box([0.20, 0.31, 0.415]))
    record.run("sum pre=conv5", 0, points=box([0.25, 0.40, 0.50]))
    record.run("sum pre=conv5", 1, points=box([0.27, 0.42, 0.53]))
    record.run("sum pre=conv5", 2, "FAILED", box([0.26]), reason="CUDA out of memory")
    record.run("sum post=attention", 0, "RUNNING", box([0.30, 0.45]))
    record.run("concat", 0, "KILLED")
    masks = {name: [0.1, 0.2 + 0.01 * i] for i, name in enumerate(MASK)}
    points = {**box([0.2, 0.3], large=0.6), **masks}
    record.run("mask_rcnn sum", 0, points=points, sweeps=(NEWER,), architecture="mask_rcnn", dataset="coco")
    # The trial failed in NEWER; a third sweep's attempt at the same trial finished it, without joining NEWER.
    record.run("sum", 0, "FAILED", sweeps=(NEWER,), reason="node lost")
    record.run("sum", 0, points=box([0.2, 0.55]), sweeps=())


def record_declared_sweeps(record: Recorder) -> None:
    """Records `sweep=paper seed=0,1`, broken off, and TYPED_MORE, broken off too."""
    everywhere = {"table1": ["baseline"], "table2": ["baseline"], "table3": ["baseline"], "table4": ["baseline"]}
    baseline = {**everywhere, "table5": ["Faster R-CNN"]}
    for seed, ap in enumerate((0.40, 0.42)):
        record.run("faster_rcnn single", seed, points=box([0.1, ap], 0.5), sweeps=(), rows=_of_paper(baseline))
    summed = {"table1": ["sum"], "table2": ["sum"]}
    record.run("faster_rcnn sum", 0, points=box([0.2, 0.46]), sweeps=(), rows=_of_paper(summed))
    record.run("faster_rcnn sum", 1, "RUNNING", box([0.2]), sweeps=(), rows=_of_paper(summed))
    # The last of table2 and the first but one of table4 are one trial; it was started last.
    record.run(
        "faster_rcnn sum pre=conv3", 0, "FAILED", sweeps=(), rows=_of_paper({"table3": ["conv 3x3"]}), reason="X"
    )
    convolved = {"table2": ["sum+"], "table4": ["conv 1x1"]}
    record.run("faster_rcnn sum post=conv1", 0, points=box([0.2, 0.39]), sweeps=(), rows=_of_paper(convolved))
    masks = {name: [0.1, 0.2 + 0.01 * i] for i, name in enumerate(MASK)}
    points, mask_row = {**box([0.2, 0.3]), **masks}, {"table5": ["Mask R-CNN"]}
    record.run("mask_rcnn single", 0, points=points, sweeps=(), rows=_of_paper(mask_row), architecture="mask_rcnn")

    # The first was finished for sweep=table1 and says nothing of recipe=paper.
    for recipe, text, ap in (("paper", "", 0.3), ("upstream", " recipe=upstream", 0.33)):
        served = {TYPED_MORE: ["baseline"]}
        variant = f"faster_rcnn single{text}"
        record.run(variant, 0, points=box([ap]), sweeps=(), rows=served, recipe=recipe, variant_id=f"m{recipe}")
    record.run("faster_rcnn random", 0, points=box([0.2]), sweeps=(), rows={TYPED_MORE: ["random"]}, variant_id="mr")


def _of_paper(rows: Mapping[str, Sequence[str]]) -> dict[str, Sequence[str]]:
    """Returns the rows that a run serves in the tables and, through them, in the paper's whole study."""
    return {"paper": [f"{table}: {row}" for table, served in rows.items() for row in served], **rows}
