"""Records where an attempt's result comes from: its source code, packages, machine and command.

An error here never ends a trial: a sentence in the file and in a tag of the run says which part is not recorded.
"""

import importlib.metadata
import json
import os
import platform
import sys
import textwrap
from collections.abc import Callable
from typing import Annotated, Any

import psutil
from pydantic import BaseModel, Field, TypeAdapter

from experiments import files, names
from experiments.console import console
from experiments.paths import TrialPaths
from experiments.reading import of_json
from experiments.settings import Settings
from experiments.trial import git, programs
from experiments.trial.git import Source

SHOWN = ("torch", "onedl-mmdetection", "onedl-mmcv", "onedl-mmengine")  # versions that a run carries as tags
# Variables that can change a result or say where it ran; any other may hold secrets.
VARIABLES = ("SLURM_", "RAY_", "CUDA_", "NCCL_", "OMP_", "MKL_", "TORCH", "PYTHONHASHSEED", "CUBLAS_")
SECRET = ("TOKEN", "KEY", "PASSWORD", "SECRET", "JWT")
LONGEST = 300  # characters of a sentence about a missing part
UNKNOWN = "unknown"


class NotedSource(BaseModel):
    """`git.Source.facts`, as every version has them."""

    commit: Annotated[str, Field(pattern="^[0-9a-f]{40,64}$")] | None  # it becomes part of a shell command
    dirty: bool
    difference: str
    untracked: list[str]


class NotedMachine(BaseModel):
    """The keys of the machine that other commands read."""

    host: str
    gpus: list[str]


class Gathered(BaseModel):
    """The keys of `provenance/0001.json` that other commands read."""

    source: NotedSource
    machine: NotedMachine
    packages: dict[str, str]
    lacking: list[str] = []
    data: dict[str, dict[str, Any]] = {}


GATHERED = TypeAdapter(Gathered)


class Notes:
    """Sentences about what could not be recorded."""

    def __init__(self) -> None:
        self.lacking: list[str] = []

    def add(self, *sentences: str) -> None:
        printable = ("".join(sign if sign.isprintable() else " " for sign in one) for one in sentences)
        self.lacking += [textwrap.shorten(one, LONGEST, placeholder=" ...") for one in printable]

    def part(self, what: str, find: Callable[[], Any], otherwise: Any) -> Any:
        """Returns the result of `find`; if it raises an error, adds a sentence and returns `otherwise`."""
        try:
            return find()
        except Exception as error:
            self.add(f"{what} not recorded: {type(error).__name__}: {error}")
            return otherwise


def note(paths: TrialPaths, settings: Settings, attempt: int) -> dict[str, Any]:
    """Writes the provenance of an attempt into the trial's folder; returns the source, as `git.Source.facts` has it."""
    from experiments.data import datasets  # only here: it imports OpenCV, which other commands do not need

    notes = Notes()
    source = notes.part("the source is", git.source, Source())
    gathered = gather(source, notes)
    gathered["data"] = notes.part("the data are", lambda: datasets.facts(settings), {})
    gathered["lacking"] = notes.lacking
    try:
        path = paths.provenance(attempt)
        path.parent.mkdir(exist_ok=True)
        if source.difference:
            files.write(paths.difference(attempt), source.difference)
        files.write(path, json.dumps(gathered, indent=2))
    except Exception as error:  # most often a full disk, which the trial itself reports later
        console.print(f"{paths.root.name}: its provenance is not recorded: {error}", style="yellow", markup=False)
    return source.facts()


def read(paths: TrialPaths, attempt: int) -> dict[str, Any]:
    """Returns the provenance of an attempt; DamagedError if it cannot be read."""
    known, _ = of_json(paths.provenance(attempt), GATHERED)
    return known


def warn() -> None:
    """Prints, before trials start, why git cannot give the commit."""
    notes = Notes()
    _, trouble = notes.part("the commit is", git.commit, (None, None))
    for sentence in filter(None, (trouble, *notes.lacking)):
        console.print(f"note: {sentence}", style="yellow", markup=False)


def gather(source: Source | None = None, notes: Notes | None = None) -> dict[str, Any]:
    """Returns the provenance of this process, ready for JSON."""
    notes = notes or Notes()
    source = source or notes.part("the source is", git.source, Source())
    notes.add(*source.troubles)
    return {
        "source": source.facts(),
        "packages": notes.part("the packages are", lambda: packages(notes), {}),
        "machine": machine(notes),
        "command": [_text(word) for word in sys.argv],
        "environment": {
            key: _text(value)
            for key, value in sorted(os.environ.items())
            if key.startswith(VARIABLES) and not any(word in key for word in SECRET)
        },
    }


def short(source: dict[str, Any]) -> str:
    """Returns the first 12 digits of a commit, with "-dirty" if files differed from it."""
    return (source["commit"] or "none")[:12] + ("-dirty" if source["dirty"] else "")


def packages(notes: Notes) -> dict[str, str]:
    """Returns the version of every installed package; packages with broken metadata are left out and counted."""
    found: dict[str, str] = {}
    broken = 0
    for one in importlib.metadata.distributions():
        try:
            name, version = one.metadata["Name"], one.metadata["Version"]
        except Exception:  # a missing file, or text that is not UTF-8
            broken += 1
            continue
        if name and version:
            found[str(name)] = str(version)
        else:
            broken += 1
    if broken:
        notes.add(f"the versions of {broken} installed packages are not recorded: their metadata are broken")
    return dict(sorted(found.items(), key=lambda item: item[0].lower()))


def machine(notes: Notes) -> dict[str, Any]:
    """Returns host, processors, memory, and the GPUs with their driver."""
    known: dict[str, tuple[Callable[[], Any], Any]] = {
        "host": (platform.node, UNKNOWN),
        "system": (platform.platform, UNKNOWN),
        "python": (platform.python_version, UNKNOWN),
        "processor": (lambda: platform.processor() or platform.machine(), UNKNOWN),
        "cores": (os.cpu_count, UNKNOWN),
        "memory_gib": (lambda: round(psutil.virtual_memory().total / 2**30, 1), UNKNOWN),
        "gpus": (_gpus, []),
        "cuda": (_cuda, None),
    }
    found = {fact: notes.part(f"the machine's {fact} is", find, otherwise) for fact, (find, otherwise) in known.items()}
    return {**found, "driver": notes.part("the GPUs' driver is", _driver, None) if found["gpus"] else None}


def _gpus() -> list[str]:
    import torch

    return [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]


def _cuda() -> str | None:
    import torch

    return torch.version.cuda


def _driver() -> str | None:
    answer = programs.ask("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader", seconds=20)
    return (answer.content or b"").decode().strip().partition("\n")[0] or None


def _text(inherited: str) -> str:
    """Returns text from the environment as valid UTF-8; invalid bytes become question marks."""
    return inherited.encode(errors="replace").decode()


def tags(gathered: dict[str, Any]) -> dict[str, str]:
    """Returns the tags of a run from its provenance."""
    shown = {name: gathered["packages"].get(name, "") for name in SHOWN}
    return {
        names.COMMIT: short(gathered["source"]),
        names.HOST: gathered["machine"]["host"],
        names.GPU: ", ".join(dict.fromkeys(gathered["machine"]["gpus"])) or "none",
        names.NOT_RECORDED: "; ".join(gathered.get("lacking", ())),
        **{names.VERSION + name: version for name, version in shown.items()},
    }
