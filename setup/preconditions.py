"""What must hold before set-up touches the disk; each breach is one sentence with its remedy."""

import importlib.util
import os
import shlex
import shutil
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path

# A set-up took 2.3 GB at its most, with the small CPU build of torch; pip's cache of downloads and the demo's outputs
# come on top. A CUDA build needs far more (see requirements.in).
NEEDED_GB = 3.5


class SetupError(Exception):
    """Something the user can mend, said in one sentence; make ends with it and without a traceback."""


class DiskFullError(SetupError):
    """The disk is too small, or became full on the way."""

    def __init__(self, folder: Path) -> None:
        super().__init__(
            f"Too little disk space: set-up needs at least {NEEDED_GB:g} GB (several more with a CUDA build of torch) "
            f"in {folder} and {free_gb(folder):.1f} GB are free; free some or clone to a larger disk, then run "
            "the same command again."
        )


def free_gb(folder: Path) -> float:
    """Returns the free space of the disk that holds `folder`, in GB (10^9 bytes)."""
    return shutil.disk_usage(folder).free / 1e9


def check_disk(folder: Path) -> None:
    """Raises unless an environment fits on the disk of `folder`."""
    if free_gb(folder) < NEEDED_GB:
        raise DiskFullError(folder)


def check_venv() -> None:
    """Raises unless this Python can make virtual environments: Debian ships that as a package of its own."""
    if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
        name = f"python{sys.version_info.major}.{sys.version_info.minor}"
        raise SetupError(
            f"{sys.executable} cannot make virtual environments (no ensurepip): install its venv module "
            f"(Debian, Ubuntu: apt-get install {name}-venv), then run the same command again."
        )


def find_compiler(environment: Mapping[str, str] = os.environ) -> str:
    """Returns the C++ compiler command, `$CXX` if set; raises when there is none."""
    named = environment.get("CXX")
    for candidate in [named] if named else ["g++", "c++", "clang++"]:
        if shutil.which(shlex.split(candidate)[0], path=environment.get("PATH", "")):
            return candidate
    sought = f"CXX={named} is not a program" if named else "neither g++, c++ nor clang++ is on the PATH"
    raise SetupError(
        f"No C++ compiler, and mmcv must be compiled: {sought}; install one (Debian, Ubuntu: apt-get install g++) "
        "or name one in CXX, then run the same command again."
    )


def check_headers(include: Path | None = None) -> None:
    """Raises unless the headers of this Python are in `include` (by default: where this Python has them)."""
    include = include or Path(sysconfig.get_path("include"))
    if not (include / "Python.h").exists():
        name = f"python{sys.version_info.major}.{sys.version_info.minor}"
        raise SetupError(
            f"The headers of {name} are missing, and mmcv must be compiled: there is no {include / 'Python.h'}; "
            f"install them (Debian, Ubuntu: apt-get install {name}-dev), then run the same command again."
        )
