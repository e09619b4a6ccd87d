"""Gives a plan's trials to Hydra's launcher as jobs, and passes stop requests to all of them."""

import errno
import os
import shutil
import signal
import socket
import subprocess
import textwrap
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from types import FrameType

from hydra.plugins.launcher import Launcher

from experiments import environment, files, names
from experiments.commands import Place, override
from experiments.console import console
from experiments.errors import UserError
from experiments.jobs import nodes
from experiments.planning import resources
from experiments.planning.plan import Plan
from experiments.trial import attempts
from experiments.trial.stop_requests import DRAIN, NOW, ask, asked

GRACE_SECONDS = 60  # after a launcher failed: how long to wait for jobs that have not started
POLL_SECONDS = 2.0
SLURM = "SlurmLauncher"  # by name, because Hydra loads its plugins itself and creates a new class each time
LOST = ("UncompletedJobError", "RayError")  # with which submitit and Ray, if installed, report a lost job


def folder(plan: Plan) -> Path:
    """Returns a new folder for jobs that start together, different for each round and machine."""
    moment = datetime.now().strftime("%Y-%m-%d_%H-%M-%S.%f")
    return plan.outputs.launches / f"{moment}_{socket.gethostname()}_{os.getpid()}"


def check_here(plan: Plan, launcher: Launcher) -> None:
    """Raises UserError if this machine lacks the trials' resources, or the launcher's programs."""
    kind = type(launcher).__name__
    if kind == "BasicLauncher":
        for entry in plan.to_run:
            nodes.is_helper(entry.trial.settings)
            resources.ranks_per_node(entry.trial.settings)
    if kind == SLURM and plan.to_run:
        lacking = [program for program in ("sbatch", "srun") if shutil.which(program) is None]
        if lacking:
            raise UserError(
                f"hydra/launcher=submitit_slurm needs Slurm's {' and '.join(lacking)} on the PATH; give the command on "
                "a machine of the cluster, or leave hydra/launcher out to train here"
            )


def run(plan: Plan, launcher: Launcher, where: Path) -> bool:
    """Runs the plan's trials until all have ended; returns whether they were asked to stop.

    Ctrl-C stops the running trials after their epoch and starts no more; a second Ctrl-C, SIGTERM or SIGHUP stops
    them at once. Raises UserError if the launcher starts no trial.
    """
    where.mkdir(parents=True)
    os.environ.update(environment.with_our_code(os.environ))  # for the jobs
    if type(launcher).__name__ == SLURM:
        environment.leave_job()
    todo = [entry.trial.paths.root for entry in plan.to_run]
    overrides = [[override("trial_dir", root), override("launch_dir", where)] for root in todo]
    before = _attempts(todo)
    with _stopping(where):
        try:
            for job in launcher.launch(overrides, initial_job_idx=0) if todo else ():
                _ = job.return_value  # raises errors of the launcher; a failed trial raises nothing
        except UserError:
            raise
        except SystemExit:  # Ray's own answer to SIGTERM; it would abort this process three seconds later
            signal.alarm(0)
            ask(where, NOW)
            _outlast(todo, where, plan.place)
        except Exception as error:  # any error of a cluster's software
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                root = plan.outputs.root
                raise UserError(f"no space left in {root}; make room, then give the same command") from error
            reason = textwrap.shorten(str(error), 300)
            if _refused(error) and _attempts(todo) == before:
                raise UserError(
                    f"the launcher cannot start a job: {reason}; see its settings in docs/clusters.md"
                ) from error
            files.write(where / "error.txt", "".join(traceback.format_exception(error)))
            console.print(f"the launcher lost a job: {reason}; see {where / 'error.txt'}", style="red", markup=False)
            _outlast(todo, where, plan.place)
    return asked(where) is not None and not plan.settings.fail_fast


def _attempts(todo: list[Path]) -> list[int]:
    return [max(attempts.numbers(root), default=0) for root in todo]


def _refused(error: Exception) -> bool:
    """Returns whether the launcher refused the jobs; otherwise it lost a job, perhaps before the job started."""
    of_sbatch = isinstance(error.__cause__, subprocess.CalledProcessError)
    return of_sbatch or not any(kind.__name__ in LOST for kind in type(error).__mro__)


def _outlast(todo: list[Path], where: Path, place: Place) -> None:
    """Waits for the jobs that still run although their launcher stopped at the first lost job."""
    since = time.monotonic()
    while time.monotonic() - since < GRACE_SECONDS:
        states = [attempts.state(root) for root in todo]
        if all(state in (names.FINISHED, names.FAILED) for state in states):
            return
        if names.RUNNING in states:
            since = time.monotonic()
        elif asked(where):  # the others will not start
            return
        time.sleep(POLL_SECONDS)
    command = place.command("experiments", "status")
    console.print(f"jobs in the cluster's queue will still run; to follow them: {command}", markup=False)


@contextmanager
def _stopping(where: Path) -> Iterator[None]:
    """Turns signals into a stop file that the jobs read."""

    def handle(number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and not asked(where):
            ask(where, DRAIN)
            console.print("stopping after the current epoch; Ctrl-C again stops at once", style="yellow")
        else:
            ask(where, NOW)
            console.print("stopping at once", style="yellow")

    numbers = [
        number
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) is not signal.SIG_IGN  # as under nohup
    ]
    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)
