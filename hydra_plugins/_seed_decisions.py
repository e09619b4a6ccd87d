"""The decisions of `seed=auto` from its finished trials so far, read from MLflow."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from analysis import terminal
from analysis.read import store, study
from analysis.statistics import decisions
from analysis.statistics.decisions import Decision
from experiments import names
from experiments.errors import UserError
from experiments.planning.plan import Plan
from experiments.planning.rounds import Line
from experiments.seeds import Rules


@dataclass(frozen=True)
class Decided:
    """A decision of a sweep."""

    sweep: str
    decision: Decision

    @property
    def pair(self) -> tuple[str, str]:
        """Returns the variants that are compared."""
        return self.decision.variant_id, self.decision.baseline_id

    @property
    def line(self) -> Line:
        """Returns the decision as a line of `status`."""
        one = self.decision
        interval = one.difference
        estimate, low, high = (_known(100 * value) for value in (interval.estimate, interval.low, interval.high))
        return Line(self.sweep, one.row, one.against, one.state, one.seeds, estimate, low, high, _known(one.p))


def of(plan: Plan, rules: Mapping[str, Rules], dry: bool) -> tuple[Decided, ...]:
    """Returns the decisions of a plan's sweeps; none if no trial of it is finished.

    Args:
        plan: of all trials that the sweeps may have.
        rules: by sweep.
        dry: whether MLflow is only read; otherwise it first gets missing records.

    Raises UserError if MLflow cannot be read or does not accept missing records.
    """
    finished = [entry.trial.paths for entry in plan.entries if entry.state == names.FINISHED]
    if not finished:
        return ()
    again = "then give the same command, which trains nothing twice"
    if not dry:
        from experiments.mlflow_store import sync  # with MLflow, which takes seconds to import

        if not sync.what_was_missed(finished, plan.place):
            raise UserError(f"seeds cannot be chosen before MLflow has every finished trial; correct that, {again}")
    uri, experiment = str(plan.place.uri), str(plan.place.experiment)
    found = []
    try:
        with store.reading(uri) as client:
            for sweep in plan.sweeps:
                recorded = study.read(client, experiment, uri, sweep, terminal.progress, terminal.note)
                found += [Decided(sweep, one) for one in decisions.decide(recorded, rules[sweep], terminal.progress)]
    except UserError as error:
        raise UserError(f"the seeds so far cannot be compared: {error}; {again}") from error
    return tuple(found)


def _known(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
