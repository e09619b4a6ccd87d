"""The rules of `seed=auto` for a command: the recorded rules of its sweeps, or new ones."""

from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime

from experiments import names, seeds
from experiments.errors import UserError
from experiments.paths import OutputPaths
from experiments.planning.plan import Plan
from experiments.reading import DamagedError
from experiments.seeds import FIXED, Recorded, Rules
from experiments.settings import Seeds
from experiments.trial import attempts, described


def agreed(
    outputs: OutputPaths, asked: Iterable[str], others: Iterable[str], given: Seeds, typed: Iterable[str]
) -> dict[str, Recorded]:
    """Returns the rules of each sweep, all with the same values; UserError if the command would change them.

    Args:
        outputs: folder whose trials keep the rules of their sweeps.
        asked: sweeps of the command.
        others: sweeps that share their rows: they keep their rules, or get these.
        given: the rules in the command's configuration.
        typed: names of the rules that were typed; for the others, recorded rules apply if there are any.
    """
    known, now = recorded(outputs), datetime.now(UTC).isoformat()
    begun = {sweep: known[sweep] for sweep in asked if sweep in known}
    if not begun:
        return dict.fromkeys([*asked, *others], _new(given, now)) | {one: known[one] for one in others if one in known}
    first = seeds.earliest(*begun.values())
    for sweep, own in begun.items():
        for name in FIXED:
            if getattr(own, name) != getattr(first, name):
                raise UserError(
                    f"seeds.{name} is {getattr(own, name)} in {sweep} and {getattr(first, name)} in another of these "
                    "sweeps; run them with two commands"
                )
    for name in FIXED:
        old = getattr(first, name)
        if name in typed and getattr(given, name) != old:
            raise UserError(
                f"seeds.{name}={getattr(given, name)} is refused: since {first.when:%Y-%m-%d %H:%M} UTC this study has "
                f"seeds.{name}={old}, and its rules cannot be changed; leave it out, or give another output_dir"
            )
    hours = given.budget if "budget" in typed else first.rules.budget
    found = {sweep: known.get(sweep, Recorded.of(first.rules, now)) for sweep in (*asked, *others)}
    return {sweep: one.with_budget(hours, now) if sweep in asked else one for sweep, one in found.items()}


def _new(given: Seeds, now: str) -> Recorded:
    try:
        return Recorded.of(Rules(**given.model_dump()), now)
    except ValueError as error:
        raise UserError(str(error)) from error


def recorded(outputs: OutputPaths) -> dict[str, Recorded]:
    """Returns the rules that the trials of a folder keep, by sweep: the earliest of each sweep."""
    found: dict[str, list[Recorded]] = {}
    for paths in described.folders(outputs):
        with suppress(DamagedError):  # which the plan reports
            tags = described.without_record(paths)["sweeps"]
            for tag, sweep in tags.items():
                text = tags.get(names.RULES + tag.removeprefix(names.SWEEP)) if tag.startswith(names.SWEEP) else None
                if text is not None:
                    found.setdefault(sweep, []).append(seeds.read(text))
    return {sweep: seeds.earliest(*several) for sweep, several in found.items()}


def finished_before(plan: Plan, made: datetime) -> int:
    """Returns how many trials of a plan were finished before its rules were made."""
    count = 0
    for entry in plan.entries:
        with suppress(DamagedError):
            attempt = attempts.last(entry.trial.paths.root)
            count += attempt is not None and attempt.state == names.FINISHED and attempt.heard < made.timestamp()
    return count


def device_hours(plan: Plan) -> float:
    """Returns the device-hours of all attempts at a plan's trials so far."""
    seconds = 0.0
    for entry in plan.entries:
        with suppress(DamagedError):
            seconds += attempts.device_seconds(attempts.every(entry.trial.paths.root))
    return seconds / 3600
