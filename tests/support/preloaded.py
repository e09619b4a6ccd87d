"""Runs programs of the project in forks of a process that has imported already what takes seconds to import.

Reads jobs from stdin, one JSON object a line. A job's folder gets stdout, stderr, its process id and exit code.
"""

import groie  # noqa: F401 (it stands in for the operators that mmcv lacks)

# isort: split
import atexit
import gc
import json
import os
import runpy
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import mmdet.datasets
import mmdet.models  # noqa: F401
from PIL import Image
from yapf.yapflib import yapf_api

from experiments.jobs import ranks, submit, supervise  # noqa: F401
from experiments.planning import checks, plan, rehearsal, sweep  # noqa: F401
from experiments.training import build, evaluation, hooks  # noqa: F401
from experiments.trial import sources
from tests.support import accidents, harness


def main() -> None:
    import mlflow.store.tracking.sqlalchemy_store  # noqa: F401  (after `tracking`, which says how)

    rehearsal.detectors([harness.settings()])  # torch imports two hundred modules with its first operator
    Image.init()
    sources.loaded()
    gc.freeze()  # else a fork's first collection copies all that memory
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # those who watch a job need nobody to wait for them
    for line in sys.stdin:
        if os.fork() == 0:
            _watch(json.loads(line))
            os._exit(0)


def _watch(job: dict) -> None:
    """Starts a job and stays to the end of it, to write down how it ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    folder = Path(job["folder"])
    process = os.fork()
    if process == 0:
        _become(job, folder)
    _write(folder / "pid", process)
    _write(folder / "code", os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]))


def _become(job: dict, folder: Path) -> None:
    """Becomes `python PROGRAM`: its streams, folder, environment and arguments."""
    for descriptor, path in ((0, Path(os.devnull)), (1, folder / "stdout"), (2, folder / "stderr")):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT), descriptor)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also where the tests run in a shell's background
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # also where the tests run under nohup
    for number in job["ignored"]:  # as nohup does
        signal.signal(number, signal.SIG_IGN)
    os.chdir(job["cwd"])
    os.environ.pop("PYTHONPATH")  # this server's, by which it found the project
    os.environ.update(job["environment"])
    tempfile.tempdir = None  # asked for again: it may be another now
    program = str(Path(__file__).parents[2] / job["program"])
    sys.argv = [program, *job["arguments"]]
    if job["worker"]:  # in place of the training
        ranks.command = partial(_fake_command, ranks.command, job["worker"], job["torchrun"])
    if job["program"].endswith("worker.py"):
        yapf_api.FormatCode = lambda text, **_: (text, False)  # a second, for looks alone
    if job["accident"]:
        accidents.prepare(*job["accident"])
    code = 0
    try:
        runpy.run_path(program, run_name="__main__")
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
        code = 1
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # to take down this copy of everything imported would take a second


def _fake_command(real: Callable[..., list[str]], worker: str, torchrun: bool, *arguments: Any) -> list[str]:
    """Returns the command with the worker exchanged, and without torchrun, which takes seconds, unless asked for."""
    *before, module, name, folder, number = real(*arguments)
    assert (module, name) == ("-m", "experiments.training.worker")
    return [*(before if torchrun else [sys.executable]), worker, folder, number]


def _write(path: Path, number: int) -> None:
    path.with_suffix(".part").write_text(str(number))
    path.with_suffix(".part").replace(path)


if __name__ == "__main__":
    main()
