"""Shows a plan: its table before it runs, its file, and the states of its trials afterwards."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from experiments import files, names, output_folder
from experiments.console import console
from experiments.declared import words
from experiments.paths import TrialPaths
from experiments.planning.plan import Entry, Plan, device_hours, least_hours
from experiments.reading import DamagedError
from experiments.trial import attempts, completeness

SHOWN = 60  # trials in the table on the terminal; the plan's file has all
UNKNOWN = (
    "?: this output folder has no measurement of a similar trial. With dry_run=true, calibrate=true trains each such "
    "variant for some seconds; resources.gmacs_per_second=... estimates from multiply-adds and the throughput that you "
    "state"
)


def show(plan: Plan) -> None:
    """Prints the plan: every trial, its state, and the decision on it."""
    count = sum(entry.stale for entry in plan.entries)
    stale = f", {count} stale" if count else ""
    title = f"{plan.title}: {plan.rows} rows, {len(plan.entries)} unique trials, {len(plan.to_run)} to run{stale}"
    console.print(title + total(plan), markup=False, style="bold")
    table = Table()
    for column in ("variant", "seed", "rows", "state", "device-hours"):
        table.add_column(column, overflow="fold", justify="right" if column == "device-hours" else "left")
    shared = _shared_words(plan)
    listed = plan.entries if len(plan.entries) <= SHOWN else sorted(plan.entries, key=lambda entry: not entry.runs)
    for entry in listed[:SHOWN]:
        state = f"{entry.state.lower()}{': ' if entry.why else ''}{entry.why}"
        rows = max((len(served) for served in entry.memberships.values()), default=0)
        hours = entry.cost.device_hours
        cost = "?" if hours is None else as_hours(hours)
        cells = (
            " ".join(word for word in words(entry.trial.variant) if word not in shared),
            str(entry.trial.seed),
            str(max(rows, 1)),
            state,
            cost if entry.runs else "",
        )
        table.add_row(*(Text(cell) for cell in cells), style="" if entry.runs else "dim")
    console.print(table)
    if len(plan.entries) > SHOWN:
        console.print(f"... and {len(plan.entries) - SHOWN} more")
    sources = dict.fromkeys(entry.cost.source for entry in plan.to_run)
    if sources:
        console.print(f"estimated from: {'; '.join(sources)}", markup=False)
    if any(entry.cost.device_hours is None for entry in plan.to_run):
        console.print(UNKNOWN, markup=False)
    for note in dict.fromkeys(filter(None, (entry.trial.note for entry in plan.to_run))):
        console.print(f"note: {note}", markup=False)


def total(plan: Plan) -> str:
    """Returns the estimate for the trials to run, ", about 2 device-hours"; "" if there is none."""
    known, least = device_hours(plan), least_hours(plan)
    return f", {'about' if known else 'at least'} {as_hours(least)} device-hours" if least else ""


def as_hours(hours: float) -> str:
    """Returns device-hours as text."""
    return f"{hours:.2g}" if hours < 10 else f"{hours:,.0f}"


def _shared_words(plan: Plan) -> set[str]:
    """Returns the settings that all variants share; the title has them."""
    settings = [set(words(trial.variant)[2:]) for trial in plan.trials]  # without architecture and aggregation
    return set.intersection(*settings) if len({trial.variant_id for trial in plan.trials}) > 1 else set()


def write(plan: Plan) -> Path:
    """Writes the plan as JSON and returns the file."""
    path = plan.outputs.plan(names.sweep_key(plan.title))
    output_folder.mark(plan.outputs.root)
    path.parent.mkdir(exist_ok=True)
    trials = [
        {
            "id": entry.trial.trial_id,
            "variant": entry.trial.variant,
            "seed": entry.trial.seed,
            "overrides": list(entry.trial.overrides),
            "state": entry.state.lower(),
            "to_run": entry.runs,
            "stale": entry.stale,
            "why": entry.why,
            "rows": entry.memberships,
            "device_hours": entry.cost.device_hours,
            "estimated_from": entry.cost.source,
            "gmacs": entry.cost.gmacs,
        }
        for entry in plan.entries
    ]
    content: dict[str, Any] = {"sweeps": plan.sweeps, "rows": plan.rows, "unique_trials": len(trials), "trials": trials}
    content |= {"device_hours": device_hours(plan), "device_hours_at_least": least_hours(plan)}
    content |= {"made": datetime.now(UTC).isoformat()}
    files.sweep(path.parent)
    files.write(path, json.dumps(content, indent=2))
    return path


def summarize(plan: Plan) -> bool:
    """Prints the states of the plan's trials and the command to read them; returns whether all are finished."""
    left_out = {entry.trial.trial_id: entry.why for entry in plan.entries if _is_left_out(entry)}
    states = {entry.trial.trial_id: attempts.state(entry.trial.paths.root) for entry in plan.entries}
    states |= dict.fromkeys(left_out, attempts.DAMAGED)
    unfinished = {trial: state for trial, state in states.items() if state != names.FINISHED}
    finished = [entry.trial for entry in plan.entries if entry.trial.trial_id not in unfinished]
    # Matches of a trial that another command trained in the meantime are made by that command.
    ours = {entry.trial.trial_id for entry in plan.entries if entry.runs or entry.state != names.RUNNING}
    unmatched = {one.trial_id: why for one in finished if one.trial_id in ours and (why := _unmatched(one.paths))}
    console.print(f"{len(states) - len(unfinished)} of {len(states)} trials finished")
    failed_for_good = False
    for trial, state in unfinished.items():
        attempt, flaw = _last(plan.outputs.trial(trial))
        reason = left_out.get(trial) or flaw or (attempt.reason if attempt else None)
        console.print(f"  {state.lower()}  {trial}{f': {reason}' if reason else ''}", markup=False)
        failed_for_good |= attempt is not None and state == names.FAILED and not attempt.transient
    if failed_for_good:
        console.print("the same command resumes the others; with retry.failed=true it also retries the failed trials")
    elif set(unfinished.values()) == {names.RUNNING}:
        command = plan.place.command("experiments", "status", "--watch")
        console.print(f"another command still trains them: {command}", markup=False)
    elif set(unfinished.values()) - {attempts.DAMAGED}:
        console.print("the same command resumes them")
    elif not unfinished and not unmatched:
        command = plan.place.command("analysis", "table", "--sweep", "last")
        console.print(f"read them: {command}   or in MLflow: {plan.place.pages()}", markup=False)
    for trial_id, why in unmatched.items():
        console.print(f"  finished  {trial_id}, without matches.npz: {why}", style="yellow", markup=False)
    if unmatched:
        console.print(
            "the same command makes matches.npz, without training; tables have all other results", style="yellow"
        )
    return not unfinished and not unmatched


def _is_left_out(entry: Entry) -> bool:
    return entry.state == attempts.DAMAGED and not entry.runs


def _unmatched(paths: TrialPaths) -> str | None:
    try:
        return completeness.of(paths).matches
    except DamagedError as error:
        return str(error)


def _last(paths: TrialPaths) -> tuple[attempts.Attempt | None, str | None]:
    """Returns the newest attempt at a trial, or why it cannot be read."""
    try:
        return attempts.last(paths.root), None
    except DamagedError as error:
        return None, str(error)
