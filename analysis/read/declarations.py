"""Finds the file of sweeps/ that declares a sweep, a table's number or a figure's, and the command to run it."""

import shlex
from collections.abc import Iterable, Sequence

from experiments import declared
from experiments.declared import Declaration, Row, key_of
from experiments.errors import UserError

ROMAN = ("I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII")


def of_sweep(sweep: str) -> Declaration | None:
    """Returns the declaration of a recorded sweep; None for a typed sweep, or if the file is gone.

    Words that were typed with a declared sweep follow its name: "table1 recipe=paper,upstream". Raises UserError if
    the file is wrong.
    """
    name = sweep.partition(" ")[0]
    return declared.read(name) if name in declared.known() else None


def rows_of(declaration: Declaration | None) -> dict[str, Row]:
    """Returns the declared rows by the names in tables, in the file's order; none for a typed sweep."""
    return {row.name_in(declaration.name): row for row in declaration.rows} if declaration else {}


def numbered(number: str) -> str:
    """Returns the name of the sweep that is declared as a table of this number, "3" or "III"."""
    tables = {found.table: name for name in declared.known() if (found := of_sweep(name)) and found.table}
    roman = ROMAN[int(number) - 1] if number.isdecimal() and 0 < int(number) <= len(ROMAN) else number.upper()
    for spelt in (number, roman):
        if spelt in tables:
            return tables[spelt]
    known = ", ".join(f"{table} ({name})" for table, name in tables.items()) or "none"
    raise UserError(f"no file in sweeps/ declares table {number!r}; declared: {known}; name others with --sweep")


def drawn(number: str) -> tuple[str, str]:
    """Returns the sweep that declares the paper's figure of this number, and the IoU type whose AP it draws."""
    figures = {
        one: (name, kind)
        for name in declared.known()
        if (found := of_sweep(name))
        for one, kind in found.figures.items()
    }
    if number not in figures:
        known = ", ".join(f"{one} ({name}, {kind})" for one, (name, kind) in sorted(figures.items())) or "none"
        raise UserError(f"no file in sweeps/ declares figure {number!r}; declared: {known}; name sweeps with --sweep")
    return figures[number]


def whole(sweep: str) -> str:
    """Returns the largest declared sweep that includes a sweep, with the same typed words; else the sweep itself."""
    name, space, typed = sweep.partition(" ")
    including = [
        found
        for other in declared.known()
        if other != name and (found := of_sweep(other)) and any(row.sweep == name for row in found.rows)
    ]
    if not including:
        return sweep
    return max(including, key=lambda found: len(found.rows)).name + space + typed


def data_root(overrides: Iterable[str]) -> str:
    """Returns the last override of the data's folder, "dataset.root=data/mine"; "" if there is none.

    It is not part of a trial's id, so the sweep's name does not have it.
    """
    found = [word.lstrip("+") for word in overrides if key_of(word) == "dataset.root"]
    return found[-1] if found else ""


def command(sweep: str, seeds: Sequence[str] = (), root: str = "") -> str:
    """Returns the command line that runs a declared sweep, with the words that were typed with it and all its seeds.

    `root` is that of `data_root`.
    """
    more = [f"seed={','.join(seeds)}"] if set(seeds) - {"", "0"} else []  # without seed=, the seed is 0
    words = (*f"sweep={sweep}".split(" "), *filter(None, [root]), *more)
    return "python run.py -m " + " ".join(shlex.quote(word) for word in words)
