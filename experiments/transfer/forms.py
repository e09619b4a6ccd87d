"""The files that a study travels as: which, how large at most, and what is in those that this program reads (JSON)."""

import re
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, TypeAdapter

from experiments.paths import TrialPaths
from experiments.transfer.archive import Sha256
from experiments.trial.attempts import Attempt

MIB = 2**20
TRIAL_ID = r"\w[\w.]*(?:-\w[\w.]*)*-s[0-9]+-[0-9a-f]{10}"
LONGEST = 5000  # characters of a text that becomes a tag; MLflow takes 8000

Line = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]*$", max_length=LONGEST)]
Words = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]*$", max_length=250)]
Metric = Annotated[str, Field(pattern=r"^\w[\w.\-]*(/\w[\w.\-]*)*$", max_length=250)]
Count = Annotated[int, Field(ge=0, lt=2**31)]
Time = Annotated[int, Field(ge=0, lt=2**43)]  # milliseconds since 1970


def _storable(value: Any) -> Any:
    if isinstance(value, int) and abs(value) >= 2**53:
        raise ValueError("a whole number that no database takes")
    return value


Number = Annotated[float, BeforeValidator(_storable)]


class Description(BaseModel):
    """`trial.json`."""

    trial_id: Line
    variant_id: Line
    variant: Line
    overrides: list[Line]
    seed: int
    factors: dict[str, Line]
    kernel_sizes: dict[str, int]
    epochs: Count
    record: Annotated[str, Field(pattern="^[0-9a-f]{32}$")]
    data: dict[Literal["train", "val"], Sha256]
    sweeps: dict[Words, Line]


class Point(BaseModel):
    """Metrics at a step: of the journal, of `cost.json` and `errors.json`."""

    time: Time
    step: Count
    metrics: dict[Metric, Number]


class Epoch(Point):
    """A line of the journal: a complete epoch."""

    samples: list[Point] = []


class Told(BaseModel):
    """A line of the journal: how far the training is."""

    time: Time
    epoch: Annotated[int, Field(ge=1, lt=2**31)]
    iteration: Count
    iterations: Annotated[int, Field(ge=1, lt=2**31)]
    loss: Number | None = None
    evaluating: bool | None = None


class Source(BaseModel):
    """What ran."""

    commit: Annotated[str, Field(pattern="^[0-9a-f]{40,64}$")] | None  # typed by who repeats the trial
    dirty: bool
    difference: str
    untracked: list[str]


class Machine(BaseModel):
    """What it ran on."""

    host: Words
    gpus: list[Words]


class Provenance(BaseModel):
    """`provenance/0001.json`."""

    source: Source
    packages: dict[Words, Words]
    machine: Machine
    lacking: list[Line] = []


class Sources(BaseModel):
    """`sources/0001.json`."""

    after: Count
    files: dict[
        Annotated[str, Field(pattern=r"^\w[\w.\-]*(/\w[\w.\-]*)*$", max_length=250)],
        Annotated[str, Field(pattern="^[0-9a-f]{10}$")],
    ]


class Planned(BaseModel):
    """A sweep's plan, which no command reads."""

    sweeps: list[str]
    made: str


EPOCH, TOLD, ROWS, PLANNED = TypeAdapter(Epoch), TypeAdapter(Told), TypeAdapter(list[Line]), TypeAdapter(Planned)
LINE, WORDS = TypeAdapter(Line), TypeAdapter(Words)
WRITTEN = {field.name for field in fields(Attempt)} - {"touched"}


def travels(file: str) -> bool:
    """Returns whether a file goes along that has this path in its trial's folder."""
    return any(re.fullmatch(pattern, file) for pattern in _FILES)


def largest(name: str) -> int | None:
    """Returns the most bytes that a file of an archive may have, None for a name that none has."""
    for pattern, size in _NAMES.items():
        if re.fullmatch(pattern, name):
            return size
    return None


def _files() -> dict[str, int]:
    """Returns the most bytes of each file of a trial that may travel, by a pattern of its path."""
    paths = TrialPaths(Path())
    known = dict.fromkeys(paths.kept, 2048 * MIB)
    small = (paths.config, paths.description, paths.record, paths.cost, paths.errors, paths.unmatched)
    known |= dict.fromkeys(small, MIB // 4)
    known |= {paths.journal: 128 * MIB, paths.by_class: 16 * MIB, paths.detector_config: 16 * MIB}
    numbered = {
        r"attempts/[0-9]{4}\.json": MIB,
        r"provenance/[0-9]{4}\.json": 32 * MIB,
        r"provenance/[0-9]{4}\.diff": 32 * MIB,
        r"sources/[0-9]{4}\.json": MIB,
    }
    return (
        {re.escape(str(path)): size for path, size in known.items()} | numbered | {r"log\.node[0-9]+\.txt": 2048 * MIB}
    )


_FILES = _files()
_NAMES = {f"trials/{TRIAL_ID}/{file}": size for file, size in _FILES.items()} | {r"plans/\w[\w.\- ]*\.json": 64 * MIB}
