"""What tests of export and import share: the commands, and all that a store and a folder hold."""

import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from mlflow.entities import Run

from experiments import names
from experiments.__main__ import main
from tests.support import harness

Told = tuple[int, str, str]  # exit code, stdout, stderr
OF_A_PLACE = ("output_dir", "tracking")  # keys of a configuration that an import sets


def tell(capsys: pytest.CaptureFixture[str], command: str, *arguments: object, outputs: Path) -> Told:
    """Runs `python -m experiments COMMAND ARGUMENTS` on an output folder."""
    capsys.readouterr()
    code = main([command, *map(str, arguments), "--output-dir", str(outputs)])
    return code, *capsys.readouterr()


def stored(outputs: Path) -> dict[str, dict[str, Any]]:
    """Returns all that MLflow has of each run, by its record, but for the ids and places that MLflow makes up."""
    return {run.data.tags[names.RECORD]: _stored(outputs, run) for run in harness.runs(outputs)}


def _stored(outputs: Path, run: Run) -> dict[str, Any]:
    client, run_id = harness.client(outputs), run.info.run_id
    histories = {
        name: [(point.timestamp, point.step, point.value) for point in client.get_metric_history(run_id, name)]
        for name in run.data.metrics
    }
    return {
        "status": run.info.status,
        "name": run.info.run_name,
        "times": (run.info.start_time, run.info.end_time),
        "params": run.data.params,
        "tags": {  # a description names its output folder
            key: text.replace(str(outputs), "OUTPUTS")
            for key, text in run.data.tags.items()
            if not key.startswith(names.WRITTEN)
        },
        "metrics": histories,
        "artifacts": _artifacts(Path(str(run.info.artifact_uri).removeprefix("file://"))),
    }


def _artifacts(folder: Path) -> dict[str, Any]:
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: placeless(path) if name == "config.yaml" else path.read_bytes() for name, path in files.items()}


def placeless(config: Path) -> dict[str, Any]:
    """Returns a configuration without what an import sets; its experiment is kept."""
    content = yaml.safe_load(config.read_text())
    return {key: value for key, value in content.items() if key not in OF_A_PLACE} | {
        "experiment": content["tracking"]["experiment"]
    }


def tree(folder: Path) -> dict[str, bytes]:
    """Returns every file below a folder but for MLflow's and hidden ones: marks and locks."""
    files = [path for path in folder.rglob("[!.]*") if path.is_file() and "artifacts" not in path.parts]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files if path.suffix != ".db"}


def contents(file: Path) -> dict[str, bytes]:
    """Returns an archive's files, the manifest too."""
    with zipfile.ZipFile(file) as zipped:
        return {name: zipped.read(name) for name in zipped.namelist()}


def edit_json(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


Teller = Callable[..., Told]
OutputFolder = Callable[[], Path]


def folder(outputs: Path, seed: int) -> Path:
    (found,) = outputs.glob(f"trials/*-s{seed}-*")
    return found


def lose_supervisor(trial: Path) -> None:
    """Has a trial's only attempt look as if its process had been shot when it ended."""
    file = trial / "attempts" / "0001.json"
    ended = json.loads(file.read_text())["ended"]
    edit_json(file, status=None, reason=None, ended=None)
    os.utime(file, (ended, ended))


def sweeps(outputs: Path, seed: int) -> set[str]:
    tags = json.loads((folder(outputs, seed) / "trial.json").read_text())["sweeps"]
    return {name for tag, name in tags.items() if tag.startswith(names.SWEEP)}
