"""Compiles the pinned mmcv against the installed torch, once per machine and user. Runs with `.venv`'s own Python.

    python -m setup.mmcv_wheel build       compile into the cache unless the wheel is there
    python -m setup.mmcv_wheel install     install it from there and try its operators

mmcv has no wheels, and a plain build parses torch's headers 78 times (28 CPU minutes); see `setup/pch_cxx.py`.
"""

import contextlib
import fcntl
import os
import platform
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from setup.jobs import NOTICE, SENTENCE
from setup.preconditions import SetupError, check_headers, find_compiler

ROOT = Path(__file__).resolve().parent.parent
GB_PER_COMPILER = 1.5  # memory of one compiler at its largest file

# Setting CFLAGS replaces Python's own, the optimisation with them: without -O2 RoIAlign takes twice to thrice the time.
# No debug symbols: half the time and a tenth of the size. No -march: the wheel runs on any machine of the architecture.
CFLAGS = "-O2 -g0 -DNDEBUG"


def cache_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Returns the folder that holds this user's compiled wheels, one folder per key."""
    base = environment.get("XDG_CACHE_HOME") or Path(environment.get("HOME") or Path.home(), ".cache")
    return Path(base) / "groie-ablation" / "wheels"


def wheel_key(mmcv: str, torch: str, operators: str = "*") -> str:
    """Returns the name of the cache folder for what a wheel depends on; `operators` is "cpu" or "cuda13.0-sm90"."""
    python = f"cp{sys.version_info.major}{sys.version_info.minor}"
    system = f"{sysconfig.get_platform()}-{'-'.join(platform.libc_ver())}"
    return f"mmcv{mmcv}_torch{torch}_{python}_{system}_{operators}"


def find_wheels(key: str, cache: Path | None = None) -> list[Path]:
    """Returns the wheels in the cache whose key matches the pattern `key`."""
    return sorted((cache or cache_folder()).glob(f"{key}/onedl_mmcv-*.whl"))


def operators() -> str:
    """Returns which operators to compile: "cuda..." where torch has CUDA and its compiler is there, else "cpu"."""
    import torch
    from torch.utils.cpp_extension import CUDA_HOME

    if torch.version.cuda is None or CUDA_HOME is None or not shutil.which("nvcc", path=f"{CUDA_HOME}/bin"):
        return "cpu"
    cards = {"sm{}{}".format(*torch.cuda.get_device_capability(i)) for i in range(torch.cuda.device_count())}
    named = os.environ.get("TORCH_CUDA_ARCH_LIST", "").replace(" ", "+").replace(";", "+")
    return f"cuda{torch.version.cuda}-{named or '+'.join(sorted(cards)) or 'all'}"


def build(mmcv: str) -> Path:
    """Returns the wheel for this environment, compiled unless the cache has it; clones side by side do so once."""
    import torch

    kind = operators()
    key = wheel_key(mmcv, torch.__version__, kind)
    folder = cache_folder() / key
    folder.mkdir(parents=True, exist_ok=True)
    with exclusive(folder / "lock"):
        if not find_wheels(key):
            with tempfile.TemporaryDirectory() as scratch:
                made = _compile(mmcv, kind != "cpu", Path(scratch))
                # Only whole wheels bear their name: another clone may look at any time.
                unfinished = folder / f"{made.name}.{os.getpid()}"
                shutil.copyfile(made, unfinished)
                unfinished.rename(folder / made.name)
    return find_wheels(key)[0]


@contextlib.contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Holds a lock file; a process that dies frees it. Where the file system has no locks there is no protection."""
    with open(path, "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("waiting for another set-up that is at the same", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError:
            pass
        yield


def _compile(mmcv: str, cuda: bool, scratch: Path) -> Path:
    check_headers()
    wrapper = scratch / "bin" / "pch-c++"  # found through PATH: torch and distutils take no arguments and no spaces
    wrapper.parent.mkdir()
    script = Path(__file__).with_name("pch_cxx.py")
    wrapper.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -I -S {shlex.quote(str(script))} "$@"\n')
    wrapper.chmod(0o755)
    environment = os.environ | {
        "PCH_REAL_CXX": find_compiler(),
        "PCH_DIR": str(scratch / "pch"),
        "CXX": wrapper.name,
        "CFLAGS": CFLAGS,
        "CXXFLAGS": "",  # conda sets some for one family of processors
        "MAX_JOBS": os.environ.get("MAX_JOBS", str(_parallel_jobs())),
        "PATH": os.pathsep.join([str(wrapper.parent), str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
    }
    # mmcv asks whether a card is visible; what decides here is whether its operators can be compiled.
    environment |= {"FORCE_CUDA": "1"} if cuda else {"FORCE_CUDA": "0", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-m", "pip", "wheel", "-v", "--no-deps", "--no-build-isolation", "--no-cache-dir"]
    subprocess.run([*command, "--wheel-dir", str(scratch), f"onedl-mmcv=={mmcv}"], env=environment, check=True)
    return next(scratch.glob("onedl_mmcv-*.whl"))


def _parallel_jobs() -> int:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(processors, int(memory / GB_PER_COMPILER)))


def install(mmcv: str) -> None:
    """Installs the wheel and tries it; one that does not work is removed from the cache."""
    wheel = build(mmcv)
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--force-reinstall", str(wheel)]
    subprocess.run(command, check=True)
    if subprocess.run([sys.executable, "-c", "from setup.mmcv_wheel import try_out; try_out()"], cwd=ROOT).returncode:
        wheel.unlink()
        raise SetupError(
            f"The compiled mmcv does not work here, and {wheel} was removed: run the same command again to compile it."
        )


def try_out() -> None:
    """Raises unless RoIAlign and nms of the installed mmcv give what can be worked out by hand."""
    import torch
    from mmcv.ops import RoIAlign, nms

    ramp = torch.arange(8.0).repeat(1, 1, 8, 1)  # the value of a pixel is its x; mmcv reads memory, so no expand()
    box = torch.tensor([[0.0, 1.0, 1.0, 5.0, 5.0]])  # two bins across, their centres at x = 1.5 and 3.5
    pooled = RoIAlign(output_size=2, spatial_scale=1.0, sampling_ratio=2)(ramp, box)
    torch.testing.assert_close(pooled, torch.tensor([[[[1.5, 3.5], [1.5, 3.5]]]]))
    boxes = torch.tensor([[0.0, 0, 4, 4], [0, 0, 4, 5], [6, 6, 8, 8]])  # the first two overlap by 0.8
    assert nms(boxes, torch.tensor([0.5, 0.9, 0.1]), 0.7)[1].tolist() == [1, 2]
    if torch.cuda.is_available() and operators() == "cpu":
        print(
            f"{NOTICE}mmcv cannot use this machine's GPU, because there was no nvcc to compile its CUDA operators: "
            f"install the CUDA toolkit {torch.version.cuda}, remove .venv and run the same command again."
        )
    elif torch.cuda.is_available():
        torch.testing.assert_close(RoIAlign(2, 1.0, 2)(ramp.cuda(), box.cuda()).cpu(), pooled)


if __name__ == "__main__":
    try:
        {"build": build, "install": install}[sys.argv[1]](sys.argv[2])
    except SetupError as error:
        sys.exit(f"{SENTENCE}{error}")
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)  # it said why in the same log
