"""A trial on several machines, with a job on each: the first owns the trial, the others lend their devices."""

import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from experiments.errors import UserError
from experiments.settings import Settings
from experiments.trial.attempts import Attempt


def job() -> str | None:
    """Returns the cluster's number of this process's job, which changes with each requeue; None outside a cluster."""
    number = os.environ.get("SLURM_JOB_ID")
    return f"{number}.{os.environ.get('SLURM_RESTART_COUNT', 0)}" if number else None


@contextmanager
def ended_by_cluster() -> Iterator[None]:
    """Makes SIGTERM, with which a cluster ends a job, raise SystemExit, so that no result is returned for the job.

    Outside a cluster nothing changes: the process of the command handles signals.
    """
    if job() is None or threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(*_: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second signal must not disturb the first one's handling
        sys.exit(128 + signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def is_helper(settings: Settings) -> bool:
    """Returns whether this job only lends its devices; UserError if `resources.nodes` differs from the job's nodes."""
    nodes = settings.resources.nodes
    if nodes == 1:
        return False
    # Of the step, not of the job: `salloc` may have two nodes, and gives a shell on one of them.
    processes, on = (int(os.environ.get(f"SLURM_STEP_NUM_{what}", 1)) for what in ("TASKS", "NODES"))
    if not processes == on == nodes:
        raise UserError(
            f"resources.nodes={nodes} needs one process on each node, but this command has other numbers (processes: "
            f"{processes}, nodes: {on}); choose a launcher that starts a job on each: hydra/launcher=submitit_slurm"
        )
    return os.environ.get("SLURM_NODEID", "0") != "0"


def rendezvous(settings: Settings) -> str | None:
    """Returns the address where the ranks of several nodes meet, a free port of this machine; None for one node."""
    if settings.resources.nodes == 1:
        return None
    with socket.socket() as probe:
        probe.bind(("", 0))
        return f"{socket.gethostname()}:{probe.getsockname()[1]}"


def meeting(settings: Settings, attempt: Attempt) -> list[str]:
    """Returns torchrun's arguments for the address where the attempt's ranks meet."""
    if attempt.rendezvous is None:
        # torchrun chooses a free port; this also works if the machine's name cannot be resolved, as in a container.
        return ["--standalone", "--local-addr=127.0.0.1"]
    first = "0" if is_helper(settings) else "1"
    return [
        f"--nnodes={settings.resources.nodes}",
        "--rdzv-backend=c10d",
        f"--rdzv-endpoint={attempt.rendezvous}",
        f"--rdzv-id={attempt.job}-{attempt.number}",
        f"--rdzv-conf=is_host={first}",
    ]
