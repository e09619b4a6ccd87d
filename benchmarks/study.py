"""What all tables, figures and the report of a large study take, beside their target. Takes about a minute."""

import json
import tempfile
from collections.abc import Iterator
from itertools import islice, product
from pathlib import Path

from benchmarks.figure import Figure
from benchmarks.overhead import typical
from experiments import declared, names

WHAT, PEER = "python -m analysis paper", "target"
RUNS, EPOCHS, SECONDS = 500, 12, 10.0
STARTED = 1_780_000_000_000  # ms since 1970


def figures(runs: int = RUNS, epochs: int = EPOCHS, repeats: int = 3) -> Iterator[Figure]:
    """Yields the median of `repeats` calls, for a study in an sqlite store that kept no detections."""
    with tempfile.TemporaryDirectory() as place:
        uri = f"sqlite:///{place}/mlflow.db"
        _record(uri, Path(place), runs, epochs)
        command = ("-m", "analysis", "paper", "--tracking-uri", uri, "--out", f"{place}/results")
        yield Figure(f"{runs} runs of {epochs} epochs and 12 metrics", typical(repeats, *command), SECONDS)


def _record(uri: str, folder: Path, runs: int, epochs: int) -> None:
    """Records each row of the paper's tables as a variant of its own, with as many seeds as there are runs for."""
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param

    client = MlflowClient(uri)
    experiment = client.create_experiment(names.EXPERIMENT, artifact_location=folder.as_uri())
    rows = list(enumerate(declared.read("paper").rows))
    context = dict.fromkeys(("profile", "dataset", "recipe", "schedule"), "made")
    for seed, (number, row) in islice(product(range(runs), rows), runs):
        served = {"paper": row.name_in("paper"), row.sweep: row.name}
        tags = {names.TRIAL_ID: f"v{number}-s{seed}", names.VARIANT_ID: f"v{number}", names.VARIANT: f"v{number}"}
        for sweep, name in served.items():
            tags |= {names.SWEEP + sweep: sweep, names.ROWS + sweep: json.dumps([name])}
        run = client.create_run(experiment, start_time=STARTED, tags=tags).info.run_id
        metrics = [
            Metric(names.coco_metric(kind, short), (number + epoch) / 100 + seed / 10_000, STARTED + epoch, epoch)
            for kind, short, epoch in product(names.IOU_TYPES, names.COCO_METRICS, range(1, epochs + 1))
        ]
        params = [Param(key, str(value)) for key, value in {names.SEED: seed, **context}.items()]
        client.log_batch(run, metrics=metrics, params=params)
        client.set_terminated(run, names.FINISHED)
