"""A storm of kills, from the first second of a new folder on: the same command again is all that is needed.

In the end everything is as if nothing had happened: metrics, weights and detections to the last bit, one MLflow run a
trial with all of it, and nothing is left behind.
"""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from experiments import names
from experiments.paths import TrialPaths
from tests.support import harness
from tests.support.alike import assert_same_arrays, differing, metrics

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(3600)]

EPOCHS = 3
ARGUMENTS = (
    *("-m", "pre=none,conv1", *harness.TINY, "dataset.train_images=4", "dataset.val_images=2"),
    *(f"schedule.epochs={EPOCHS}", "resources.gpus=0", "resources.loader_workers=1"),
)
# What is killed, how often, and within how many seconds from when it is seen.
COMMAND, STORE, TORCHRUN, RANK, LOADER = "run.py", "run.py making the store", "torchrun", "a rank", "a loader"
KILLS = {COMMAND: 16, STORE: 6, TORCHRUN: 6, RANK: 6, LOADER: 6}
WITHIN = {COMMAND: 8.0, STORE: 2.0, TORCHRUN: 6.0, RANK: 6.0, LOADER: 3.0}
TERMINATED = 0.25  # share of kills that are a SIGTERM
COMMANDS = 150  # given at most


@dataclass
class Storm:
    """One output folder after the other, in each of which a command is given until it ends well."""

    folder: Path
    environment: dict[str, str]
    draws: random.Random
    aims: list[str]
    kills: Counter = field(default_factory=Counter)
    done: list[Path] = field(default_factory=list)
    given: int = 0

    def blow(self) -> None:
        """Works until all aims were hit and the last folder is done."""
        while self.aims:
            outputs = self.folder / f"outputs{len(self.done)}"
            while self.give(outputs) != 0:
                assert self.given < COMMANDS
            self.done.append(outputs)

    def give(self, outputs: Path) -> int:
        """Gives the command, in which kills happen until it ends; returns its exit code."""
        self.given += 1
        log = self.folder / f"command{self.given}.txt"
        with log.open("wb") as file:
            command = subprocess.Popen(
                [sys.executable, str(harness.ROOT / "run.py"), *ARGUMENTS, f"output_dir={outputs}"],
                cwd=harness.ROOT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        while command.poll() is None and self.aims:
            self.hit(command, outputs)
        code = command.wait(harness.PATIENCE)
        text = log.read_text()
        assert code in (0, 1, -signal.SIGKILL, -signal.SIGTERM, 130, 143), text
        assert "Traceback" not in text, text
        return code

    def hit(self, command: subprocess.Popen, outputs: Path) -> None:
        """Kills what is next, some time after it is seen; it may be gone by then, and is next again."""
        aim = self.aims[-1]
        seen: list[psutil.Process] = []
        while not seen and command.poll() is None:
            seen = sighted(aim, command.pid, outputs)
            time.sleep(0.05)
        time.sleep(self.draws.uniform(0, WITHIN[aim]))
        number = signal.SIGTERM if self.draws.random() < TERMINATED else signal.SIGKILL
        if seen and command.poll() is None:
            with contextlib.suppress(psutil.NoSuchProcess):
                seen[0].send_signal(number)  # not where its number is another's by now
                self.kills[self.aims.pop(), number] += 1


def sighted(aim: str, command: int, outputs: Path) -> list[psutil.Process]:
    """Returns the processes of a kind that work on an output folder now."""
    if aim == COMMAND or (aim == STORE and (outputs / "store.lock").exists()):
        return [psutil.Process(command)]
    ranks, found = {}, []
    for process in psutil.process_iter(["cmdline", "ppid"]):
        words = process.info["cmdline"] or []
        if not any(word.startswith(f"{outputs}/") for word in words):
            continue
        if "torch.distributed.run" in words:
            found += [process] if aim == TORCHRUN else []
        elif "experiments.training.worker" in words:
            ranks[process.pid] = process
    loaders = [process for process in ranks.values() if process.info["ppid"] in ranks]
    return found + {RANK: [one for one in ranks.values() if one not in loaders], LOADER: loaders}.get(aim, [])


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """With a folder of our own for temporary files."""
    folder = tmp_path_factory.mktemp("t")
    return {**harness.of_nobody(), "OMP_NUM_THREADS": "1", "TMPDIR": str(folder)}


@pytest.fixture(scope="module")
def undisturbed(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    outputs = tmp_path_factory.mktemp("undisturbed") / "outputs"
    done = harness.run("run.py", *ARGUMENTS, f"output_dir={outputs}", environment=environment)
    assert done.returncode == 0, done.stderr
    return outputs


@pytest.fixture(scope="module")
def storm(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Storm]:
    seed = int(os.environ.get("STORM_SEED", random.SystemRandom().randrange(10**6)))
    print(f"STORM_SEED={seed}")
    draws = random.Random(seed)
    aims = [kind for kind, count in KILLS.items() for _ in range(count) if kind != STORE]
    draws.shuffle(aims)
    aims += [STORE] * KILLS[STORE]  # the last is the first: the folder is new
    storm = Storm(tmp_path_factory.mktemp("storm"), environment, draws, aims)
    try:
        storm.blow()
        yield storm
    finally:
        print(f"{storm.given} commands, {len(storm.done)} folders, {dict(storm.kills)}")
        for process in harness.processes_of(storm.folder):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)


def trials(outputs: Path) -> dict[str, TrialPaths]:
    return {path.name: TrialPaths(path) for path in sorted(outputs.glob("trials/*"))}


def test_there_was_a_storm(storm: Storm) -> None:
    kinds: Counter = Counter()
    for (kind, _), count in storm.kills.items():
        kinds[kind] += count
    assert kinds == KILLS
    assert kinds.total() >= 40
    assert {number for _, number in storm.kills} == {signal.SIGKILL, signal.SIGTERM}
    assert storm.done


def test_results_are_equal_to_the_last_bit(storm: Storm, undisturbed: Path) -> None:
    reference = trials(undisturbed)
    assert len(reference) == 2
    for outputs in storm.done:
        ours = trials(outputs)
        assert ours.keys() == reference.keys()
        for name, paths in ours.items():
            assert metrics(paths) == metrics(reference[name])
            steps = [step for metric, step, *_ in metrics(paths) if metric == "bbox/AP"]
            assert steps == list(range(1, EPOCHS + 1))
            last = f"epoch_{EPOCHS}.pth"
            assert differing(paths.work / last, reference[name].work / last) == []
            assert_same_arrays(paths.detections, reference[name].detections)
            assert_same_arrays(paths.matches, reference[name].matches)


def test_each_trial_is_one_run_with_all_of_it(storm: Storm, undisturbed: Path) -> None:
    for outputs in (undisturbed, *storm.done):
        runs = {run.data.tags[names.TRIAL_ID]: run for run in harness.runs(outputs)}
        assert len(harness.runs(outputs)) == len(runs) == 2
        for name, paths in trials(outputs).items():
            assert runs[name].info.status == "FINISHED"
            assert harness.mlflow_metrics(outputs, runs[name]) == harness.journal_metrics(paths.root)
            kept = {file.path for file in harness.client(outputs).list_artifacts(runs[name].info.run_id)}
            assert {"config.yaml", "journal.jsonl", "detections.npz", "matches.npz", "errors.json"} <= kept


def test_nothing_is_left_behind(storm: Storm, undisturbed: Path, environment: dict[str, str]) -> None:
    assert harness.processes_of(storm.folder) == []
    assert harness.left_in(Path(environment["TMPDIR"])) == []
    for outputs in storm.done:
        assert {path.name for path in outputs.iterdir()} == {path.name for path in undisturbed.iterdir()}
        for name, paths in trials(outputs).items():
            left = {path.name for path in paths.root.iterdir()} ^ {
                path.name for path in trials(undisturbed)[name].root.iterdir()
            }
            assert left == set()
            assert not list(paths.root.rglob("*.part"))
