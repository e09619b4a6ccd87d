"""What the harness itself takes: a demo trial beside the same config trained bare, and commands beside their targets.

Takes as long as two demo trials, some minutes on two cores.
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import yaml

from benchmarks.figure import Figure
from experiments.data.shapes_cache import ShapesSpec, ensure_shapes
from experiments.paths import OutputPaths
from experiments.settings import Shapes

WHAT, PEER = "the harness itself", "bare, or target"
ROOT = Path(__file__).parents[1]
HELP_SECONDS, PLAN_SECONDS, STATUS_SECONDS = 1.0, 30.0, 2.0  # what we want these commands to take at most
TRIALS = 500  # whose status is asked for
# 200 variants with 5 seeds
THOUSAND = (
    "aggregation=single,random,sum,concat",
    "pre=none,conv1,conv3,conv5,nonlocal",
    "post=none,conv1,conv3,conv5,attention",
    "recipe=paper,upstream",
    "seed=0,1,2,3,4",
)


def figures(*overrides: str, repeats: int = 3) -> Iterator[Figure]:
    """Yields seconds on the clock; commands are given `repeats` times, of which the median counts.

    The trial's peer is MMEngine's Runner in one process, with the frozen config of the same trial, its evaluation, and
    a checkpoint after every epoch by MMEngine's own hook: without run.py, plan, torchrun, journal and MLflow. Its
    threads wait as ours do (GOMP_SPINCOUNT): left to spin, they take several times as long where others use the
    machine. A command without a peer stands beside its target.

    Args:
        overrides: of the trial, which is the demo's default one without any.
    """
    with tempfile.TemporaryDirectory() as place:
        yield Figure("run.py --help, beside its target", typical(repeats, "run.py", "--help"), HELP_SECONDS)
        thousand = typical(repeats, "run.py", "-m", *THOUSAND, "dry_run=true", f"output_dir={place}/plan")
        yield Figure("plan of 1,000 trials, beside its target", thousand, PLAN_SECONDS)

        outputs = Path(place) / "outputs"
        asked = ("run.py", *overrides, f"output_dir={outputs}")
        _seconds(*asked, "dry_run=true")  # files that both read are in memory after it
        composed = subprocess.run([sys.executable, *asked, "--cfg", "job"], cwd=ROOT, capture_output=True, check=True)
        dataset = Shapes.model_validate(yaml.safe_load(composed.stdout)["dataset"])
        ensure_shapes(ShapesSpec.of(dataset), OutputPaths(outputs).data)
        ours = _seconds(*asked)
        (trial,) = (outputs / "trials").iterdir()
        bare = _seconds("-m", "benchmarks.bare", str(trial / "detector.py"), str(Path(place) / "bare"))
        yield Figure("demo trial through run.py, beside Runner.train()", ours, bare)

        shutil.rmtree(trial / "work")
        for number in range(1, TRIALS):
            shutil.copytree(trial, trial.with_name(f"{trial.name}-{number}"))
        status = typical(repeats, "-m", "experiments", "status", "--output-dir", str(outputs))
        yield Figure(f"status of {TRIALS} trials, beside its target", status, STATUS_SECONDS)


def typical(repeats: int, *command: str) -> float:
    """Returns the median of what `python COMMAND` takes; RuntimeError with what it printed where it fails."""
    return statistics.median(_seconds(*command) for _ in range(repeats))


def _seconds(*command: str) -> float:
    start = time.perf_counter()
    environment = {**os.environ, "GOMP_SPINCOUNT": "5000"}
    done = subprocess.run(
        [sys.executable, *command], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    seconds = time.perf_counter() - start
    if done.returncode:
        raise RuntimeError(f"python {' '.join(command)} ended with {done.returncode}: {done.stderr[-2000:]}")
    return seconds
