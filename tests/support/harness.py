"""What tests of the harness share: the command line as a user types it, compositions without it, and what it left."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from mlflow import MlflowClient
from mlflow.entities import Run
from PIL import Image

from experiments import names, sqlite_uri
from experiments.data.datasets import Split
from experiments.planning.compose import Composer, resolve
from experiments.planning.identity import Trial
from experiments.planning.labels import Labels
from experiments.settings import Settings

ROOT = Path(__file__).parents[2]
SHARED_DATA = ROOT.parent / "shared" / "data"  # real COCO images, beside the repository where it is developed
PATIENCE = 300  # seconds that one command may take on a busy machine

# A trial in seconds that still detects something: AP50 about .04.
TINY = (
    "dataset.train_images=16",
    "dataset.val_images=8",
    "dataset.image_size=96",
    "profile.image_scale=[96,96]",
    "profile.finest_scale=6",
    "schedule.epochs=2",
    "schedule.batch_size=2",
    "schedule.lr_batch_size=2",
    "schedule.warmup_iters=2",
    "+profile.model.test_cfg.rcnn.score_thr=0.01",
)


def run(
    *command: str, cwd: Path = ROOT, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs `python COMMAND` to its end; more may be set in the environment."""
    return subprocess.run(
        [sys.executable, *command],
        cwd=cwd,
        env={**of_nobody(), **(environment or {})},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def of_nobody() -> dict[str, str]:
    """The environment of a user who has set nothing, so that Python keeps the bytecode of what it imports."""
    ours = ("MLFLOW_", "HYDRA_", "PYTHONDONTWRITEBYTECODE")
    return {key: value for key, value in os.environ.items() if not key.startswith(ours)}


def composed(*overrides: str) -> dict[str, Any]:
    """Returns the resolved configuration of one variant; to be read, not changed."""
    return _composed(overrides)


def settings(*overrides: str) -> Settings:
    """Returns the settings of one variant."""
    return typed(composed(*overrides))


def typed(config: dict[str, Any]) -> Settings:
    """Returns the settings of a resolved configuration."""
    return Settings.model_validate(config)


@cache
def _composed(overrides: tuple[str, ...]) -> dict[str, Any]:
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return resolve(compose("config", list(overrides)))


def labelled(config: dict[str, Any], overrides: tuple[str, ...] = ()) -> Trial:
    """Returns the trial of a configuration, with the text that a plan gives it."""
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return Trial(config, overrides, _labels()(config))


@cache
def _labels() -> Labels:
    return Labels(Composer(lambda overrides: compose("config", overrides)))


def options() -> dict[str, list[str]]:
    """Returns the options of each group, by the files in conf/; pre and post link to those of module."""
    groups = sorted(
        path for path in (ROOT / "conf").iterdir() if path.is_dir() and path.name not in ("hydra", "module")
    )
    return {group.name: sorted(file.stem for file in group.glob("*.yaml")) for group in groups}


def categories(*class_names: str) -> list[dict[str, Any]]:
    """Returns categories in COCO's form, ids from 1."""
    return [{"id": number, "name": name} for number, name in enumerate(class_names, 1)]


def annotation_file(path: Path, kinds: list[dict[str, Any]], **content: Any) -> Path:
    """Writes an annotation file in COCO's format."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"info": {}, "images": [], "annotations": [], "categories": kinds, **content}))
    return path


def picture(path: Path, width: int, height: int) -> None:
    """Writes a grey image."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (width, height), "grey").save(path)


def splits(folder: Path, count: int = 6) -> dict[str, Split]:
    """Returns two splits without images, of `count` classes."""
    classes = tuple(f"class {number}" for number in range(count))
    file = annotation_file(folder / "empty.json", categories(*classes))
    return {split: Split(file, folder, classes) for split in ("train", "val")}


def store(outputs: Path) -> str:
    """Returns the URI of the default store of an output folder."""
    return sqlite_uri.of(outputs / "mlflow.db")


def client(outputs: Path) -> MlflowClient:
    """Returns a client of the default store of an output folder."""
    return MlflowClient(store(outputs))


def runs(outputs: Path) -> list[Run]:
    """Returns every run recorded in an output folder, oldest first."""
    found = client(outputs).get_experiment_by_name(names.EXPERIMENT)
    assert found is not None
    return list(client(outputs).search_runs([found.experiment_id], order_by=["attributes.start_time ASC"]))


def sweeps_of(run: Run) -> set[str]:
    """Returns the names of the sweeps that a run belongs to."""
    return {value for key, value in run.data.tags.items() if key.startswith(names.SWEEP)}


def trial_folder(outputs: Path, run: Run) -> Path:
    """Returns the folder of the trial that a run is an attempt at."""
    return outputs / "trials" / run.data.tags[names.TRIAL_ID]


def journal_metrics(folder: Path) -> list[tuple[str, int, float, int]]:
    """Returns all metrics of a trial as (name, step, value, time), sorted: of its journal, its cost and its errors.

    Read without the project's code.
    """
    records = [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]
    records += [json.loads(file.read_text()) for name in ("cost", "errors") for file in folder.glob(f"{name}.json")]
    return sorted(
        (name, point["step"], value, point["time"])
        for record in records
        for point in (record, *record.get("samples", ()))
        for name, value in point.get("metrics", {}).items()
    )


def repeatable(points: list[tuple[str, int, float, int]]) -> list[tuple[str, int, float]]:
    """Returns metrics without their times, and without those that tell of speed and memory: never twice the same."""
    return [point[:3] for point in points if not any(word in point[0] for word in ("second", "memory"))]


def mlflow_metrics(outputs: Path, run: Run) -> list[tuple[str, int, float, int]]:
    """Returns the metric history of a run in the same form, but for what its attempts took, which no journal has."""
    reader = client(outputs)
    return sorted(
        (point.key, point.step, point.value, point.timestamp)
        for name in set(run.data.metrics) - {names.ATTEMPTS, names.WALL_SECONDS, names.DEVICE_SECONDS}
        for point in reader.get_metric_history(run.info.run_id, name)
    )


def attempts(folder: Path) -> list[dict[str, Any]]:
    """Returns what a trial's files say of its attempts, oldest first, read without the project's code."""
    return [json.loads(file.read_text()) for file in sorted((folder / "attempts").glob("*.json"))]


def set_fates(outputs: Path, fates: dict[int, str]) -> None:
    """Decides what becomes of fake trainings in an output folder, by seed; the words are fake_worker.py's."""
    file = outputs / "fates.json"
    earlier = json.loads(file.read_text()) if file.exists() else {}
    file.write_text(json.dumps({**earlier, **{str(seed): fate for seed, fate in fates.items()}}))


def left_in(temporary: Path) -> list[str]:
    """Returns what is in a folder for temporary files but torch's cache, of which a user has one."""
    return sorted(path.name for path in temporary.iterdir() if not path.name.startswith("torchinductor_"))


def processes_of(folder: Path) -> list[int]:
    """Returns the ids of the living processes that name a folder in their command line."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command, state = (process / "cmdline").read_bytes(), (process / "stat").read_text().rpartition(")")[2]
        except OSError:  # ended meanwhile
            continue
        if str(folder).encode() in command and state.split()[0] != "Z" and int(process.name) != os.getpid():
            found.append(int(process.name))
    return found
