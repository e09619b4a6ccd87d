"""Makes `.venv` from the lock, step by step; a stamp written last says that it is whole."""

import errno
import hashlib
import os
import re
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from setup.jobs import NOTICE, Job, run, told
from setup.mmcv_wheel import exclusive, find_wheels, wheel_key
from setup.preconditions import DiskFullError, SetupError, check_disk, check_headers, check_venv, find_compiler

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
LOCK = ROOT / "setup" / "requirements.lock"
STAMP = VENV / "setup" / "stamp"  # beside the logs of the steps

# What compiling mmcv needs; it starts as soon as these are there, while the rest is installed.
FIRST = ("torch", "numpy", "setuptools", "wheel", "ninja", "packaging")


def ensure() -> int:
    """Makes `.venv` unless it is current; returns the exit code (0 done, 2 a sentence was printed, 130 interrupted)."""
    if is_current():
        return 0
    for ending in (signal.SIGTERM, signal.SIGHUP):  # whatever ends us, end what we started
        signal.signal(ending, signal.default_int_handler)
    try:
        with exclusive(ROOT / ".venv.lock"):
            if not is_current():
                make()
        return 0
    except (DiskFullError, OSError) as error:
        if isinstance(error, OSError) and error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        if (VENV / "setup").exists() and not STAMP.exists():
            shutil.rmtree(VENV, ignore_errors=True)  # give back what was taken
        print(f"error: {DiskFullError(ROOT)}", file=sys.stderr)
    except SetupError as error:
        print(f"error: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("\nSet-up interrupted; the same command starts it again.", file=sys.stderr)
        return 130
    return 2


def fingerprint() -> str:
    """Returns what the stamp holds: the Python version and a hash of the lock."""
    return f"python{sys.version_info.major}.{sys.version_info.minor} {hashlib.sha256(LOCK.read_bytes()).hexdigest()}\n"


def is_current() -> bool:
    """Returns whether `.venv` is whole and made from this lock for this Python."""
    return STAMP.exists() and (VENV / "bin" / "python").exists() and STAMP.read_text() == fingerprint()


def read_lock(path: Path = LOCK) -> dict[str, str]:
    """Returns the pinned version of every package in the lock, by name."""
    return dict(re.findall(r"^([\w.-]+)==(\S+)", path.read_text(), re.MULTILINE))


def make() -> None:
    """Makes `.venv` from nothing; raises SetupError, before anything is touched where that can be known."""
    pins = read_lock()
    mmcv = pins.pop("onedl-mmcv")
    check_venv()
    if not VENV.exists():  # otherwise what it takes is given back first
        check_disk(ROOT)
    compiles = not find_wheels(wheel_key(mmcv, f"{pins['torch']}*"))
    if compiles:
        find_compiler()
        check_headers()
    why = "; compiling mmcv, once for this machine, takes most of the time" if compiles else ""
    print(f"Setting up .venv with {sys.executable}, once for this clone{why}.", flush=True)
    start = time.monotonic()

    # What is there is unfinished or of another lock, and pip cannot tell a half installed package from a whole one.
    if VENV.is_symlink():
        VENV.unlink()  # the environment of another clone, which is not ours to change
    STAMP.unlink(missing_ok=True)
    shutil.rmtree(VENV, ignore_errors=True)
    temporary = VENV / "setup" / "tmp"  # pip and the compiler write gigabytes: to the disk whose space was checked
    temporary.mkdir(parents=True)
    environment = os.environ | {"TMPDIR": str(temporary), "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    python = str(VENV / "bin" / "python")

    def job(title: str, name: str, *command: str, progress: Callable[[str], str] = lambda log: "") -> Job:
        return Job(title, list(command), VENV / "setup" / f"{name}.log", progress, environment)

    def pip(title: str, name: str, *arguments: str) -> Job:
        # Compiling every module of every package takes longer than installing them, and most are never imported.
        options = ("--no-compile", "--no-user", "--no-input", "--disable-pip-version-check", "--progress-bar=off")
        return job(title, name, python, "-m", "pip", "install", *options, *arguments, progress=pip_progress)

    def pinned(*names: str) -> list[str]:
        return [f"{name}=={pins[name]}" for name in names]

    run(job("virtual environment", "venv", sys.executable, "-m", "venv", str(VENV)))
    # With its dependencies, because a CUDA build brings some that the lock does not know; torch itself pins those.
    run(pip("torch and build tools", "torch", "--constraint", str(LOCK), *pinned(*FIRST)))
    # Everything else is in the lock: nothing to resolve, and sdists build with the setuptools of the lock.
    run(
        pip("packages", "packages", "--no-deps", "--no-build-isolation", *pinned(*pins)),
        job("mmcv", "mmcv", python, "-m", "setup.mmcv_wheel", "build", mmcv, progress=compile_progress),
    )
    run(job("trying mmcv's operators", "try", python, "-m", "setup.mmcv_wheel", "install", mmcv))
    shutil.rmtree(temporary)
    for notice in told(NOTICE, VENV / "setup" / "try.log"):
        print(f"  notice: {notice}")
    STAMP.write_text(fingerprint())
    print(f"Set up in {time.monotonic() - start:.0f} s.", flush=True)


def pip_progress(log: str) -> str:
    """Returns how far pip is: what it fetches, then how many packages are installed."""
    if "Installing collected packages" in log:
        installed = len(list(VENV.glob("lib/python*/site-packages/*.dist-info")))
        return f"{installed} of {len(read_lock())} packages installed"
    fetched = re.findall(r"^\s*(?:Collecting|Downloading|Using cached) (\S+)(?: (\(.*\)))?", log, re.MULTILINE)
    return f"fetching {' '.join(fetched[-1]).strip()}" if fetched else "starting"


def compile_progress(log: str) -> str:
    """Returns how far the compile is: ninja counts the files."""
    counts = re.findall(r"^\s*\[(\d+)/(\d+)\]", log, re.MULTILINE)
    if counts:
        return f"{counts[-1][0]} of {counts[-1][1]} files compiled"
    return "precompiling torch's headers" if "Building wheel" in log else "looking for a compiled wheel"
