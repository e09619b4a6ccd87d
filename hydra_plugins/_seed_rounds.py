"""`seed=auto`: rounds of ordinary plans, each with the seeds that open comparisons need.

A round depends only on the output folder and MLflow, so the same command resumes after a kill. Rows with the fewest
seeds come first: an interrupted round is completed before another seed is added. The underscore in the name prevents
Hydra from importing this file with its plugins.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from experiments import names, output_folder, overrides
from experiments.console import console
from experiments.errors import UserError
from experiments.paths import OutputPaths
from experiments.planning import folders, plan, rounds, rules, summary, sweep
from experiments.planning.compose import Compose
from experiments.planning.plan import Entry, Plan
from experiments.reading import DamagedError
from experiments.seeds import OPEN, Rules
from experiments.trial import attempts, described
from hydra_plugins import _seed_decisions
from hydra_plugins._seed_decisions import Decided

Counts = dict[str, int]  # variant -> how many seeds of it a plan has


def run(arguments: list[str], compose: Compose, show: Callable[[Plan], None], train: Callable[[Plan], bool]) -> None:
    """Trains rounds until no comparison is open that more seeds may decide, or the budget is spent.

    Args:
        arguments: of the command line.
        compose: as `plan.make` takes it.
        show: shows and writes a plan without starting it.
        train: launches a plan; returns whether it was asked to stop.

    Exits with code 1 if a trial did not finish; after Ctrl-C starts no other round.
    """
    study = Rounds(arguments, compose)
    study.say_rules()
    if study.whole.settings.dry_run:
        turn = study.turn()
        show(turn.plan)
        console.print(rounds.shown(study.told(turn)))
        return
    while True:
        turn = study.turn()
        told = study.told(turn)
        console.print(rounds.shown(told))
        if study.why_not(turn):
            break
        study.keep(told)
        stopped = train(turn.plan)
        study.launched |= {entry.trial.trial_id for entry in turn.plan.to_run}
        if stopped or study.ends_at_first_failure(turn):
            summary.summarize(turn.plan)
            raise KeyboardInterrupt if stopped else SystemExit(1)
    study.keep(told)
    study.freeze(turn)
    if not summary.summarize(turn.reached):
        raise SystemExit(1)


@dataclass(frozen=True)
class Turn:
    """The decisions before a round, the plan of the round, and the part of that plan that was trained before."""

    decided: tuple[Decided, ...]
    plan: Plan
    reached: Plan


class Rounds:
    """A command's study: its sweeps, and each row with every seed that it may get."""

    def __init__(self, arguments: list[str], compose: Compose) -> None:
        """Composes the rows; UserError for errors of an ordinary plan, changed rules, and a single variant."""
        rows = sweep.requests(arguments)
        firsts = plan.trials_of([row.seeded(0) for row in rows], compose)
        if len({trial.variant_id for trial in firsts}) < 2:
            raise UserError(
                "seed=auto compares variants, but this is only one; give a list, as in pre=none,conv5, or a declared "
                "sweep"
            )
        output_folder.accept_of(trial.settings.output_dir for trial in firsts)
        asked = dict.fromkeys(row.sweep for row in rows)
        others = dict.fromkeys(one for row in rows for one in row.memberships if one not in asked)
        settings = firsts[0].settings
        outputs, typed = OutputPaths(Path(settings.output_dir)), sweep.rules_typed(arguments)
        self.agreed = rules.agreed(outputs, asked, others, settings.seeds, typed)
        self.rules: Rules = self.agreed[rows[0].sweep].rules
        overrides.check_trials(len(rows) * self.rules.most)
        made = plan.make([row.seeded(seed) for row in rows for seed in range(self.rules.most)], compose)
        self.whole = replace(made, rules={one: kept.text() for one, kept in self.agreed.items()})
        self.launched: set[str] = set()  # trials of this command: none is launched twice

    def say_rules(self) -> None:
        """Prints the rules, and how many trials were finished before they were made."""
        made = min(self.agreed[one].when for one in self.whole.sweeps)
        budget = "no budget" if self.rules.budget is None else f"{self.rules.budget:g} device-hours"
        console.print(
            f"seed=auto: {self.rules.first} to {self.rules.most} seeds a row, alpha {self.rules.alpha:g}, {budget}; "
            f"rules of {made:%Y-%m-%d %H:%M} UTC"
        )
        if before := rules.finished_before(self.whole, made):
            were = "trial was" if before == 1 else "trials were"
            console.print(f"{before} {were} finished before these rules were made; tables say so", style="yellow")

    def turn(self) -> Turn:
        """Looks at all trials, decides from the finished ones, and returns the next round."""
        self.whole = plan.looked_at_again(self.whole)
        for entry in self.whole.entries:
            entry.runs = entry.runs and entry.trial.trial_id not in self.launched
        reached = wanted = {variant: max(self.rules.first, self._finished(variant)) for variant in self._rows}
        decided: tuple[Decided, ...] = ()
        if not self._part(reached).to_run:
            dry = self.whole.settings.dry_run
            self._join(self._part(reached), dry)
            decided = _seed_decisions.of(self.whole, {one: kept.rules for one, kept in self.agreed.items()}, dry)
            pairs = [one.pair for one in decided if one.decision.state == OPEN and {*one.pair} <= self._rows.keys()]
            held = {one for pair in pairs for one in pair if self._is_held(one)}
            reached |= {one: max(reached[one], self._finished(one) + 1) for one in held}
            wanted = reached | self._next([pair for pair in pairs if not held & {*pair}])
        return Turn(decided, self._part(wanted), self._part(reached))

    def _next(self, open_pairs: list[tuple[str, str]]) -> Counts:
        """Returns one more seed for the open comparisons that have the fewest."""
        most = self.rules.most
        seeds = {pair: min(map(self._finished, pair)) for pair in open_pairs}
        fewest = min(seeds.values(), default=most)
        next_ones = {one for pair in seeds for one in pair if seeds[pair] == fewest < most}
        return {one: max(fewest + 1, self._finished(one)) for one in next_ones}

    def why_not(self, turn: Turn) -> str:
        """Returns why a round is not launched, "" if it is launched."""
        if not turn.plan.to_run:
            left = sum(one.decision.state == OPEN for one in turn.decided)
            return "nothing is left to train" + (f": {left} open, because trials did not finish" * bool(left))
        if self.rules.budget is None:
            return ""
        spent, needs = rules.device_hours(self.whole), plan.least_hours(turn.plan)
        if spent + needs <= self.rules.budget:
            return ""
        of = f"{summary.as_hours(spent)} of {self.rules.budget:g} device-hours spent"
        return f"budget: {of}; the next round would take {summary.as_hours(needs)}"

    def told(self, turn: Turn) -> rounds.Round:
        """Returns the state of the study before a round, as `status` shows it."""
        count = len(turn.plan.to_run)
        cost = summary.total(turn.plan) or ", of a cost that is not known yet"
        coming = self.why_not(turn) or f"next round: {count} trial{'s' * (count != 1)}{cost}"
        return rounds.Round(self.whole.sweeps, tuple(one.line for one in turn.decided), coming)

    def keep(self, told: rounds.Round) -> None:
        """Writes the state of the study for `status`, once it has trials."""
        if self.whole.outputs.trials.exists():
            rounds.write(self.whole.outputs, told)

    def freeze(self, turn: Turn) -> None:
        """Gives started trials the sweeps and their rules, if no round does so."""
        self._freeze([one for one in turn.reached.entries if not one.runs and one.state != attempts.TO_DO])

    def _join(self, reached: Plan, dry: bool) -> None:
        """Makes finished trials of other sweeps members of these sweeps, because decisions use only a sweep's members.

        Raises UserError in a dry run, which writes nothing.
        """
        tags = {names.RULES + names.sweep_key(one) for one in self.whole.sweeps}
        strangers = [one for one in reached.entries if one.state == names.FINISHED and not tags & _tags(one)]
        if strangers and dry:
            raise UserError(
                f"{len(strangers)} finished trials must join this sweep first; give the command without dry_run, which "
                "trains only open comparisons"
            )
        self._freeze(strangers)

    def _freeze(self, entries: list[Entry]) -> None:
        if entries:
            folders.freeze(replace(self.whole, entries=tuple(entries)))

    def ends_at_first_failure(self, turn: Turn) -> bool:
        """Returns whether `fail_fast` ends the rounds, because a trial of the last round did not finish."""
        if not self.whole.settings.fail_fast:
            return False
        return any(entry.state != names.FINISHED for entry in plan.looked_at_again(turn.plan).entries)

    @cached_property
    def _rows(self) -> dict[str, None]:
        return dict.fromkeys(trial.variant_id for trial in self.whole.trials)

    @property
    def _entries(self) -> dict[tuple[str, int], Entry]:
        return {(entry.trial.variant_id, entry.trial.seed): entry for entry in self.whole.entries}

    def _finished(self, variant: str) -> int:
        """Returns how many seeds of a variant are finished, counted from seed 0 to the first gap."""
        entries, seed = self._entries, 0
        while (variant, seed) in entries and entries[variant, seed].state == names.FINISHED:
            seed += 1
        return seed

    def _is_held(self, variant: str) -> bool:
        """Returns whether the next seed of a variant cannot be trained now: it failed, or another command trains it."""
        following = self._entries.get((variant, self._finished(variant)))
        return following is not None and not following.runs

    def _part(self, counts: Counts) -> Plan:
        """Returns the plan with these numbers of seeds of each variant, and all trials launched by this command."""
        entries = [
            entry
            for entry in self.whole.entries
            if entry.trial.seed < counts[entry.trial.variant_id] or entry.trial.trial_id in self.launched
        ]
        return replace(self.whole, entries=tuple(entries))


def _tags(entry: Entry) -> set[str]:
    """Returns the tags of a trial's sweeps; none if `trial.json` is damaged, which is then written again."""
    with suppress(DamagedError):
        return set(described.without_record(entry.trial.paths)["sweeps"])
    return set()
