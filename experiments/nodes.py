"""A trial on several machines, a job on each: the first has the trial, the others lend it their devices."""

import os
import socket
import subprocess
import time
from collections.abc import Callable
from typing import Any

from experiments import attempts, names
from experiments.attempts import Attempt
from experiments.errors import UserError
from experiments.paths import TrialPaths

POLL_SECONDS = 1.0
PATIENCE_SECONDS = 600  # how long a machine waits for the first one's next attempt


def job() -> str | None:
    """Returns the cluster's number of the job that this process is in, another after each requeue; None without."""
    number = os.environ.get("SLURM_JOB_ID")
    return f"{number}.{os.environ.get('SLURM_RESTART_COUNT', 0)}" if number else None


def is_helper(config: dict[str, Any]) -> bool:
    """Returns whether this job only lends its devices; UserError where `resources.nodes` are not what the job has."""
    nodes = config["resources"]["nodes"]
    if nodes == 1:
        return False
    given = int(os.environ.get("SLURM_JOB_NUM_NODES", 1))
    if given != nodes:
        raise UserError(
            f"resources.nodes={nodes} but this job has {given}; choose a launcher that starts a job on each: "
            f"hydra/launcher=submitit_slurm hydra.launcher.nodes={nodes}"
        )
    return os.environ.get("SLURM_NODEID", "0") != "0"


def rendezvous(config: dict[str, Any]) -> str | None:
    """Returns where the ranks of several nodes are to meet, a free port of this machine; None for one node."""
    if config["resources"]["nodes"] == 1:
        return None
    with socket.socket() as probe:
        probe.bind(("", 0))
        return f"{socket.gethostname()}:{probe.getsockname()[1]}"


def meeting(config: dict[str, Any], attempt: Attempt) -> list[str]:
    """Returns torchrun's arguments for where the attempt's ranks meet."""
    if attempt.rendezvous is None:
        return ["--standalone"]  # a free port of its own choice
    first = "0" if is_helper(config) else "1"
    return [
        f"--nnodes={config['resources']['nodes']}",
        "--rdzv-backend=c10d",
        f"--rdzv-endpoint={attempt.rendezvous}",
        f"--rdzv-id={attempt.job}-{attempt.number}",
        f"--rdzv-conf=is_host={first}",
    ]


def help_first(paths: TrialPaths, command: Callable[[Attempt], list[str]], environment: dict[str, str]) -> str:
    """Lends this machine's devices to each attempt of the first node; returns the trial's state afterwards."""
    helped = 0
    since = time.monotonic()
    while time.monotonic() - since < PATIENCE_SECONDS:
        attempt = attempts.last(paths.root)
        if attempt is None or attempt.job != job():
            time.sleep(POLL_SECONDS)
            continue
        if attempt.status is None and attempt.rendezvous and attempt.number > helped:
            helped = attempt.number
            _lend(paths, attempt, command(attempt), environment)
            since = time.monotonic()
        elif attempt.status is not None and not attempt.transient:
            break
        else:
            time.sleep(POLL_SECONDS)
    return attempts.state(paths.root)


def _lend(paths: TrialPaths, attempt: Attempt, command: list[str], environment: dict[str, str]) -> None:
    with paths.node_log(os.environ.get("SLURM_NODEID", "0")).open("ab") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True, env=environment
        )
        try:
            while process.poll() is None:
                now = attempts.last(paths.root)
                if now is not None and (now.number > attempt.number or now.status in (names.FAILED, names.KILLED)):
                    break
                time.sleep(POLL_SECONDS)
        finally:
            process.terminate()
            process.wait()
