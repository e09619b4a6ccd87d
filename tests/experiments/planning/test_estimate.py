"""Estimates, from journals whose truth is known: images, batch, image size, epochs and the model are counted."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra import initialize_config_dir
from rich.console import Console

from experiments.paths import OutputPaths
from experiments.planning import estimate, plan, summary
from experiments.planning.identity import Trial
from tests.experiments.planning.test_plan import make
from tests.support import harness
from tests.support.traces import describe, write_attempt, write_journal, write_provenance

pytestmark = pytest.mark.filterwarnings("ignore")

# What a simulated machine takes: to begin an epoch, for a training step, for an evaluated image, in seconds.
BEGINNING, STEP, IMAGE = 2.0, 0.25, 0.04
UNKNOWN = "no similar trial was measured yet"


@pytest.fixture
def planning() -> Iterator[None]:
    with initialize_config_dir(str(harness.ROOT / "conf"), version_base="1.3"):
        yield


@pytest.fixture
def cost(tmp_path: Path) -> Callable[..., tuple[float | None, str]]:
    """Returns the seconds that a trial needs, and what they come from."""

    def of(*overrides: str) -> tuple[float | None, str]:
        trial = asked(*overrides, folder=tmp_path)
        found = estimate.estimate(trial, estimate.measured(OutputPaths(tmp_path)))
        return None if found.device_hours is None else 3600 * found.device_hours, found.source

    return of


def truth(epochs: int, train: int, val: int, batch: int = 4) -> float:
    return epochs * (BEGINNING + STEP * -(-train // batch) + IMAGE * val)


def train(trial: Trial, images: int = 0, device: str = "1 x cpu", began: int = 10**12) -> Path:
    """Leaves what a trial of the simulated machine leaves: times as they are recorded, to the millisecond."""
    folder = describe(trial)
    write_attempt(folder, 1, status="FINISHED", device=device)
    write_provenance(folder, 1)
    config = trial.config
    steps = -(-(images or config["dataset"]["train_images"]) // config["schedule"]["batch_size"])
    val = config["dataset"].get("val_images", 50)  # as the provenance has it
    records: list[dict[str, Any]] = []
    clock = float(began)
    for epoch in range(1, config["schedule"]["epochs"] + 1):
        clock += 1000 * BEGINNING
        every = -(-steps // 100)
        taken = [
            {"time": round(clock + 1000 * STEP * step), "step": (epoch - 1) * steps + step, "metrics": {}}
            for step in range(every, steps + 1, every)
        ]
        clock += 1000 * STEP * steps
        records.append({"time": round(clock), "epoch": epoch, "iteration": steps, "iterations": steps, "loss": 1.0})
        clock += 1000 * IMAGE * val
        metrics = {"epoch/train_seconds": BEGINNING + STEP * steps, "epoch/val_seconds": IMAGE * val}
        records.append({"time": round(clock), "step": epoch, "metrics": metrics, "samples": taken})
    (folder / "journal.jsonl").write_text("".join(f"{json.dumps(record)}\n" for record in records))
    return folder


def asked(*overrides: str, folder: Path) -> Trial:
    return Trial(harness.composed(f"output_dir={folder}", *overrides), overrides)


def test_smoke_test_predicts_the_study(tmp_path: Path, cost: Callable[..., tuple[float | None, str]]) -> None:
    """A few images for an epoch, then all of them for the schedule: 25 times the images are 9 times an epoch."""
    smoke = ("dataset.train_images=16", "dataset.val_images=8", "schedule.epochs=1")
    train(asked(*smoke, folder=tmp_path))
    seconds, source = cost()
    assert seconds == pytest.approx(truth(4, 400, 100), rel=0.01)
    assert seconds > 30 * truth(1, 16, 8)
    assert source == "1 measured: the same modules, scaled from 16 to 400 images"
    assert cost(*smoke, "seed=1") == (pytest.approx(truth(1, 16, 8)), "1 measured: the same variant")
    seconds, source = cost("pre=conv5", "dataset.train_images=200")
    assert (seconds, source) == (
        pytest.approx(truth(4, 200, 100), rel=0.01), "1 measured: other modules, scaled from 16 to 200 images"
    )  # fmt: skip


def test_epochs_too_short_to_be_sampled_are_taken_by_the_image(
    tmp_path: Path, cost: Callable[..., tuple[float | None, str]]
) -> None:
    """A step is all that is known then, with what the epoch takes to begin: too much rather than too little."""
    train(asked("dataset.train_images=4", folder=tmp_path))
    seconds, _ = cost()
    assert seconds == pytest.approx(4 * (100 * (BEGINNING + STEP) + IMAGE * 100))


@pytest.mark.parametrize(
    "override",
    [
        "architecture=mask_rcnn",
        "schedule.batch_size=8",
        "schedule.optimizer.type=SGD",
        "profile.image_scale=[320,320]",
        "profile.channels=64",
        "recipe.sampling_ratio=0",
        "recipe=upstream",
        "+profile.model.backbone.with_cp=true",
        "extractor.checkpoint=true",
    ],
)
def test_overrides_that_change_the_cost_are_compared(
    tmp_path: Path, cost: Callable[..., tuple[float | None, str]], override: str
) -> None:
    train(asked("dataset.train_images=16", folder=tmp_path))
    assert cost(override) == (None, UNKNOWN)


@pytest.mark.parametrize(
    "override",
    ["schedule.optimizer.lr=0.01", "schedule.warmup_iters=5", "schedule.milestones=[1]", "seed=3", "dataset.seed=4"],
)
def test_overrides_that_do_not_change_the_cost_are_ignored(
    tmp_path: Path, cost: Callable[..., tuple[float | None, str]], override: str
) -> None:
    train(asked(folder=tmp_path))
    seconds, source = cost(override)
    assert seconds == pytest.approx(truth(4, 400, 100), rel=0.01)
    assert source.startswith("1 measured: the same ")


def test_subset_of_coco_predicts_coco(tmp_path: Path, cost: Callable[..., tuple[float | None, str]]) -> None:
    """Counted by steps and by what the trial noted: its files may be gone. COCO's own numbers are known."""
    paper = ("profile=coco", f"dataset.root={tmp_path}")
    train(asked(*paper, "dataset.name=few", "schedule.epochs=1", folder=tmp_path), images=1200)
    seconds, source = cost(*paper)
    assert seconds == pytest.approx(truth(12, 117_266, 5_000, batch=12), rel=0.01)
    assert source == "1 measured: the same modules, scaled from 1,200 to 117,266 images"
    assert cost(*paper, "dataset.name=mine") == (None, UNKNOWN)  # nothing tells how many


def test_several_measured_are_shown_with_their_counts(
    tmp_path: Path, cost: Callable[..., tuple[float | None, str]]
) -> None:
    for count in (16, 40):
        train(asked(f"dataset.train_images={count}", folder=tmp_path))
    assert cost()[1] == "2 measured: the same modules, scaled from 16 and 40 to 400 images"
    train(asked("schedule.epochs=1", folder=tmp_path))  # of the same data: no need to scale
    assert cost()[1] == "1 measured: the same modules"


def test_of_several_devices_the_last_counts(tmp_path: Path, cost: Callable[..., tuple[float | None, str]]) -> None:
    train(asked("seed=1", folder=tmp_path), device="4 x NVIDIA H100", began=2 * 10**12)
    train(asked("seed=2", folder=tmp_path))
    assert cost() == (pytest.approx(4 * truth(4, 400, 100)), "1 measured on NVIDIA H100: the same variant")


def test_estimates_are_medians_of_device_seconds(tmp_path: Path, cost: Callable[..., tuple[float | None, str]]) -> None:
    """By the same variant's epochs where there are any, else by trials of other modules, per rank; else unknown."""
    tiny = (*harness.TINY, "schedule.epochs=10")
    assert cost(*tiny) == (None, UNKNOWN)
    other = describe(asked(*tiny, "pre=conv5", folder=tmp_path))
    write_attempt(other, 1, status="FINISHED", device="4 x cpu")
    write_journal(other, (10.0, 2.0), (20.0, 1.0), (11.0, 3.0))  # median 14 s on four devices: 56
    assert cost(*tiny) == (pytest.approx(10 * 56), "1 measured: other modules")
    for seed, (device, epochs) in enumerate([("1 x cpu", [(30.0, 6.0)]), ("2 x cpu", [(20.0, 0.0), (24.0, 0.0)])], 1):
        folder = describe(asked(*tiny, f"seed={seed}", folder=tmp_path))
        write_attempt(folder, 1, status="KILLED", reason="x", device=device)
        write_journal(folder, *epochs)
    assert cost(*tiny) == (pytest.approx(10 * 40), "2 measured: the same variant")  # of 36 and 44 device-seconds
    assert cost(*tiny, "seed=2")[0] == pytest.approx(8 * 40)  # two epochs are done


@pytest.mark.parametrize("content", ["of: no use\n", "[1, 2]", "a: [1", "", "schedule: {}\n"])
def test_unreadable_configuration_gives_no_estimate(
    tmp_path: Path, cost: Callable[..., tuple[float | None, str]], content: str
) -> None:
    folder = train(asked(folder=tmp_path))
    (folder / "config.yaml").write_text(content)
    assert cost() == (None, UNKNOWN)


def printed(planned: plan.Plan, monkeypatch: pytest.MonkeyPatch) -> str:
    console = Console(width=1000)
    monkeypatch.setattr(summary, "console", console)
    with console.capture() as captured:
        summary.show(planned)
    return captured.get()


@pytest.mark.usefixtures("planning")
def test_plan_prints_partial_estimates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sum of some is "at least"; what nothing tells is "?", with what would."""
    train(make(f"output_dir={tmp_path}", "seed=1").trials[0])
    text = printed(make(f"output_dir={tmp_path}", "architecture=faster_rcnn,mask_rcnn"), monkeypatch)
    hours = truth(4, 400, 100) / 3600
    assert text.splitlines()[0].endswith(f": 2 rows, 2 unique trials, 2 to run, at least {hours:.2g} device-hours")
    assert "calibrate=true" in text
    assert "resources.gmacs_per_second" in text
    whole = printed(make(f"output_dir={tmp_path}", "pre=none,conv3"), monkeypatch)
    assert f"2 to run, about {2 * hours:.2g} device-hours" in whole
    assert "calibrate=true" not in whole
    nothing = printed(make(f"output_dir={tmp_path}", "architecture=mask_rcnn"), monkeypatch)
    assert nothing.splitlines()[0].endswith("1 to run")
    assert "│ ? │" in " ".join(nothing.split())
    assert "calibrate=true" in nothing


@pytest.mark.usefixtures("planning")
def test_plans_file_has_both_sums(tmp_path: Path) -> None:
    train(make(f"output_dir={tmp_path}", "seed=1").trials[0])
    written = json.loads(
        summary.write(make(f"output_dir={tmp_path}", "architecture=faster_rcnn,mask_rcnn")).read_text()
    )
    assert written["device_hours"] is None
    assert written["device_hours_at_least"] == pytest.approx(truth(4, 400, 100) / 3600)


def test_trial_whose_configuration_lacks_later_keys_counts(
    cost: Callable[..., tuple[float | None, str]], tmp_path: Path
) -> None:
    """An earlier version wrote it; keys that cannot change a result came later."""
    folder = train(asked("seed=1", folder=tmp_path))
    config = yaml.safe_load((folder / "config.yaml").read_text())
    del config["seeds"], config["resources"]["free_gib"]
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    seconds, source = cost("seed=2")
    assert seconds == pytest.approx(truth(4, 400, 100))
    assert source.endswith("the same variant")
