"""The plan: each configuration is what Hydra composes, each trial is there once, and what is to be done is decided."""

import json
import random
import socket
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf.errors import OmegaConfBaseException

from experiments import names
from experiments.errors import UserError
from experiments.planning import plan, sweep
from experiments.planning.compose import Composer, resolve
from experiments.trial import attempts
from tests.support import harness
from tests.support.mistakes import own_data, present
from tests.support.running import Preloaded
from tests.support.traces import describe, write_attempt, write_journal

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module", autouse=True)
def hydra() -> Iterator[None]:
    with initialize_config_dir(str(harness.ROOT / "conf"), version_base="1.3"):
        yield


def composing() -> Callable[[list[str]], Any]:
    """Returns what the sweeper composes with."""
    loader = GlobalHydra.instance().config_loader()
    return partial(loader.load_sweep_config, loader.load_configuration("config", [], RunMode.MULTIRUN))


def make(*arguments: str) -> plan.Plan:
    return plan.make(sweep.requests(arguments), composing())


VALUES = (
    "schedule.epochs=7",
    "schedule.milestones=[2,5]",
    "schedule.milestones=[]",
    "schedule.optimizer.lr=1e-3",
    "schedule.optimizer={type:SGD,lr:0.1}",
    "+schedule.optimizer.nesterov=true",
    "++schedule.optimizer.weight_decay=0",
    "++schedule.warmup_iters=7",
    "schedule.batch_size=6",
    "dataset.name=mine",
    "dataset.name='mine'",
    'dataset.name="a.b"',
    "tracking.experiment='two words, and a comma'",
    'tracking.experiment="it is \\"so\\""',
    "tracking.uri='sqlite:///${output_dir}/other.db'",
    "output_dir='/tmp/some where'",
    "output_dir=relative/folder",
    "recipe.grad_clip=35",
    "recipe.grad_clip=null",
    "profile.image_scale=[96,128]",
    "profile.channels=64",
    "+profile.model.test_cfg.rcnn.score_thr=0.01",
    "+profile.model.extra={a:[1,2.5,x],b:{c:null}}",
    "++profile.model.extra.deep.er='one'",
    "+profile.model.word='no number: 5'",
    "profile.by_architecture={}",
    "++aggregation.sampling_ratio=2",
    "resources.gpus=0",
    "resources.keep_checkpoints=[last]",
    "retry={failed:true,attempts:2}",
    "rerun=true",
    "seed=5",
    "seed=123456",
    "seed=0",
)
ALONE_REFUSED = "mobilenet"  # without a file of weights


def random_overrides(draws: random.Random) -> list[str]:
    """Returns some options, in any order, and some values."""
    groups = [(group, found) for group, found in harness.options().items() if group != "hydra"]
    groups = [(group, [one for one in found if one != ALONE_REFUSED]) for group, found in groups]
    options = [f"{group}={draws.choice(found)}" for group, found in groups if draws.random() < 0.4]
    modules = [f"{place}.kernel_size=7" for place in ("pre", "post") if f"{place}=conv" in options]
    values = {item.partition("=")[0].lstrip("+"): item for item in draws.sample(VALUES, draws.randrange(6))}
    chosen = [*options, *modules, *values.values()]
    draws.shuffle(chosen)
    return chosen


@pytest.mark.long
def test_configurations_are_those_that_hydra_composes() -> None:
    """Three composers see all of many random command lines: what one has kept from before must not matter."""
    draws = random.Random(4)
    composers = [Composer(composing()) for _ in range(3)]
    lines = [random_overrides(draws) for _ in range(30)]
    for number, overrides in enumerate(lines):
        found, wanted = composers[number % 3](overrides), resolve(compose("config", overrides))
        assert found == wanted, overrides
        reseeded = [*(item for item in overrides if not item.startswith("seed=")), "seed=9"]
        assert composers[number % 3](reseeded) == resolve(compose("config", reseeded)), reseeded
        assert composers[number % 3](overrides) == wanted, overrides


@pytest.mark.parametrize(
    "overrides",
    [
        ["profile=coco"],
        ["profile=coco", "schedule=demo"],
        ["profile=coco", "dataset=shapes", "dataset.root=null"],
        ["dataset=coco", "dataset.root=~/coco"],
        ["recipe=upstream", "pre=attention", "post=attention"],
        ["recipe=text", "architecture=htc"],
        ["schedule=1x", "profile=coco", "architecture=gcnet"],
        ["pre=conv", "pre.kernel_size=7", "pre.name=mine"],
        ["pre=conv1", "pre=conv3"],
        ["pre='conv5'", 'post="conv3"'],
        ["schedule.epochs=3", "schedule.epochs=5"],
        ["schedule.warmup_iters=${schedule.epochs}"],
        ["schedule.epochs=${schedule.batch_size}", "schedule.batch_size=9"],
    ],
    ids=" ".join,
)
def test_configuration_is_what_hydra_composes(overrides: list[str]) -> None:
    try:
        wanted = resolve(compose("config", overrides))
    except (HydraException, OmegaConfBaseException) as error:
        with pytest.raises((UserError, type(error))):  # ours where a word is judged before Hydra has it
            Composer(composing())(overrides)
    else:
        assert Composer(composing())(overrides) == wanted


def test_value_made_from_the_seed_follows_it() -> None:
    composer = Composer(composing())
    for seed in (3, 4):
        overrides = [f"seed={seed}", "schedule.warmup_iters=${seed}"]
        assert composer(overrides) == resolve(compose("config", overrides))
        assert composer(overrides)["schedule"]["warmup_iters"] == seed


# What becomes of a trial with a last attempt of that kind: its state, whether it is run, and why.
HERE = {"host": socket.gethostname()}
ERROR = {"status": "FAILED", "reason": "ValueError: x"}
FINAL = "ValueError: x; correct it and add retry.failed=true"
MEMORY = {"status": "FAILED", "reason": "OutOfMemoryError: so much", "transient": True}
DECISIONS = {
    "to do": (None, 0, [], ("to do", True, "")),
    "finished": ({"status": "FINISHED"}, 2, [], ("FINISHED", False, "")),
    "finished, again": ({"status": "FINISHED"}, 2, ["rerun=true"], ("FINISHED", True, "trained again")),
    "finished, retry": ({"status": "FINISHED"}, 2, ["retry.failed=true"], ("FINISHED", False, "")),
    "running": ({"age": 30}, 1, [], ("RUNNING", False, "attempt 3 on elsewhere")),
    "running, again": ({"age": 30}, 1, ["rerun=true"], ("RUNNING", False, "attempt 3 on elsewhere")),
    "silent": ({"age": 150}, 1, [], ("interrupted", True, "resumes after epoch 1")),
    "process gone": ({**HERE, "process": 2**22 + 1}, 1, [], ("interrupted", True, "resumes after epoch 1")),
    "stopped": ({"status": "KILLED", "reason": "asked"}, 1, [], ("interrupted", True, "resumes after epoch 1")),
    "stopped early": ({"status": "KILLED", "reason": "x"}, 0, [], ("interrupted", True, "starts at epoch 1")),
    "transient": (MEMORY, 1, [], ("FAILED", True, "OutOfMemoryError: so much; resumes after epoch 1")),
    "transient early": (MEMORY, 0, [], ("FAILED", True, "OutOfMemoryError: so much; starts at epoch 1")),
    "error": (ERROR, 1, [], ("FAILED", False, FINAL)),
    "error, again": (ERROR, 1, ["rerun=true"], ("FAILED", False, FINAL)),
    "error, retry": (ERROR, 1, ["retry.failed=true"], ("FAILED", True, "ValueError: x; resumes after epoch 1")),
}  # fmt: skip


@pytest.mark.parametrize("case", DECISIONS)
def test_plan_follows_from_the_last_attempt(tmp_path: Path, case: str) -> None:
    facts, epochs, more, (state, runs, why) = DECISIONS[case]
    arguments = (*harness.TINY, f"output_dir={tmp_path}", *more)
    folder = describe(make(*arguments).trials[0])
    if facts is not None:
        write_attempt(folder, 2, status="FINISHED")  # earlier: of no account
        write_attempt(folder, **facts)
    if epochs:
        write_journal(folder, *[(1.0, 1.0)] * epochs)
    (entry,) = make(*arguments).entries
    assert (entry.state, entry.runs, entry.why) == (state, runs, why)


def test_nothing_is_written_where_one_trial_cannot_be_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="pre"):
        make("recipe=text", "aggregation=sum,single", "pre=conv5", f"output_dir={tmp_path / 'new'}")
    assert present(tmp_path) == set()


def test_dry_run_writes_the_plan_alone(preloaded: Preloaded, tmp_path: Path) -> None:
    """The paper: tables overlap, each variant is trained once."""
    outputs = tmp_path / "outputs"
    done = preloaded.run("-m", "sweep=paper", "dry_run=true", f"output_dir={outputs}")
    assert (done.code, done.stderr) == (0, "")
    files = {str(path.relative_to(outputs)) for path in outputs.rglob("*") if path.is_file()}
    assert files == {"plans/paper.json", ".groie-ablation"}
    assert done.stdout.startswith("paper: 27 rows, 21 unique trials, 21 to run")
    assert done.stdout.splitlines()[-1] == str(outputs / "plans" / "paper.json")
    planned = json.loads((outputs / "plans" / "paper.json").read_text())
    assert (planned["sweeps"], planned["rows"], planned["unique_trials"]) == (["paper"], 27, 21)
    assert len(planned["trials"]) == len({trial["id"] for trial in planned["trials"]}) == 21
    assert all(trial["state"] == "to do" and trial["to_run"] for trial in planned["trials"])
    assert all(trial["device_hours"] is None for trial in [*planned["trials"], planned])
    rows = {trial["variant"]: trial["rows"] for trial in planned["trials"]}
    baselines = ["table1: baseline", "table2: baseline", "table3: baseline", "table4: baseline", "table5: Faster R-CNN"]
    assert rows["faster_rcnn single"]["paper"] == baselines
    assert rows["faster_rcnn single"]["table5"] == ["Faster R-CNN"]
    assert rows["faster_rcnn sum"]["paper"] == ["table1: sum", "table2: sum"]
    assert rows["faster_rcnn sum post=conv1"]["paper"] == ["table2: sum+", "table4: conv 1x1"]
    assert sum(len(served["paper"]) for served in rows.values()) == 27
    assert sum(len(served["table5"]) for served in rows.values() if "table5" in served) == 8


def test_seeds_multiply_trials_and_not_rows() -> None:
    planned = make("sweep=paper", "seed=0,1")
    assert (planned.rows, len(planned.entries), planned.title) == (27, 42, "paper")
    assert len({trial.variant_id for trial in planned.trials}) == 21
    assert {trial.seed for trial in planned.trials} == {0, 1}
    assert sum(len(entry.memberships["paper"]) for entry in planned.entries) == 2 * 27


def recorded_runs(outputs: Path) -> list[Any]:
    """Returns all that MLflow has of each run, oldest first."""
    return [(run.to_dictionary(), harness.mlflow_metrics(outputs, run)) for run in harness.runs(outputs)]


def test_finished_trial_that_is_done_again(preloaded: Preloaded, output_folder: Callable[[], Path]) -> None:
    """Its old folder is put aside whole, and it gets a second MLflow run."""
    outputs = output_folder()
    command = (*harness.TINY, f"output_dir={outputs}")
    assert preloaded.run(*command, fake_training=True).code == 0
    (old,) = recorded_runs(outputs)
    (folder,) = outputs.glob("trials/*")
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    dry = preloaded.run(*command, "rerun=true", "dry_run=true")
    assert (dry.code, "1 unique trials, 1 to run" in dry.stdout) == (0, True)
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before
    assert (recorded_runs(outputs), present(outputs / "replaced")) == ([old], set())

    done = preloaded.run(*command, "rerun=true", fake_training=True)
    assert done.code == 0, done.stdout + done.stderr
    (aside,) = outputs.glob("replaced/*")
    assert aside.name.startswith(folder.name + ".")
    assert {path.name: path.read_bytes() for path in aside.iterdir() if path.is_file()} == before
    assert [one["number"] for one in harness.attempts(folder)] == [1]
    first, second = harness.runs(outputs)
    assert recorded_runs(outputs)[0] == old
    assert second.info.status == "FINISHED"
    assert second.data.tags[names.TRIAL_ID] == first.data.tags[names.TRIAL_ID]
    assert second.data.tags[names.RECORD] != first.data.tags[names.RECORD]
    assert harness.mlflow_metrics(outputs, second) == harness.journal_metrics(folder)

    again = preloaded.run(*command, fake_training=True)  # without rerun: nothing to do
    assert "0 to run" in again.stdout
    assert len(harness.runs(outputs)) == 2


def test_trial_on_other_annotations_is_refused(
    preloaded: Preloaded, output_folder: Callable[[], Path], tmp_path: Path
) -> None:
    """A finished trial is reused only while its data are the same."""
    outputs = output_folder()
    categories = harness.categories("cat")
    box = {"bbox": [10, 20, 30, 40], "area": 1200, "iscrowd": 0, "category_id": 1}
    harness.picture(tmp_path / "images" / "1.png", 96, 96)
    image = {"id": 1, "file_name": "1.png", "width": 96, "height": 96}
    for split in ("train", "val"):
        harness.annotation_file(
            tmp_path / f"{split}.json", categories, images=[image], annotations=[{"id": 1, "image_id": 1, **box}]
        )
    data = [item for item in harness.TINY if not item.startswith("dataset")]
    command = (*data, *own_data(tmp_path, "train.json", "val.json", "images"), f"output_dir={outputs}")
    first = preloaded.run(*command, fake_training=True)
    assert first.code == 0, first.stderr
    more = [{"id": number, "image_id": 1, **box} for number in (1, 2)]
    harness.annotation_file(tmp_path / "train.json", categories, images=[image], annotations=more)
    second = preloaded.run(*command, fake_training=True)
    assert second.code == 2
    assert "is finished, but with other annotation files than dataset=mine has now" in second.stderr
    assert "Traceback" not in second.stderr
    assert attempts.state(next(outputs.glob("trials/*"))) == "FINISHED"
    again = preloaded.run(*command, "rerun=true", fake_training=True)  # nothing of the old is reused
    assert again.code == 0, again.stderr
