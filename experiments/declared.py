"""Declared sweeps and their overrides: what sweeps/*.yaml say, read alike by the plan and by analysis."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import yaml

from experiments import names
from experiments.commands import ROOT

FOLDER = ROOT / "sweeps"
KEYS = ("purpose", "table", "caption", "columns", "figures", "matters", "include", "rows")
ROW_KEYS = ("name", "overrides", "published", "baseline")


class DeclarationError(Exception):
    """A file of sweeps/ that cannot be read as a sweep: one sentence with the file, what is wrong and what is valid."""


@dataclass(frozen=True)
class Row:
    """One row of a declared sweep: its name there, what to type for it, and the numbers published for it."""

    sweep: str  # name of the file that declares it
    name: str
    overrides: tuple[str, ...]
    published: dict[str, tuple[float, ...]]  # by IoU type: AP AP50 AP75 APs APm APl, times 100
    baseline: str | None  # name of the row of the same file that it is compared with; None for one that is none's

    def name_in(self, sweep: str) -> str:
        """Returns what the row is called in a declared sweep: "baseline" in its own, "table1: baseline" elsewhere."""
        return self.name if sweep == self.sweep else f"{self.sweep}: {self.name}"


@dataclass(frozen=True)
class Declaration:
    """A file of sweeps/."""

    name: str
    purpose: str
    caption: str
    table: str | None  # the paper's number of the table, such as "III"
    columns: tuple[str, ...]  # IoU types that the table shows; empty: all that were measured
    figures: dict[str, str]  # the paper's number of a figure -> IoU type whose AP it draws against the epoch
    matters: float | None  # the smallest difference that matters, AP x 100; None where the file has none
    rows: tuple[Row, ...]  # those of the sweeps that it includes first

    @property
    def file(self) -> str:
        """Returns the file as people name it: "sweeps/table3.yaml"."""
        return _file(self.name)


def key_of(override: str) -> str:
    """Returns the key of an override of Hydra's, `[+ ++ ~]key[@package][=value]`, without its sign and package."""
    return override.partition("=")[0].lstrip("+~").partition("@")[0]


def words(text: str) -> list[str]:
    """Returns the words of a variant's text: what stands between spaces, but for those within quotes."""
    return re.findall(r"(?:'(?:\\.|[^'\\])*'|\S)+", text)


def known() -> list[str]:
    """Returns the names of the declared sweeps."""
    return sorted(file.stem for file in FOLDER.glob("*.yaml"))


def read(name: str) -> Declaration:
    """Returns the declared sweep of this name, which is one of `known()`; DeclarationError where its file is wrong."""
    return _read(name, ())


def _read(name: str, through: tuple[str, ...]) -> Declaration:
    file = _file(name)
    try:
        content = yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    except OSError as error:
        raise DeclarationError(f"{file} cannot be read ({error.strerror})") from error
    except (
        yaml.YAMLError,
        ValueError,
        RecursionError,
    ) as error:  # of bytes that are not UTF-8, and lists in themselves
        raise DeclarationError(f"{file} is not YAML: {' '.join(str(error).split())}") from error
    _keys(file, content, KEYS, required=("purpose",))
    for key in ("purpose", "caption"):
        if not isinstance(content.get(key, ""), str):
            raise DeclarationError(f"{file}: {key} {content[key]!r} is not text; put it in quotes")
    columns, include, own = (_list(file, content, key) for key in ("columns", "include", "rows"))
    _each_of(f"{file}: columns", columns, names.IOU_TYPES)
    _each_of(f"{file}: include", include, [other for other in known() if other not in (*through, name)])
    rows = [row for other in include for row in _read(other, (*through, name)).rows]
    own_rows = [_row(name, row, columns or names.IOU_TYPES) for row in own]
    own_names = [row.name for row in own_rows]
    for twice in sorted({row for row in own_names if own_names.count(row) > 1}):
        raise DeclarationError(f"{file} has two rows named {twice!r}; give one of them another name")
    rows += _compared(file, own_rows)
    if not rows:
        raise DeclarationError(f"{file} has no rows; list them in rows, or other files in include")
    matters = content.get("matters")
    if matters is not None and (type(matters) not in (int, float) or not 0 < matters <= 100):
        raise DeclarationError(f"{file}: matters {matters!r} is no difference of AP x 100; write one such as 0.5")
    figures = content.get("figures") or {}
    if not isinstance(figures, dict):
        raise DeclarationError(f"{file}: figures {figures!r} is not a mapping such as {{4: bbox}}")
    _each_of(f"{file}: figures", figures.values(), columns or names.IOU_TYPES)
    return Declaration(
        name=name,
        purpose=content["purpose"],
        caption=content.get("caption", content["purpose"]),
        table=str(content["table"]) if content.get("table") else None,
        columns=tuple(columns),
        figures={str(number): iou_type for number, iou_type in figures.items()},
        matters=matters,
        # A file that is included twice gives its rows once.
        rows=tuple({(row.sweep, row.name): row for row in rows}.values()),
    )


def _row(sweep: str, content: Any, iou_types: Sequence[str]) -> Row:
    where = f"{_file(sweep)}: row {content!r}"
    _keys(where, content, ROW_KEYS, required=("name", "overrides"))
    name, overrides, published = content["name"], content["overrides"], content.get("published") or {}
    if not isinstance(name, str):
        raise DeclarationError(f"{where}: the name {name!r} is not text; put it in quotes")
    where = f"{_file(sweep)}: row {name!r}"
    if not isinstance(overrides, list) or not all(isinstance(item, str) for item in overrides):
        raise DeclarationError(f"{where}: overrides {overrides!r} is not a list such as [aggregation=sum, pre=conv5]")
    if not isinstance(published, dict):
        raise DeclarationError(f"{where}: published {published!r} is not a mapping such as {{bbox: [...]}}")
    _each_of(f"{where}: published", published, iou_types)
    for values in published.values():
        numbers = [value for value in values if type(value) in (int, float)] if isinstance(values, list) else []
        if len(numbers) != len(names.COCO_METRICS) or numbers != values:
            raise DeclarationError(f"{where}: published {values!r} is not six numbers: {' '.join(names.COCO_METRICS)}")
    given = {kind: tuple(values) for kind, values in published.items()}
    return Row(sweep, name, tuple(overrides), given, content.get("baseline"))


def _compared(file: str, rows: list[Row]) -> list[Row]:
    """Returns rows with what each is compared with: the first, in a file where no row names its baseline."""
    if rows and not any(row.baseline for row in rows):
        return [rows[0], *(replace(row, baseline=rows[0].name) for row in rows[1:])]
    for row in rows:
        if row.baseline is not None:
            others = [other.name for other in rows if other.name != row.name]
            _each_of(f"{file}: row {row.name!r}: baseline", [row.baseline], others)
    return rows


def _keys(where: str, content: Any, valid: Sequence[str], required: Sequence[str]) -> None:
    lacks = [key for key in required if not isinstance(content, dict) or content.get(key) is None]
    if lacks:
        raise DeclarationError(f"{where} lacks {' and '.join(lacks)}; its keys are: {', '.join(valid)}")
    _each_of(where, content, valid)


def _list(file: str, content: dict[str, Any], key: str) -> list[Any]:
    value = content.get(key) or []
    if not isinstance(value, list):
        raise DeclarationError(f"{file}: {key} {value!r} is not a list; write it as [..., ...]")
    return value


def _each_of(where: str, values: Iterable[Any], valid: Sequence[str]) -> None:
    for value in values:
        if value not in valid:
            raise DeclarationError(f"{where}: {value!r} is unknown; choose from: {', '.join(valid)}")


def _file(name: str) -> str:
    return f"sweeps/{name}.yaml"
