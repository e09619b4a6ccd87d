"""Runs the commands of one set-up step side by side: output to log files, one live line, failures as sentences."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from setup.preconditions import DiskFullError, SetupError, free_gb

PLAIN_INTERVAL = 20.0  # seconds between lines where there is no terminal to keep one line live in
POLL_INTERVAL = 0.2
SENTENCE = "set-up error: "  # our own scripts end with this and a sentence; it reaches the user as it is
NOTICE = "set-up notice: "  # the same for what does not stop set-up

UNREACHABLE = re.compile(
    r"NewConnectionError|NameResolutionError|ConnectTimeoutError|ReadTimeoutError|ProxyError|SSLError|"
    r"Failed to establish a new connection|Temporary failure in name resolution|Connection (refused|reset|aborted)|"
    r"Could not fetch URL"
)
DISK_FULL = re.compile(r"No space left on device|Errno 28\b|Disk quota exceeded|Errno 122\b")
KILLED = re.compile(r"Killed signal terminated program|signal 9\b")
FAILURE = re.compile(r"^.*\b(?:ERROR|Error|error):.*$", re.MULTILINE)


@dataclass
class Job:
    """A command, the file that takes its output, and how to read off that file how far it is."""

    title: str
    command: list[str]
    log: Path
    progress: Callable[[str], str] = lambda log: ""
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)


def told(mark: str, log: Path) -> list[str]:
    """Returns the sentences behind `mark` in a log."""
    lines = log.read_text(errors="replace").splitlines()
    return [line[len(mark) :] for line in lines if line.startswith(mark)]


def explain(title: str, log: Path) -> SetupError:
    """Returns what stopped a failed command, told from its log."""
    text = log.read_text(errors="replace")
    if own := told(SENTENCE, log):
        return SetupError(own[-1])
    if DISK_FULL.search(text) or free_gb(log.parent) < 0.1:  # a full disk may leave no room to say so
        return DiskFullError(log.parent)
    if UNREACHABLE.search(text):
        return SetupError(
            f"The package registry cannot be reached ({title} did not finish): check the network and `pip config "
            f"list`, then run the same command again; the details are in {log}."
        )
    if KILLED.search(text):
        return SetupError(f"{title} ran out of memory: run the same command again with MAX_JOBS=1; the log is {log}.")
    reason = next((line.strip()[:200] for line in FAILURE.findall(text)), "it does not say why").rstrip(".")
    return SetupError(f"{title} failed: {reason}; the log is {log}, running the same command again starts afresh.")


def run(*jobs: Job) -> None:
    """Runs the jobs side by side and says how far they are; the first failure ends all of them and raises."""
    start = time.monotonic()
    running: dict[subprocess.Popen[bytes], Job] = {}
    try:
        for job in jobs:
            with open(job.log, "wb") as log:
                # A session of its own: so that one signal reaches pip, ninja and the compilers below it.
                process = subprocess.Popen(
                    job.command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=job.environment,
                    start_new_session=True,
                )
            running[process] = job
        _watch(running, start)
    finally:
        for process in running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            process.wait()


def _watch(running: dict[subprocess.Popen[bytes], Job], start: float) -> None:
    live = sys.stdout.isatty()
    spoken = start
    while running:
        for process, job in list(running.items()):
            if process.poll() is None:
                continue
            del running[process]
            if live:
                print("\r\033[K", end="")
            if process.returncode:
                raise explain(job.title, job.log)
            print(f"  {job.title}: done in {time.monotonic() - start:.0f} s", flush=True)
        now = time.monotonic()
        if running and (live or now - spoken > PLAIN_INTERVAL):
            spoken = now
            states = [f"{job.title}: {job.progress(job.log.read_text(errors='replace'))}" for job in running.values()]
            line = f"  {now - start:3.0f} s  " + " | ".join(state.rstrip(": ") for state in states)
            if live:
                width = shutil.get_terminal_size().columns - 1
                print(f"\r\033[K{line[:width]}", end="", flush=True)
            else:
                print(line, flush=True)
        time.sleep(POLL_INTERVAL)
