"""Runs a program of the project with one command line after the other, in one process: each in a folder of its own.

Started by `preloaded.py` with a file of jobs, `[program, [[arguments, environment], ...]]`, and one for the results:
exit code, stdout and stderr of each.
"""

import contextlib
import io
import json
import os
import runpy
import signal
import sys
import traceback
from pathlib import Path
from typing import Any
from unittest import mock

SECONDS = 60  # for one command line


def main() -> None:
    program, lines = json.loads(Path(sys.argv[1]).read_text())
    results, start = Path(sys.argv[2]), Path.cwd()
    signal.signal(signal.SIGALRM, _too_long)
    found = []
    for number, (arguments, environment) in enumerate(lines):
        place = start / str(number)
        place.mkdir()
        os.chdir(place)
        found.append(_run(program, arguments, environment))
    results.write_text(json.dumps(found))


def _run(program: str, arguments: list[str], environment: dict[str, str]) -> list[Any]:
    out, err, code = io.StringIO(), io.StringIO(), 0
    signal.alarm(SECONDS)
    with (
        mock.patch.dict(os.environ, environment),
        mock.patch.object(sys, "argv", [program, *arguments]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            runpy.run_path(program, run_name="__main__")
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        except BaseException:
            traceback.print_exc()
            code = 1
        finally:
            signal.alarm(0)
    return [code, out.getvalue(), err.getvalue()]


def _too_long(number: int, frame: object) -> None:
    raise TimeoutError(f"no end within {SECONDS} s")


if __name__ == "__main__":
    main()
