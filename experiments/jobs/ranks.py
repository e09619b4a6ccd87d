"""Starts and ends the processes that train a trial: torchrun and its ranks."""

import os
import signal
import subprocess
import sys
from typing import IO

import psutil

from experiments import environment
from experiments.jobs import nodes, scratch
from experiments.paths import TrialPaths
from experiments.planning import resources
from experiments.settings import Settings
from experiments.trial.attempts import Attempt

GRACE_SECONDS = 10  # that torchrun has to end its ranks; a cluster that ends a job allows about 30
# Slurm sends USR2 to every process of a job when its time is nearly over; only the job's own process handles it.
DEAF = ("sh", "-c", 'trap "" USR2; exec "$@"', "sh")


def start(paths: TrialPaths, settings: Settings, attempt: Attempt, log: IO[bytes]) -> subprocess.Popen:
    """Starts torchrun, which starts this machine's ranks of an attempt."""
    return subprocess.Popen(
        command(paths, settings, attempt),
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        env=chosen(paths, settings.resources.gpus != 0),
    )


def command(paths: TrialPaths, settings: Settings, attempt: Attempt) -> list[str]:
    """Returns the command of this machine's ranks; the folder and the number at its end identify their trial."""
    count = resources.ranks_per_node(settings)
    # In-place restarts of ranks often hang with gloo: a failed attempt is followed by a new one.
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--max-restarts=0", f"--nproc-per-node={count}"]
    worker = ["-m", "experiments.training.worker", str(paths.root), str(attempt.number)]
    return [*DEAF, *torchrun, *nodes.meeting(settings, attempt), *worker]


def chosen(paths: TrialPaths, gpus: bool) -> dict[str, str]:
    """Returns the environment of a process that works on a trial, with or without GPUs."""
    found = environment.with_our_code(environment.cleaned(os.environ))
    if "OMP_WAIT_POLICY" not in found:
        # Threads that wait spin for some microseconds, then give their core away: on a shared CPU a team that spins
        # takes several times as long. On an idle one, a team that never spins takes half as long again.
        found.setdefault("GOMP_SPINCOUNT", "5000")
    if (folder := scratch.make(paths.root)) is not None:
        found["TMPDIR"] = str(folder)
    if not gpus:
        found["CUDA_VISIBLE_DEVICES"] = ""
    return found


def end(process: subprocess.Popen) -> None:
    """Ends torchrun if it still runs: first with SIGTERM, so that it ends its ranks, then with SIGKILL."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def end_leftovers(paths: TrialPaths, number: int) -> None:
    """Ends this machine's remaining processes of attempts up to `number`, and removes their temporary files."""
    for process in psutil.process_iter():
        try:
            arguments = process.cmdline()
            ours = arguments[-2:-1] == [str(paths.root)] and arguments[-1].isdigit() and int(arguments[-1]) <= number
            if ours and process.pid != os.getpid():
                process.kill()
                process.wait(GRACE_SECONDS)
        except psutil.Error:  # ended meanwhile, or not ours
            continue
    scratch.remove(paths.root)
