"""A declared sweep that was never asked for, from the trials of others that are."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from analysis.__main__ import main
from analysis.read import borrowed, frames
from experiments import declared, names
from experiments.errors import UserError
from tests.support.drawn import study as drawn

ROOT = Path(__file__).parents[3]


def test_modules_are_rows_of_the_papers_study() -> None:
    found = drawn("paper")
    runs = borrowed.of_other_sweeps(found.runs, "modules")
    assert frames.find_sweep(runs, "modules", "here") == "modules"
    (part,) = replace(found, sweep="modules", runs=runs).parts
    rows = [row.name for row in declared.read("modules").rows]
    assert list(dict.fromkeys(part.lines["row"])) == rows
    lacking = set(part.lines.loc[part.lines["trial_id"] == "", "row"])
    assert lacking == {"GRoIE"}  # the paper's is declared by its architecture too
    of_row = part.lines.loc[part.lines["row"] == "conv 5x5 after", names.VARIANT]
    assert set(of_row) == {"aggregation=sum post=conv5"}


def test_rows_are_borrowed_only_from_sweeps_with_the_same_overrides() -> None:
    found = drawn("core")
    assert borrowed.of_other_sweeps(found.runs, "modules recipe=upstream") == found.runs
    core, modules = (names.sweep_key(f"{sweep} recipe=upstream") for sweep in ("core", "modules"))
    typed = []
    for run in found.runs:
        tags = {names.SWEEP + core: "core recipe=upstream", names.ROWS + core: run.tags[names.ROWS + "core"]}
        typed.append(replace(run, tags={**run.tags, **tags}))
    told = borrowed.of_other_sweeps(typed, "modules recipe=upstream")
    served = [json.loads(run.tags.get(names.ROWS + modules, "[]")) for run in told]
    assert {row for rows in served for row in rows} == {"sum", "conv 5x5 before", "GRoIE"}


def test_sweeps_that_have_runs_or_share_none_borrow_nothing() -> None:
    found = drawn("core")
    assert borrowed.of_other_sweeps(found.runs, "core") == found.runs
    assert borrowed.of_other_sweeps(found.runs, "pre=conv5") == found.runs
    with pytest.raises(UserError, match="no sweep 'table5' in here"):
        frames.find_sweep(borrowed.of_other_sweeps(drawn("fidelity").runs, "table5"), "table5", "here")


def test_the_front_page_says_what_the_command_prints(capsys: pytest.CaptureFixture[str]) -> None:
    """README's table of modules against the plain sum."""
    assert main(["table", "--sweep", "modules", "--detail", "--from", str(ROOT / "results" / "paper")]) == 0
    printed = capsys.readouterr().out.partition("How sure: box AP")[2]
    page = (ROOT / "README.md").read_text()
    for row in ("conv 1x1", "conv 3x3", "conv 5x5", "non-local", "attention", "GRoIE"):
        (line,) = re.findall(rf"^{row}(?: before)? +\d.*", printed, re.MULTILINE)
        (shown,) = re.findall(rf"^\| (?:conv 5x5.*\()?{row}\)? \| ([^\n]*) \| [^|]* \|$", page, re.MULTILINE)
        _, own, difference, p = (cell.strip() for cell in shown.split("|"))
        found = re.search(r"sum +(\S+) +(\[.*?\]) +([\d.]+(?: \*)?) ", line)
        assert found is not None
        assert (difference, p) == (f"{found[1]} {found[2]}", found[3])
        assert line.split(row)[1].replace("before", "").split()[0] == own
