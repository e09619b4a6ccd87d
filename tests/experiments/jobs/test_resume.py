"""A trial that was killed at any point is resumed, and on the CPU ends equal to an undisturbed one to the last bit."""

import json
import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_dir

from experiments.data import datasets
from experiments.paths import TrialPaths
from experiments.planning import folders, plan
from experiments.planning.sweep import Request
from experiments.training import decisions
from experiments.trial import attempts, journal
from tests.support import accidents, harness
from tests.support.alike import assert_same_arrays, differing, metrics
from tests.support.running import Command, Preloaded

pytestmark = pytest.mark.filterwarnings("ignore")

EPOCHS = 4
KILLS = 20
SHORT = (
    *harness.TINY,
    "dataset.train_images=4",
    "dataset.val_images=2",
    f"schedule.epochs={EPOCHS}",  # the rate falls after the third
    "profile.model.backbone.base_channels=8",
    "profile.model.neck.in_channels=[8,16,32,64]",
    "resources.gpus=0",
)
VARIANTS = {
    "default": ("pre=conv1",),
    "random": ("aggregation=random",),  # the level of each RoI is drawn
    "mask_rcnn": ("architecture=mask_rcnn",),
}


@dataclass(frozen=True)
class Bench:
    """Trains trials in processes that start at once; every trial is a copy of one that was planned and not begun."""

    preloaded: Preloaded
    outputs: Path
    planned: dict[tuple[str, ...], Path] = field(default_factory=dict)

    def fresh(self, name: str, *overrides: str) -> TrialPaths:
        """Returns the folder of a planned trial under another name."""
        if overrides not in self.planned:
            self.planned[overrides] = self._plan(*overrides)
        target = self.outputs / "trials" / name
        shutil.copytree(self.planned[overrides], target)
        attempts.claim(target, "1 x cpu")
        return TrialPaths(target)

    def _plan(self, *overrides: str) -> Path:
        request = Request("test", (*SHORT, *overrides, f"output_dir={self.outputs}"))
        with initialize_config_dir(str(harness.ROOT / "conf"), version_base="1.3"):
            planned = plan.make([request], lambda asked: compose("config", asked))
        folders.freeze(planned)
        return planned.trials[0].paths.root

    def start(self, paths: TrialPaths, accident: tuple[str, int] | None = None) -> Command:
        """Does what the launcher does before an attempt, and starts the rank."""
        journal.mend(paths.journal)
        paths.ending.unlink(missing_ok=True)
        os.utime(paths.root / "attempts" / "0001.json")
        return self.preloaded.start_rank(paths.root, 1, accident)

    def finish(self, paths: TrialPaths) -> TrialPaths:
        """Trains a trial to its end."""
        command = self.start(paths).wait()
        assert command.code == 0, command.stderr[-3000:]
        assert json.loads(paths.ending.read_text()) == {"status": "FINISHED", "reason": None}
        return paths


@pytest.fixture(scope="module")
def bench(preloaded: Preloaded, output_folder: Callable[[], Path]) -> Bench:
    return Bench(preloaded, output_folder())


@pytest.fixture(scope="module")
def uninterrupted(bench: Bench) -> Callable[[str], TrialPaths]:
    """Returns a variant's trial that nobody disturbed, trained when it is first asked for."""
    done: dict[str, TrialPaths] = {}

    def get(variant: str) -> TrialPaths:
        if variant not in done:
            done[variant] = bench.finish(bench.fresh(f"undisturbed-{variant}", *VARIANTS[variant]))
        return done[variant]

    return get


def assert_same(paths: TrialPaths, reference: TrialPaths) -> None:
    """Two finished trials: what was measured, recorded once each, and what the checkpoints hold."""
    assert metrics(paths) == metrics(reference)
    assert {step for name, step, _ in metrics(paths) if name == "bbox/AP"} == set(range(1, EPOCHS + 1))
    for name in ("best.pth", f"epoch_{EPOCHS - 1}.pth", f"epoch_{EPOCHS}.pth"):
        assert differing(paths.work / name, reference.work / name) == []
    assert not list(paths.work.glob("*.part"))
    assert_same_arrays(paths.detections, reference.detections)


def test_compared_values_differ_between_seeds(bench: Bench, uninterrupted: Callable[[str], TrialPaths]) -> None:
    """Else the other tests here could not fail."""
    other = bench.finish(bench.fresh("another-seed", *VARIANTS["default"], "seed=1"))
    assert metrics(other) != metrics(uninterrupted("default"))
    assert len(differing(other.work / "epoch_4.pth", uninterrupted("default").work / "epoch_4.pth")) > 100


@pytest.mark.parametrize("workers", [0, 2])
def test_loading_processes_change_nothing(
    bench: Bench, uninterrupted: Callable[[str], TrialPaths], workers: int
) -> None:
    """The default is one."""
    paths = bench.fresh(f"{workers}-loaders", *VARIANTS["default"], f"resources.loader_workers={workers}")
    assert_same(bench.finish(paths), uninterrupted("default"))


@pytest.mark.long
@pytest.mark.parametrize("step", accidents.STEPS)
def test_killed_at_any_step_of_an_epochs_end(
    bench: Bench, uninterrupted: Callable[[str], TrialPaths], step: str
) -> None:
    """In the epoch that is the best so far, and so is marked."""
    reference = uninterrupted("default")
    precision = [value for name, _, value in metrics(reference) if name == "bbox/AP"]
    epoch = precision.index(max(precision)) + 1
    paths = bench.fresh(f"killed {step}", *VARIANTS["default"])
    assert bench.start(paths, (step, epoch)).wait().code == -signal.SIGKILL
    assert not paths.ending.exists()
    assert_same(bench.finish(paths), reference)


def test_kill_after_an_evaluation_keeps_the_detections_of_the_last_recorded_epoch(bench: Bench) -> None:
    """The last epoch was evaluated and is not saved: detections are still those of the one before it."""
    paths = bench.fresh("killed while saving the last", *VARIANTS["default"])
    assert bench.start(paths, ("within the checkpoint", EPOCHS)).wait().code == -signal.SIGKILL
    complete = journal.complete_epochs(paths.journal)
    assert list(complete) == list(range(1, EPOCHS))
    annotations = datasets.locate(harness.typed(yaml.safe_load(paths.config.read_text())))["val"].annotations
    decisions.keep(paths, str(annotations), complete[EPOCHS - 1]["metrics"])  # raises where AP is another


@pytest.mark.long
@pytest.mark.parametrize("step", ["before the record", "within the record"])
def test_matches_after_a_kill_are_those_of_an_undisturbed_trial(
    bench: Bench, uninterrupted: Callable[[str], TrialPaths], step: str
) -> None:
    """Of the last epoch, between its checkpoint and its record."""
    reference = uninterrupted("mask_rcnn")
    paths = bench.fresh(f"killed {step}, then matched", *VARIANTS["mask_rcnn"])
    assert bench.start(paths, (step, EPOCHS)).wait().code == -signal.SIGKILL
    assert_same(bench.finish(paths), reference)
    matched = TrialPaths(reference.root.with_name(f"undisturbed, matched {step}"))
    shutil.copytree(reference.root, matched.root)
    for one in (paths, matched):
        decisions.make(one)
    assert paths.matches.read_bytes() == matched.matches.read_bytes()
    assert metrics(paths) == metrics(matched)
    assert {name for name, step, _ in metrics(paths) if step == EPOCHS} > {"bbox_errors/Cls", "segm_errors/Miss"}


@pytest.mark.long
@pytest.mark.parametrize("variant", ["random", "mask_rcnn"])
def test_killed_variants(bench: Bench, uninterrupted: Callable[[str], TrialPaths], variant: str) -> None:
    paths = bench.fresh(f"killed {variant}", *VARIANTS[variant])
    assert bench.start(paths, ("before the record", 2)).wait().code == -signal.SIGKILL
    assert_same(bench.finish(paths), uninterrupted(variant))


@pytest.mark.long
def test_killed_at_random_instants(bench: Bench, uninterrupted: Callable[[str], TrialPaths]) -> None:
    """Two trials at a time, each killed until it is finished, and then the next, until there were enough kills."""
    seed = int(os.environ.get("KILL_SEED", random.SystemRandom().randrange(10**6)))
    print(f"KILL_SEED={seed}")
    reference = uninterrupted("default")
    begun = time.monotonic()
    bench.finish(bench.fresh("timed", *VARIANTS["default"]))
    whole = time.monotonic() - begun

    def chain(number: int) -> int:
        draws, kills, trials = random.Random(seed + number), 0, 0
        while kills < KILLS / 2:
            trials += 1
            paths = bench.fresh(f"chain-{number}-{trials}", *VARIANTS["default"])
            while not paths.ending.exists():
                command = bench.start(paths)
                end = time.monotonic() + draws.uniform(0, 1.5 * whole)
                while command.running() and (time.monotonic() < end or kills >= KILLS / 2):
                    time.sleep(0.01)
                if command.running():
                    command.signal(signal.SIGKILL)
                    kills += 1
                assert command.wait().code in (0, -signal.SIGKILL), command.stderr[-3000:]
            assert_same(paths, reference)
        return kills

    with ThreadPoolExecutor(2) as pool:
        assert sum(pool.map(chain, range(2))) >= KILLS


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    path.write_bytes(content)


def empty(path: Path) -> None:
    os.truncate(path, 0)


@pytest.fixture(scope="module")
def stopped(bench: Bench) -> TrialPaths:
    """A trial that was killed after its second epoch."""
    paths = bench.fresh("stopped", *VARIANTS["default"])
    assert bench.start(paths, ("after the record", 2)).wait().code == -signal.SIGKILL
    return paths


@pytest.mark.long
@pytest.mark.parametrize("damage", [truncate, flip_a_bit, empty, Path.unlink])
def test_torn_checkpoint_costs_an_epoch(
    bench: Bench, stopped: TrialPaths, uninterrupted: Callable[[str], TrialPaths], damage: Callable[[Path], None]
) -> None:
    paths = TrialPaths(stopped.root.with_name(f"torn by {damage.__name__}"))
    shutil.copytree(stopped.root, paths.root)
    damage(paths.work / "epoch_2.pth")
    command = bench.start(paths).wait()
    assert command.code == 0, command.stderr[-3000:]
    assert_same(paths, uninterrupted("default"))
