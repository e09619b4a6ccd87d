"""The looks at a study while seeds were added, and each comparison at each look."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np

from analysis.read.runs import Run
from analysis.read.study import Part, Study
from analysis.statistics import means, noise_groups, sequential
from analysis.statistics.contrasts import Contrasts
from analysis.statistics.images import Draws, Estimate
from analysis.statistics.means import Interval
from experiments import names, seeds
from experiments.seeds import Recorded

MOST = 10  # without rules, seeds at which all of alpha is spent; or twice the seeds of the first look

Trial = tuple[str, str]  # variant, seed


@dataclass(frozen=True)
class Look:
    """A row's difference from its baseline when both had this number of seeds."""

    seeds: int
    found: Estimate
    alone: float  # p by the noise that the two rows' own seeds show


@dataclass(frozen=True)
class Rounds:
    """The rounds in which a study's seeds came.

    Args:
        of_trial: round of each trial, from 0; trials without a round are not tested.
        rules: of `seed=auto`; None where seeds were added by hand.
        before: trials whose result was there before the rules were made.
    """

    of_trial: Mapping[Trial, int]
    rules: Recorded | None
    before: int = 0

    @property
    def count(self) -> int:
        return max(self.of_trial.values(), default=-1) + 1

    def until(self, values: noise_groups.Values, number: int) -> noise_groups.Values:
        """Returns the values of the trials of a round and those before."""
        trials = {trial for trial, came in self.of_trial.items() if came <= number}
        known = {
            variant: {seed: value for seed, value in own.items() if (variant, seed) in trials}
            for variant, own in values.items()
        }
        return {variant: own for variant, own in known.items() if own}


@dataclass(frozen=True)
class Repeated:
    """All looks at one comparison."""

    looks: tuple[Look, ...]
    rules: Recorded | None

    @property
    def most(self) -> int:
        """Returns the seeds at which all of alpha is spent; looks at more seeds are ignored."""
        return self.rules.most if self.rules else max(MOST, 2 * self.looks[0].seeds)

    @property
    def _design(self) -> tuple[float, ...]:
        """Returns the seeds of all looks, including future ones."""
        if self.rules:
            return tuple(map(float, range(self.rules.first, self.most + 1)))
        return tuple(float(look.seeds) for look in self.looks)

    @property
    def alpha(self) -> float:
        return self.rules.alpha if self.rules else means.ALPHA

    @property
    def p(self) -> float:
        """Returns the sequential p-value, by the noise that intervals are made with."""
        return self._sequential({look.seeds: look.found.p for look in self.looks})

    @property
    def alone(self) -> float:
        """Returns the sequential p-value by the noise of the two rows' own seeds."""
        return self._sequential({look.seeds: look.alone for look in self.looks})

    def level(self, at: int) -> float:
        """Returns the level of the interval of a look, so that the intervals of all looks hold simultaneously.

        The repeated confidence interval (Jennison and Turnbull 1989, JRSS B 51:305).
        """
        nominal = sequential.nominal_levels(self._design, float(self.most), self.alpha)
        return 1 - nominal[self._design.index(at)]

    @property
    def intervals(self) -> list[Interval]:
        """Returns the interval of each look; `n` is its seeds."""
        return [look.found.interval(look.seeds, self.level(look.seeds)) for look in self.looks]

    def _sequential(self, of_look: Mapping[int, float]) -> float:
        nominal = np.array([of_look.get(int(n), np.nan) for n in self._design])
        return float(sequential.p_values(nominal, self._design, float(self.most))[-1])


def of(study: Study, part: Part, name: str) -> Rounds | None:
    """Returns the rounds of a table's trials; None if all seeds were planned before the first result.

    Args:
        name: of the metric.
    """
    runs = _runs(study, part)
    rules = _rules(runs)
    if rules:
        found = {}
        for trial in runs:
            variant, seed = trial
            if seed.isdecimal() and int(seed) < rules.most:
                found[variant, seed] = max(0, int(seed) + 1 - rules.first)
        made = _milliseconds(rules.made)
        return Rounds(found, rules, sum(moment < made for moment in _last_moments(study, runs.values(), name)))
    by_hand = Rounds(_by_hand(study, runs, name), None)
    return by_hand if by_hand.count > 1 else None


def repeated(
    study: Study, name: str, rounds: Rounds, drawn: Mapping[str, Draws], pairs: Iterable[tuple[str, str]]
) -> dict[str, Repeated]:
    """Returns the looks at each row and its baseline, by the row's variant.

    A round is a look at a comparison if it raised the number of seeds that both rows have to at least two.
    """
    known, wanted = noise_groups.values(study, name), list(pairs)
    looks: dict[str, list[Look]] = {variant: [] for variant, _ in wanted}
    for number in range(rounds.count):
        values = rounds.until(known, number)
        noises = means.row_noises(noise_groups.groups(study, _with_others(known, values, rounds)))
        table = Contrasts(values, noises, _restricted(drawn, values))
        for variant, other in wanted:
            if variant not in values or other not in values or means.twin(values[variant], values[other]):
                continue
            n, before = table.common(variant, other), looks[variant]
            if n > max(1, before[-1].seeds if before else 1):
                alone = table.difference(variant, other, alone=True, cautious=True).p
                before.append(Look(n, table.difference(variant, other), alone))
    found = {variant: Repeated(tuple(own), rounds.rules) for variant, own in looks.items() if own}
    return {
        variant: replace(one, looks=tuple(look for look in one.looks if look.seeds <= one.most))
        for variant, one in found.items()
    }


def _with_others(known: noise_groups.Values, values: noise_groups.Values, rounds: Rounds) -> noise_groups.Values:
    """Returns values with those of rows outside the table, which only add to the pooled noise."""
    members = {variant for variant, _ in rounds.of_trial}
    return values | {variant: own for variant, own in known.items() if variant not in members}


def _restricted(drawn: Mapping[str, Draws], values: noise_groups.Values) -> dict[str, Draws]:
    found: dict[str, Draws] = {}
    for variant, own in drawn.items():
        if variant in values:
            found[variant] = Draws(
                {row: {seed: of[seed] for seed in values[row]} for row, of in own.values.items() if row in values},
                own.images,
            )
    return found


def _runs(study: Study, part: Part) -> dict[Trial, Run]:
    """Returns the latest run of each finished trial of a table."""
    wanted = set(part.lines[names.TRIAL_ID])
    by_id = {run.run_id: run for run in study.runs}
    return {
        (trial.variant_id, trial.seed): by_id[trial.run_id]
        for trial in noise_groups.finished(study.runs).itertuples()
        if trial.trial_id in wanted
    }


def _rules(runs: Mapping[Trial, Run]) -> Recorded | None:
    """Returns the rules of a sweep that all these trials are part of."""
    kept: dict[str, list[Recorded]] = {}
    for run in runs.values():
        for tag, text in run.tags.items():
            if tag.startswith(names.RULES):
                kept.setdefault(tag.removeprefix(names.RULES), []).append(seeds.read(text))
    of_all = [
        seeds.earliest(*found)
        for key, found in kept.items()
        if all(names.SWEEP + key in run.tags for run in runs.values())
    ]
    return seeds.earliest(*of_all) if of_all else None


def _by_hand(study: Study, runs: Mapping[Trial, Run], name: str) -> dict[Trial, int]:
    """Returns rounds by the time when each trial was planned: a result in between starts a new round."""
    asked = {trial: _first_asked(run) for trial, run in runs.items()}
    shown = sorted(_last_moments(study, runs.values(), name))
    found: dict[Trial, int] = {}
    number, since = 0, -np.inf
    for trial in sorted(asked, key=lambda one: (asked[one], one)):
        moment = asked[trial]
        if any(since < one < moment for one in shown) and found:
            number += 1
            since = moment
        found[trial] = number
    return found


def _last_moments(study: Study, runs: Iterable[Run], name: str) -> list[float]:
    histories = (study.histories.get((run.run_id, name), []) for run in runs)
    return [max(point.timestamp for point in points) for points in histories if points]


def _first_asked(run: Run) -> float:
    """Returns the time when a sweep first planned a trial, ms since 1970; -inf if none is recorded."""
    moments = [_milliseconds(text) for tag, text in run.tags.items() if tag.startswith(names.ASKED)]
    return min(moments, default=-np.inf)


def _milliseconds(moment: str) -> float:
    """Returns ms since 1970."""
    return datetime.fromisoformat(moment).timestamp() * 1000
