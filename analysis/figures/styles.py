"""The colour, marker, dashes and name of each variant, the same in every figure of a study."""

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import pandas as pd

from analysis.read import baselines, declarations
from analysis.read.study import Part
from experiments import names

# Okabe and Ito's colours, each moved by at most 18 CIELAB units, so that any two differ by 29 (theirs: 18) for readers
# with normal sight, protanopia and deuteranopia. The first is the baseline's.
COLOURS = ("#111111", "#00549C", "#C03000", "#54A860", "#F0A800", "#54B4FC", "#903C60", "#E490B4")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p", "*")  # one more than colours, so that 72 pairs differ
DASHED = (4.0, 1.6)  # of baselines; lengths in line widths, on and off
DASHES = ((), (1.2, 1.3), (5.5, 1.4, 1.2, 1.4))  # of the others: solid, then for colours that come a second, third time


@dataclass(frozen=True)
class Look:
    """Colour, marker and dashes of a variant; `dashes` are in line widths, on and off, and empty for a solid line."""

    colour: str
    marker: str
    dashes: tuple[float, ...] = ()


PLAIN = Look(COLOURS[1], "o")  # without a variant


@dataclass(frozen=True)
class _Row:
    key: Hashable  # the variant's id; of a row that is not run, its overrides
    baseline: bool  # others are compared with it
    pair: Hashable | None  # the baseline that this row alone is compared with, in a table of several baselines


def of(parts: Sequence[Part]) -> dict[str, Look]:
    """Returns the look of each variant, by its id.

    Two variants of one table differ in colour and marker while there are enough, else in two of colour, marker and
    dashes. Up to 72 variants of a study all differ. Baselines are dashed, and the first is black. If each of several
    baselines has one row, that row has its baseline's colour. Rows that are not run have a reserved look.
    """
    recorded = _recorded(parts)
    tables = [_rows(part, recorded) for part in parts]
    found: dict[Hashable, Look] = {}
    for table in tables:
        for row in table:
            if row.key not in found:
                beside = {one.key for other in tables if row.key in {r.key for r in other} for one in other}
                found[row.key] = _next(row, [found[key] for key in found if key in beside], found)
    return {key: look for key, look in found.items() if isinstance(key, str)}


def labels(part: Part) -> dict[str, str]:
    """Returns each variant's name in a table, by its id: all of its rows, "sum+ = conv 1x1".

    If two variants would have the same name, the file of their row is added: "table3: conv 1x1".
    """
    lines, declaration = part.lines, part.declaration
    prefixes = {f"{row.sweep}: " for row in declaration.rows if row.sweep != declaration.name} if declaration else set()

    def bare(label: str) -> str:
        return next((label.removeprefix(prefix) for prefix in prefixes if label.startswith(prefix)), label)

    served = lines.loc[lines[names.VARIANT_ID] != ""].drop_duplicates([names.VARIANT_ID, "label"])
    told = pd.DataFrame({"id": served[names.VARIANT_ID], "label": served["label"], "bare": served["label"].map(bare)})
    several = told.groupby("bare")["id"].transform("nunique") > 1
    told["bare"] = told["label"].where(several, told["bare"])
    return {str(variant): " = ".join(dict.fromkeys(own["bare"])) for variant, own in told.groupby("id", sort=False)}


def _recorded(parts: Sequence[Part]) -> dict[Hashable, str]:
    """Returns the variant of the declared overrides that have one, in any table."""
    return {
        overrides: line[names.VARIANT_ID]
        for part in parts
        for row, overrides in _declared(part).items()
        for line in part.lines.loc[part.lines["row"] == row].to_dict("records")
        if line[names.VARIANT_ID]
    }


def _declared(part: Part) -> dict[str, Hashable]:
    return {name: frozenset(row.overrides) for name, row in declarations.rows_of(part.declaration).items()}


def _rows(part: Part, recorded: dict[Hashable, str]) -> list[_Row]:
    """Returns a table's variants in its order, each once."""
    overrides = _declared(part)
    keys: dict[Hashable, str] = {}  # -> the row's name
    for line in part.lines.to_dict("records"):
        absent = overrides.get(line["row"], line["row"])
        key = line[names.VARIANT_ID] or recorded.get(absent) or (absent,)
        keys.setdefault(key, line["row"])
    baseline_of = baselines.of_rows(part)
    uses = Counter(baseline_of.values())
    first = {name: key for key, name in reversed(list(keys.items()))}
    rows = []
    for key, name in keys.items():
        other = baseline_of.get(name)
        paired = other in first and len(uses) > 1 and uses[other] == 1
        rows.append(_Row(key, name in uses, first[other] if other and paired else None))
    return rows


def _next(row: _Row, beside: Sequence[Look], found: dict[Hashable, Look]) -> Look:
    """Returns a look for a row whose tables have the looks `beside`, in a study with the looks `found`."""
    colours = Counter(look.colour for look in found.values())
    markers = Counter(look.marker for look in found.values())
    taken = Counter(look.colour for look in beside)
    dashes: tuple[float, ...] = ()
    if row.pair in found:
        colour = found[row.pair].colour
    else:
        # Black is left to baselines while other colours are free.
        colour = min(COLOURS if row.baseline else COLOURS[1:], key=lambda one: (taken[one], colours[one]))
        if row.baseline and not any(look.dashes == DASHED for look in found.values()):
            colour = COLOURS[0]
        dashes = DASHED if row.baseline else DASHES[taken[colour] % len(DASHES)]
    near = Counter(look.marker for look in beside)
    alike = Counter(look.marker for look in found.values() if look.colour == colour)
    marker = min(MARKERS, key=lambda one: (near[one], alike[one], markers[one]))
    return Look(colour, marker, dashes)
