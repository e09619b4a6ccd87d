"""Which variables of the environment reach a trial's processes, and which files they leave on the machine."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from experiments import environment, names
from experiments.errors import UserError
from experiments.jobs import nodes, scratch
from experiments.training.evaluation import ExactCocoMetric
from tests.support import harness
from tests.support.running import Fake, Preloaded

pytestmark = pytest.mark.filterwarnings("ignore")

NOTEBOOK = "module://matplotlib_inline.backend_inline"
STRAY = {
    "PET_NNODES": "2",  # torchrun then waits for a second machine
    "PET_LOG_DIR": "/dev/null/nowhere",
    "RANK": "3",
    "WORLD_SIZE": "8",
    "LOCAL_RANK": "3",
    "LOCAL_WORLD_SIZE": "8",
    "GROUP_RANK": "1",
    "ROLE_NAME": "trainer",
    "MASTER_ADDR": "192.0.2.1",
    "MASTER_PORT": "1",
    "TORCHELASTIC_RUN_ID": "outer",
    "TORCHELASTIC_USE_AGENT_STORE": "True",
    "LOGLEVEL": "debug",
    "MPLBACKEND": NOTEBOOK,
    "PYTHONSAFEPATH": "1",
    "PYTHONOPTIMIZE": "1",
    "PYTHONINSPECT": "1",
    "PYTHONSTARTUP": "/nowhere.py",
}
WANTED = {
    "CUDA_VISIBLE_DEVICES": "1",
    "OMP_NUM_THREADS": "1",
    "NCCL_DEBUG": "INFO",
    "TORCH_DISTRIBUTED_DEBUG": "DETAIL",
    "TORCH_HOME": "/cache",
    "HF_HOME": "/cache",
    "https_proxy": "http://proxy:3128",
    "MLFLOW_TRACKING_USERNAME": "ada",
    "SLURM_JOB_ID": "7",
    "LD_PRELOAD": "libjemalloc.so",
    "RANKING": "a variable of somebody's own",
    "HOME": "/home/ada",
}


def test_variables_of_other_launchers_are_removed_and_those_of_users_stay() -> None:
    assert environment.cleaned({**STRAY, **WANTED}) == WANTED


def test_pythonpath_begins_with_the_project() -> None:
    ours = str(harness.ROOT)
    for given, path in (("", ours), (":", ours), ("/a::/b:", f"{ours}:/a:/b"), (f"/a:{ours}", f"{ours}:/a")):
        found = environment.with_our_code({"PYTHONPATH": given, "A": "b"})
        assert found == {"A": "b", "PYTHONPATH": path, "PYTHONSAFEPATH": "1"}


def test_make_finds_our_code_where_a_shell_has_python_look_elsewhere() -> None:
    make = ("make", "--eval=shown: ; @env", "shown")
    surroundings = {**os.environ, "PYTHONSAFEPATH": "1"}
    shown = subprocess.run(make, cwd=harness.ROOT, env=surroundings, capture_output=True, text=True, check=True)
    assert "PATH=" in shown.stdout
    assert "PYTHONSAFEPATH" not in shown.stdout


def test_variables_of_a_slurm_job_are_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    of_the_job = ("SLURM_JOB_ID", "SLURM_NTASKS", "SLURM_MEM_PER_CPU", "SLURM_GPUS", "SLURMD_NODENAME", "SRUN_DEBUG")
    of_the_job += ("SBATCH_CPU_BIND", "SBATCH_MEM_BIND_TYPE", "PMIX_RANK", "SUBMITIT_EXECUTOR")
    of_the_user = ("SLURM_CONF", "SLURM_JWT", "SBATCH_ACCOUNT", "SBATCH_PARTITION", "SLURMISH")
    monkeypatch.setattr(os, "environ", dict.fromkeys((*of_the_job, *of_the_user), "x"))
    environment.leave_job()
    assert set(os.environ) == set(of_the_user)
    outside = {"SLURM_CPU_BIND": "none", "SLURM_NTASKS": "2"}  # which a user has set
    monkeypatch.setattr(os, "environ", dict(outside))
    environment.leave_job()
    assert os.environ == outside


@pytest.mark.parametrize(
    ("step", "answer"),
    [
        ({}, None),  # no Slurm; also the shell of a job: SLURM_JOB_NUM_NODES says nothing about this process
        ({"SLURM_JOB_NUM_NODES": "2", "SLURM_NODEID": "0"}, None),
        ({"SLURM_STEP_NUM_NODES": "1", "SLURM_STEP_NUM_TASKS": "1", "SLURM_JOB_NUM_NODES": "2"}, None),
        ({"SLURM_STEP_NUM_NODES": "2", "SLURM_STEP_NUM_TASKS": "8", "SLURM_NODEID": "0"}, None),
        ({"SLURM_STEP_NUM_NODES": "3", "SLURM_STEP_NUM_TASKS": "3", "SLURM_NODEID": "0"}, None),
        ({"SLURM_STEP_NUM_NODES": "2", "SLURM_STEP_NUM_TASKS": "2", "SLURM_NODEID": "0"}, False),
        ({"SLURM_STEP_NUM_NODES": "2", "SLURM_STEP_NUM_TASKS": "2", "SLURM_NODEID": "1"}, True),
    ],
)
def test_several_nodes_need_a_process_on_each(
    monkeypatch: pytest.MonkeyPatch, step: dict[str, str], answer: bool | None
) -> None:
    """None: refused."""
    monkeypatch.setattr(os, "environ", step)
    config = harness.composed("resources.nodes=2")
    if answer is None:
        with pytest.raises(UserError, match=r"^resources\.nodes=2 needs one process .* hydra/launcher=submitit_slurm$"):
            nodes.is_helper(harness.typed(config))
    else:
        assert nodes.is_helper(harness.typed(config)) is answer
    assert nodes.is_helper(harness.settings()) is False


def test_temporary_folders_of_a_trial_are_removed_and_no_others(temporary: Path, tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    folders = [scratch.make(one), scratch.make(one), scratch.make(other)]
    assert None not in folders
    assert len(set(folders)) == 3
    for folder in folders:
        assert folder is not None
        (folder / "pymp-1" / "x").mkdir(parents=True)
        assert folder.stat().st_mode & 0o777 == 0o700
    scratch.remove(one)
    assert list(temporary.iterdir()) == [folders[2]]


def test_temporary_folder_is_the_usual_one_where_sockets_would_not_fit(
    temporary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = temporary / ("x" * 60)
    for folder in (long, temporary / "absent"):
        monkeypatch.setattr("tempfile.tempdir", str(folder))
        assert scratch.make(tmp_path) is None
        long.mkdir(exist_ok=True)
    assert list(long.iterdir()) == []


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A folder of somebody's, with modules that are named as some that a trial needs."""
    folder = tmp_path / "elsewhere"
    for name in ("experiments", "groie", "torch"):
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text("raise RuntimeError('not this one')\n")
    (folder / "random.py").write_text("raise RuntimeError('not this one')\n")
    return folder


@pytest.mark.long
def test_training_ignores_variables_of_other_launchers(
    elsewhere: Path, output_folder: Callable[[], Path], temporary: Path
) -> None:
    """A real command: nothing that a launcher, a notebook or a shell has set there reaches it or its processes."""
    outputs = output_folder()
    before = sorted(elsewhere.rglob("*"))
    hostile = {**STRAY, "TMPDIR": str(temporary), "MLFLOW_TRACKING_URI": ""}
    del hostile["PYTHONINSPECT"]  # this command would wait for what is typed at its end, as it was asked to
    arguments = (*harness.TINY, "schedule.epochs=1", f"output_dir={outputs}", "tracking.uri=")
    done = harness.run(str(harness.ROOT / "run.py"), *arguments, cwd=elsewhere, environment=hostile)
    assert (done.returncode, done.stderr.strip()) == (0, ""), done.stdout
    (run,) = harness.runs(outputs)
    assert run.info.status == names.FINISHED
    assert len(harness.attempts(harness.trial_folder(outputs, run))) == 1
    assert sorted(elsewhere.rglob("*")) == before
    assert harness.left_in(temporary) == []
    drawn = elsewhere.parent / "drawn.png"
    store = ("--tracking-uri", harness.store(outputs))
    figure = harness.run("-m", "analysis", "figure", *store, "--out", str(drawn), environment={"MPLBACKEND": NOTEBOOK})
    assert (figure.returncode, drawn.exists()) == (0, True), figure.stderr


@pytest.mark.long
def test_ranks_put_their_detections_together_in_the_trials_folder(
    preloaded: Preloaded, output_folder: Callable[[], Path], tmp_path: Path
) -> None:
    """And leave neither there, nor where the command was typed, what they exchanged."""
    outputs = output_folder()
    arguments = (*harness.TINY, "schedule.epochs=1", "resources.cpu_processes=2", f"output_dir={outputs}")
    done = preloaded.run(*arguments, cwd=tmp_path)
    assert done.code == 0, done.stdout + done.stderr
    assert list(tmp_path.iterdir()) == []
    (trial,) = outputs.glob("trials/*")
    assert not (trial / "work" / "collected").exists()
    annotations = harness.annotation_file(tmp_path / "val.json", harness.categories("cat"))
    metric = ExactCocoMetric(ann_file=str(annotations), folder=str(trial))
    assert metric.collect_dir == f"{trial}/work/collected"


def test_files_exchanged_by_killed_ranks_are_removed(fake: Fake) -> None:
    fake.run({160: "error"})
    left = fake.folder(160) / "work" / "collected" / "part_1.pkl"
    left.parent.mkdir(parents=True)
    left.touch()
    assert fake.run({160: "finish"}, "retry.failed=true").code == 0
    assert not left.parent.exists()
