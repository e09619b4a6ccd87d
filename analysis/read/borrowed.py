"""Finds trials of a declared sweep that never ran among the trials of other declared sweeps."""

import json
from collections.abc import Iterable
from dataclasses import replace

from analysis.read import declarations
from analysis.read.runs import Run
from experiments import names

Overrides = frozenset[str]


def of_other_sweeps(runs: list[Run], sweep: str) -> list[Run]:
    """Returns the runs, with the tags of a declared sweep added to runs that train one of its rows.

    A run trains a row if it belongs to a row of another declared sweep with the same overrides, and the same words were
    typed after both sweeps' names. If a run already belongs to the sweep, no run is changed.
    """
    key = names.sweep_key(sweep)
    declaration = declarations.of_sweep(sweep)
    if declaration is None or any(run.tags.get(names.SWEEP + key) == sweep for run in runs):
        return runs
    found = []
    for run in runs:
        served = _served(run, sweep.partition(" ")[2])
        rows = [name for name, row in declarations.rows_of(declaration).items() if frozenset(row.overrides) in served]
        tags = {names.SWEEP + key: sweep, names.ROWS + key: json.dumps(rows)} if rows else {}
        found.append(replace(run, tags={**run.tags, **tags}))
    return found


def _served(run: Run, typed: str) -> set[Overrides]:
    """Returns the overrides of the declared rows that a run is of, in sweeps with these words after their names."""
    found: set[Overrides] = set()
    for tag, sweep in run.tags.items():
        if tag.startswith(names.SWEEP) and sweep.partition(" ")[2] == typed:
            rows = json.loads(run.tags.get(names.ROWS + tag.removeprefix(names.SWEEP), "[]"))
            found |= set(_overrides(sweep, rows))
    return found


def _overrides(sweep: str, rows: Iterable[str]) -> Iterable[Overrides]:
    declared = declarations.rows_of(declarations.of_sweep(sweep))
    return (frozenset(declared[row].overrides) for row in rows if row in declared)
