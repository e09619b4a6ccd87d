"""What a person sees of a plan before anything runs."""

from rich.table import Table
from rich.text import Text

from experiments.console import console
from experiments.declared import words
from experiments.planning.plan import Plan, device_hours, least_hours

SHOWN = 60  # trials in the table on the terminal; the plan's file has all
UNKNOWN = (
    "?: nothing alike was measured in this output folder. With dry_run=true, calibrate=true trains each such variant "
    "for some seconds, and resources.gmacs_per_second=... counts multiply-adds at the throughput that you state"
)


def show(plan: Plan) -> None:
    """Prints the plan: every trial, its state, and what is to be done about it."""
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
    """Returns what the trials to run will cost, ", about 2 device-hours"; "" where nothing is known of it."""
    known, least = device_hours(plan), least_hours(plan)
    return f", {'about' if known else 'at least'} {as_hours(least)} device-hours" if least else ""


def as_hours(hours: float) -> str:
    """Returns device-hours as people read them."""
    return f"{hours:.2g}" if hours < 10 else f"{hours:,.0f}"


def _shared_words(plan: Plan) -> set[str]:
    """Returns the settings that all variants have in common, which the title tells already."""
    settings = [set(words(trial.variant)[2:]) for trial in plan.trials]  # but for architecture and aggregation
    return set.intersection(*settings) if len({trial.variant_id for trial in plan.trials}) > 1 else set()
