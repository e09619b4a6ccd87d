"""The cost of each variant: parameters, multiply-adds, times and memory."""

from collections.abc import Sequence
from dataclasses import dataclass

from analysis.read.metrics import COSTS, Metric
from analysis.read.study import Study
from experiments import names


@dataclass(frozen=True)
class Costs:
    """One row per variant: means over its finished trials; one column per cost that any trial recorded."""

    metrics: tuple[Metric, ...]
    labels: dict[str, str]  # by variant id
    values: dict[str, tuple[float | None, ...]]  # by variant id

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(cost.axis for cost in self.metrics)

    def shown(self, variant_id: str) -> tuple[str, ...]:
        """Returns a variant's cells, "" where nothing was recorded."""
        values = self.values.get(variant_id, (None,) * len(self.metrics))
        return tuple(
            "" if value is None else _number(cost, value) for cost, value in zip(self.metrics, values, strict=True)
        )

    @property
    def cells(self) -> list[tuple[str, ...]]:
        """Returns the rows as text, each with its variant's label first."""
        return [(label, *self.shown(variant_id)) for variant_id, label in self.labels.items()]


def costs(study: Study) -> Costs:
    """Returns the costs of a study's finished trials."""
    recorded = {run.run_id: run.metrics for run in study.runs}
    finished = study.trials.loc[lambda trials: trials["status"] == names.FINISHED]
    known = tuple(cost for cost in COSTS if any(cost.name in recorded[run_id] for run_id in finished["run_id"]))
    by_variant = {str(variant): own for variant, own in finished.groupby(names.VARIANT_ID, sort=False)}
    return Costs(
        known,
        {variant: str(own["label"].iloc[0]) for variant, own in by_variant.items()},
        {
            variant: tuple(_mean([recorded[run_id].get(cost.name) for run_id in own["run_id"]]) for cost in known)
            for variant, own in by_variant.items()
        },
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _number(metric: Metric, value: float) -> str:
    return f"{metric.scale * value:.3g}" if abs(metric.scale * value) < 100 else f"{metric.scale * value:,.0f}"
