"""Where an attempt's result comes from: the source it ran, the packages, the machine, and how it was started."""

import importlib.metadata
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil

from experiments import names

ROOT = Path(__file__).parents[2]
SHOWN = ("torch", "onedl-mmdetection", "onedl-mmcv", "onedl-mmengine")  # versions that a run carries as tags
# What of the environment can change a result or tell where it ran; anything else may hold secrets.
VARIABLES = ("SLURM_", "RAY_", "CUDA_", "NCCL_", "OMP_", "MKL_", "TORCH", "PYTHONHASHSEED", "CUBLAS_")
SECRET = ("TOKEN", "KEY", "PASSWORD", "SECRET", "JWT")


def gather() -> dict[str, Any]:
    """Returns all that is known of this process's surroundings, as JSON can hold it."""
    return {
        "source": source(),
        "packages": packages(),
        "machine": machine(),
        "command": sys.argv,
        "environment": {
            key: value
            for key, value in sorted(os.environ.items())
            if key.startswith(VARIABLES) and not any(word in key for word in SECRET)
        },
    }


def source() -> dict[str, Any]:
    """Returns commit, whether files differ from it, and the difference; commit None where there is no git."""
    commit = _git("rev-parse", "HEAD")
    difference = _git("diff", "HEAD") if commit else None
    untracked = (_git("ls-files", "--others", "--exclude-standard") or "").splitlines() if commit else []
    return {
        "commit": commit.strip() if commit else None,
        "dirty": bool(difference or untracked),
        "difference": difference or "",
        "untracked": untracked,
    }


def short(source: dict[str, Any]) -> str:
    """Returns a commit as people read it: 12 digits; "-dirty" tells that files differed from it."""
    return (source["commit"] or "none")[:12] + ("-dirty" if source["dirty"] else "")


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout if done.returncode == 0 else None


def packages() -> dict[str, str]:
    """Returns the version of every installed package."""
    found = {one.metadata["Name"]: one.version for one in importlib.metadata.distributions() if one.metadata["Name"]}
    return dict(sorted(found.items(), key=lambda item: item[0].lower()))


def machine() -> dict[str, Any]:
    """Returns host, processors, memory, and the GPUs with their driver."""
    import torch

    gpus = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    return {
        "host": platform.node(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "gpus": gpus,
        "driver": _driver() if gpus else None,
        "cuda": torch.version.cuda,
    }


def _driver() -> str | None:
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip().partition("\n")[0] or None


def tags(gathered: dict[str, Any]) -> dict[str, str]:
    """Returns what a run's page and its filters should show of it."""
    shown = {name: gathered["packages"].get(name, "") for name in SHOWN}
    return {
        names.COMMIT: short(gathered["source"]),
        names.HOST: gathered["machine"]["host"],
        names.GPU: ", ".join(dict.fromkeys(gathered["machine"]["gpus"])) or "none",
        **{names.VERSION + name: version for name, version in shown.items()},
    }
