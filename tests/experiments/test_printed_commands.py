"""What is printed to be typed can be typed: in the same folder, whatever outputs, store and experiment are called."""

import os
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from experiments.commands import Place
from tests.support import harness
from tests.support.running import Preloaded

pytestmark = pytest.mark.filterwarnings("ignore")

EXPERIMENT = 'Ada\'s "study", no. 1'


def typed(command: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Gives a command to a shell that knows no `python` of this project."""
    environment = {**harness.of_nobody(), "PATH": os.defpath, **variables}
    return subprocess.run(
        ["sh", "-c", command], cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=300
    )


@dataclass(frozen=True)
class Printed:
    """Two commands in a folder of the user's: the first sweep ends well, of the second one trial fails."""

    folder: Path
    first: str
    second: str


@pytest.fixture(scope="module")
def printed(preloaded: Preloaded, empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Printed:
    folder = tmp_path_factory.mktemp("somewhere else")
    outputs, store = folder / "my outputs, 1", folder / "my stores" / "runs.db"
    for place in (outputs, store.parent):
        place.mkdir()
    shutil.copy(empty_store, store)
    (outputs / ".groie-ablation").touch()
    harness.set_fates(outputs, {7: "error"})
    place = Place(outputs, f"sqlite:///{store.relative_to(folder)}", EXPERIMENT)
    words = [f'output_dir="{outputs.name}"', f'tracking.uri="{place.uri}"']
    words.append('tracking.experiment="' + EXPERIMENT.replace('"', '\\"') + '"')
    told = []
    for asked in (["seed=0,1"], ["sweep=table1", "seed=7", "fail_fast=true"]):
        command = preloaded.run(*harness.TINY, *asked, *words, cwd=folder, fake_training=True)
        told.append(command.stdout + command.stderr)
    return Printed(folder, *told)


@pytest.mark.long
def test_how_to_read_a_sweep(printed: Printed) -> None:
    """The store is not where `analysis` would look, and its experiment has another name."""
    assert "2 of 2 trials finished" in printed.first
    (command,) = re.findall("read them: (.*)   or in MLflow", printed.first)
    done = typed(command, printed.folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert "seeds" in done.stdout
    assert typed(command.replace("Ada", "Bob"), printed.folder).returncode == 2


def test_how_to_open_the_pages(printed: Printed) -> None:
    """`make` only says what it would start, which gets the same variables."""
    (command,) = re.findall("or in MLflow: (.*)", printed.first)
    done = typed(command, printed.folder, MAKEFLAGS="n")
    assert "exec .venv/bin/python -m mlflow ui --workers 1" in done.stdout
    name, _, value = shlex.split(command)[0].partition("=")
    assert (name, value) == ("MLFLOW_TRACKING_URI", f"sqlite:///{printed.folder}/my stores/runs.db")


@pytest.mark.long
def test_command_that_runs_the_rest_finds_the_existing_trials(printed: Printed) -> None:
    """The failed trial, and with it the folder, is known to the command that the table names."""
    (reading,) = re.findall("read them: (.*)   or in MLflow", printed.first)
    table = typed(reading, printed.folder)
    assert "runs what is not run yet" in table.stdout
    (command,) = re.findall("`(.*)` runs what is not run yet", table.stdout)
    plan = typed(f"{command} dry_run=true", printed.folder)
    assert (plan.returncode, plan.stderr) == (0, "")
    assert "failed: " in plan.stdout
    assert str(printed.folder / "my outputs, 1") in plan.stdout


def test_remedies_can_be_typed(printed: Printed, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `status` says of a folder without trials starts some there; the folder that holds trials has them listed."""
    monkeypatch.chdir(printed.folder)  # commands are made for the folder where they are typed
    place = Place(printed.folder / "new ones")
    status = typed(place.command("experiments", "status"), printed.folder)
    assert status.returncode == 2
    (command,) = re.findall("start a trial: `(.*)`", status.stderr)
    plan = typed(f"{command} dry_run=true", printed.folder)
    assert (plan.returncode, plan.stderr) == (0, "")
    assert str(printed.folder / "new ones" / "plans") in plan.stdout
    status = typed(Place(printed.folder / "my outputs, 1").command("experiments", "status"), printed.folder)
    assert status.stdout.strip().startswith("5 trials: 2 finished")
