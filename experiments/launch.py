"""Runs one trial in processes of its own and sees it to its end: watches the journal, writes MLflow."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import yaml
from filelock import FileLock, Timeout

from experiments import checks, names
from experiments.display import TrialDisplay, console
from experiments.errors import UserError
from experiments.journal import Reader
from experiments.paths import TrialPaths
from experiments.tracking import Run, Store

POLL_SECONDS = 0.5
GRACE_SECONDS = 30  # torchrun passes a signal on to its workers and waits this long for them


def run_trial(folder: Path) -> str:
    """Runs the frozen trial in `folder` and returns its status: FINISHED or FAILED, or RUNNING where another does it.

    Ctrl-C, SIGTERM and SIGHUP stop the trial's processes, mark it KILLED and go on to the caller as KeyboardInterrupt.
    """
    paths = TrialPaths(folder)
    try:
        with FileLock(paths.lock, timeout=0), _signals(signal.default_int_handler):
            return _attempt(paths)
    except Timeout:
        console.print(f"{paths.root.name}: another process is running it; left to that one")
        return names.RUNNING


def _attempt(paths: TrialPaths) -> str:
    config = yaml.safe_load(paths.config.read_text())
    description = json.loads(paths.description.read_text())
    processes = process_count(config)
    _clear(paths)
    run = Store(config).open_run(description)
    display = TrialDisplay(description, config["schedule"]["epochs"])
    status: str = names.KILLED
    reason: str | None = "interrupted"
    try:
        status, reason = _supervise(paths, processes, run, display)
    finally:
        with _signals(signal.SIG_IGN):
            paths.outcome.write_text(json.dumps({"status": status, "reason": reason}))
            run.close(status, reason, paths)
            display.close(status, reason, run.trouble, paths.log)
    return status


def _clear(paths: TrialPaths) -> None:
    """Removes what an earlier attempt left: this one starts from the first epoch."""
    shutil.rmtree(paths.work, ignore_errors=True)
    for path in (paths.journal, paths.outcome, paths.error, paths.log, paths.detector_config):
        path.unlink(missing_ok=True)


def _supervise(paths: TrialPaths, processes: int, run: Run, display: TrialDisplay) -> tuple[str, str | None]:
    """Starts the ranks and follows them to their end; returns the status and, unless FINISHED, the reason."""
    reader = Reader(paths.journal)
    with paths.log.open("wb") as log:
        process = subprocess.Popen(
            _command(paths, processes),
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            # Threads that wait give their core away: on a shared CPU a spinning team takes several times as long.
            env={"OMP_WAIT_POLICY": "PASSIVE", **os.environ, "PYTHONPATH": _with_our_code()},
        )
        try:
            while True:
                ended = process.poll() is not None  # asked first: what is written until now is read below
                records = reader.new_records()
                run.deliver(records)
                display.update(records)
                if ended:
                    break
                time.sleep(POLL_SECONDS)
        finally:
            with _signals(signal.SIG_IGN):  # an impatient second Ctrl-C must not leave ranks behind
                _stop(process)
    if process.returncode == 0:
        return names.FINISHED, None
    return names.FAILED, _reason(paths)


@contextmanager
def _signals(handler: Callable[..., Any] | signal.Handlers) -> Iterator[None]:
    """Has Ctrl-C, SIGTERM (a cluster's polite end) and SIGHUP (a closed terminal) handled alike for a while.

    Only a main thread can arrange for that; elsewhere nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [
        number
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) is not signal.SIG_IGN  # as under nohup
    ]
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


def _stop(process: subprocess.Popen) -> None:
    """Ends a trial's processes if they still run: politely, so that torchrun ends its workers, then by force."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            # Each rank has a session of its own: ending torchrun alone would leave them running.
            for each in psutil.Process(process.pid).children(recursive=True):
                each.kill()
            process.kill()
            process.wait()


def _with_our_code() -> str:
    """Returns PYTHONPATH with this repository first: ranks find it from whatever folder the command was typed in."""
    return os.pathsep.join(filter(None, (str(Path(__file__).parent.parent), os.environ.get("PYTHONPATH"))))


def _command(paths: TrialPaths, processes: int) -> list[str]:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    return [*torchrun, "-m", "experiments.worker", str(paths.root)]


def process_count(config: dict) -> int:
    """Returns how many ranks share a trial's batch on this machine: `resources.processes`, or one per GPU for "auto".

    Raises UserError where the batch cannot be shared evenly or GPUs are fewer than ranks.
    """
    import torch

    gpus = torch.cuda.device_count()
    asked = config["resources"]["processes"]
    count = max(gpus, 1) if asked == "auto" else asked
    checks.batch(count, config["schedule"]["batch_size"])
    if gpus and count > gpus:
        raise UserError(f"resources.processes={count} but this machine has {gpus} GPUs; choose 1 to {gpus}")
    return count


def _reason(paths: TrialPaths) -> str:
    """Returns in one line why a trial's processes failed: the worker's exception, or the signal that ended it."""
    if paths.error.exists():
        return paths.error.read_text()
    signals = re.findall(r"Signal \d+ \((SIG\w+)\)", paths.log.read_text(errors="replace"))  # torchrun's own summary
    if signals:
        return f"a process was ended by {signals[-1]}" + (" (out of memory?)" if signals[-1] == "SIGKILL" else "")
    return "its processes ended without telling why"
