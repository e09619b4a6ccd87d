"""Reads declared sweeps from sweeps/*.yaml, for the plan and for analysis."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import yaml
from pydantic import ValidationError

from experiments import names, sweep_file
from experiments.commands import ROOT
from experiments.errors import UserError

FOLDER = ROOT / "sweeps"


@dataclass(frozen=True)
class Row:
    """One row of a declared sweep: its name, its overrides, and its published numbers."""

    sweep: str  # name of the file that declares it
    name: str
    overrides: tuple[str, ...]
    published: dict[str, tuple[float, ...]]  # by IoU type: AP AP50 AP75 APs APm APl, times 100
    baseline: str | None  # name of the row of the same file that it is compared with; None for a row without a baseline

    def name_in(self, sweep: str) -> str:
        """Returns the row's name in a declared sweep: "baseline" in its own, "table1: baseline" in others."""
        return self.name if sweep == self.sweep else f"{self.sweep}: {self.name}"


@dataclass(frozen=True)
class Declaration:
    """A file of sweeps/."""

    name: str
    purpose: str
    caption: str
    table: str | None  # the paper's number of the table, such as "III"
    columns: tuple[str, ...]  # IoU types that the table shows; empty: all measured ones
    figures: dict[str, str]  # the paper's number of a figure -> IoU type whose AP it draws against the epoch
    matters: float | None  # the smallest difference that matters, AP x 100; None if the file has none
    rows: tuple[Row, ...]  # first the rows of the sweeps that it includes

    @property
    def file(self) -> str:
        """Returns the file's path in the repository: "sweeps/table3.yaml"."""
        return _file(self.name)


def key_of(override: str) -> str:
    """Returns the key of a Hydra override, `[+ ++ ~]key[@package][=value]`, without sign and package."""
    return override.partition("=")[0].lstrip("+~").partition("@")[0]


def words(text: str) -> list[str]:
    """Returns the words of a variant's label, split at spaces outside quotes."""
    return re.findall(r"(?:'(?:\\.|[^'\\])*'|\S)+", text)


def known() -> list[str]:
    """Returns the names of the declared sweeps."""
    return sorted(file.stem for file in FOLDER.glob("*.yaml"))


def read(name: str) -> Declaration:
    """Returns the declared sweep of this name, which is one of `known()`; UserError if its file is wrong."""
    return _read(name, ())


def _read(name: str, through: tuple[str, ...]) -> Declaration:
    file = _file(name)
    try:
        content = yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
        found = sweep_file.FileKeys.model_validate(content)
    except OSError as error:
        raise UserError(f"{file} cannot be read ({error.strerror})") from error
    except ValidationError as error:
        raise UserError(f"{file}{sweep_file.refusal(content, error)}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # of bytes not in UTF-8, and lists in themselves
        raise UserError(f"{file} is not YAML: {' '.join(str(error).split())}") from error
    measured = found.columns or names.IOU_TYPES
    _each_of(f"{file}: include", found.include, [other for other in known() if other not in (*through, name)])
    _each_of(f"{file}: figures", found.figures.values(), measured)
    own = [*found.rows, *sweep_file.made(file, found)]
    rows = [row for other in found.include for row in _read(other, (*through, name)).rows]
    own_names = [row.name for row in own]
    for twice in sorted({row for row in own_names if own_names.count(row) > 1}):
        raise UserError(f"{file} has two rows named {twice!r}; give one of them another name")
    first_is_baseline = not any(row.baseline for row in own)
    for row in own:
        _each_of(f"{file}: row {row.name!r}: published", row.published, measured)
        if row.baseline is not None:
            _each_of(
                f"{file}: row {row.name!r}: baseline", [row.baseline], [one for one in own_names if one != row.name]
            )
        baseline = own_names[0] if first_is_baseline and row.name != own_names[0] else row.baseline
        published: dict[str, tuple[float, ...]] = {
            iou_type: tuple(values) for iou_type, values in row.published.items()
        }
        rows.append(Row(name, row.name, tuple(row.overrides), published, baseline))
    if not rows:
        raise UserError(f"{file} has no rows; list them in rows, grid or zip, or other files in include")
    return Declaration(
        name=name,
        purpose=found.purpose,
        caption=found.caption or found.purpose,
        table=str(found.table) if found.table else None,
        columns=tuple(found.columns),
        figures={str(number): iou_type for number, iou_type in found.figures.items()},
        matters=found.matters,
        # If a file is included twice, its rows come once.
        rows=tuple({(row.sweep, row.name): row for row in rows}.values()),
    )


def _each_of(where: str, values: Iterable[Any], valid: Iterable[str]) -> None:
    for value in values:
        if value not in valid:
            raise UserError(f"{where}: {value!r} is unknown; choose from: {', '.join(valid)}")


def _file(name: str) -> str:
    return f"sweeps/{name}.yaml"
