"""How sure a table's differences are: each row against its baseline, over seeds and images, corrected for all rows."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis import bootstrap, stats
from analysis.metrics import METRICS, Metric, coco_block
from analysis.stats import Interval
from analysis.study import Part, Progress, Study
from experiments import names
from experiments.matches import Matches

DRAWS = 1000
ALPHA = 0.05
OF_BOTH = (
    "Intervals (95 %) hold for other seeds and other images of the same kind: images are drawn with replacement, the "
    f"same for all rows, {DRAWS} times; rows are compared seed by seed, and what training again changes beside is "
    "taken to be alike in all rows of the table. p is corrected for all these rows (Holm)."
)
OF_ONE = (
    "Where there is one seed, the interval is that of these trained detectors on other images. It says nothing of "
    "training anew, so no difference of a module is found."
)
OF_SEEDS = (
    "Intervals (95 %) are Student's, over seeds alone, with noise pooled over the table's rows: not all trials kept "
    "their detections."
)


@dataclass(frozen=True)
class Line:
    """A row of the table; values are fractions."""

    label: str
    variant_id: str
    value: Interval
    baseline: str  # label of the row that it is compared with; "" for none
    difference: Interval | None  # from the baseline
    p: float  # of the difference, corrected for the table's rows; NaN where fewer than two seeds have both
    better: float  # confidence that the row is better than its baseline, 0..1; NaN where no draws tell

    @property
    def significant(self) -> bool | None:
        """Returns whether the difference is found; None where nothing was tested."""
        return None if np.isnan(self.p) else bool(self.p < ALPHA)


@dataclass(frozen=True)
class Evidence:
    """What a table's rows can be told to do, for boxes or masks."""

    metric: Metric
    lines: tuple[Line, ...]
    seeds: int  # most of any row
    detectable: float | None  # AP x 100: the smallest true difference that these seeds find in four of five studies
    note: str

    @property
    def caption(self) -> str:
        return f"How sure: {self.metric.label}"

    columns = ("row", "AP", "95 %", "against", "difference", "95 %", "p", "better", "n")

    @property
    def cells(self) -> list[tuple[str, ...]]:
        """Returns the lines as text under `columns`."""
        return [
            (
                line.label,
                points(line.value.estimate),
                interval(line.value),
                line.baseline,
                "" if line.difference is None else points(line.difference.estimate, "+"),
                "" if line.difference is None else interval(line.difference, "+"),
                "" if np.isnan(line.p) else _p(line.p) + " *" * bool(line.significant),
                "" if np.isnan(line.better) else f"{100 * line.better:.0f} %",
                str(line.value.n if not isinstance(line.value, bootstrap.Drawn) else line.value.seeds),
            )
            for line in self.lines
        ]


def evidence(study: Study, part: Part, iou_type: str, progress: Progress) -> Evidence | None:
    """Returns what the finished trials of a table tell of AP; None where none has any."""
    name = coco_block(iou_type)[0]
    values = _last(study, part, name)
    if not values:
        return None
    labels = {line["variant_id"]: line["label"] for _, line in part.lines.iterrows() if line["variant_id"]}
    baselines = {variant: other for variant, other in _baselines(part).items() if variant in values and other in values}
    matches = _matches(study, part, iou_type, values)
    groups: dict[str, dict[str, dict[str, float]]] = {}
    for variant, of_seed in values.items():
        groups.setdefault(baselines.get(variant, variant), {})[variant] = of_seed
    noise = stats.noise(groups.values())
    lines: list[Line] = []
    if matches is None:
        lines = [_across_seeds(variant, labels, values, baselines, noise) for variant in values]
    else:
        for baseline, own in groups.items():
            group = {variant: matches[variant] for variant in own}
            with progress("drawing images", (DRAWS + 1) * sum(map(len, group.values()))) as on_step:

                def on_drawn(draws: int, step: Callable[[], None] = on_step) -> None:
                    for _ in range(draws):
                        step()

                rng = np.random.default_rng(0)
                found = bootstrap.resample(group, baseline, rng, DRAWS, on_drawn=on_drawn, known={"AP": noise})
            lines += [_drawn(variant, labels, found[variant], labels[baseline]) for variant in group]
    order = {variant: place for place, variant in enumerate(labels)}
    lines = _corrected(sorted(lines, key=lambda line: order[line.variant_id]))
    seeds = max(len(of_seed) for of_seed in values.values())
    single = min(len(of_seed) for of_seed in values.values()) == 1
    note = OF_SEEDS if matches is None else f"{OF_BOTH} {OF_ONE}" if single else OF_BOTH
    return Evidence(METRICS[name], tuple(lines), seeds, _detectable(values, baselines, noise), note)


def _last(study: Study, part: Part, name: str) -> dict[str, dict[str, float]]:
    """Returns the last value of each finished trial, by variant and seed."""
    metrics = study.metrics.sort_values("epoch").drop_duplicates(names.TRIAL_ID, keep="last")
    of_trial = dict(zip(metrics[names.TRIAL_ID], metrics[name], strict=True))
    finished = part.lines.loc[part.lines["status"] == names.FINISHED]
    found: dict[str, dict[str, float]] = {}
    for line in finished.itertuples():
        value = of_trial.get(line.trial_id, np.nan)
        if not np.isnan(value):
            found.setdefault(line.variant_id, {})[line.seed] = value
    return found


def _baselines(part: Part) -> dict[str, str]:
    """Returns the variant that each is compared with: its row's declared baseline, or the first of a typed sweep.

    Of a baseline with several variants, that which shares the row's profile, data, recipe, schedule and architecture.
    """
    lines = part.lines.loc[part.lines[names.VARIANT_ID] != ""].drop_duplicates(["row", names.VARIANT_ID])
    shared = [factor for factor in names.FACTORS if factor not in ("aggregation", "pre", "post")]
    if part.declaration is None:
        first = lines.iloc[0][names.VARIANT_ID] if len(lines) else ""
        return {variant: first for variant in lines[names.VARIANT_ID] if variant != first}
    wanted = {row.name_in(part.declaration.name): row for row in part.declaration.rows}
    found = {}
    for _, line in lines.iterrows():
        row = wanted.get(line["row"])
        if row is None or row.baseline is None:
            continue
        named = next(one for one in part.declaration.rows if one.sweep == row.sweep and one.name == row.baseline)
        candidates = lines.loc[lines["row"] == named.name_in(part.declaration.name)]
        alike = candidates.loc[(candidates[shared] == line[shared]).all(axis="columns")]
        chosen = alike if len(alike) else candidates if len(candidates) == 1 else alike
        if len(chosen) == 1 and chosen.iloc[0][names.VARIANT_ID] != line[names.VARIANT_ID]:
            found[line[names.VARIANT_ID]] = chosen.iloc[0][names.VARIANT_ID]
    return found


def _matches(
    study: Study, part: Part, iou_type: str, values: dict[str, dict[str, float]]
) -> dict[str, dict[str, Matches]] | None:
    """Returns the matches of the trials that have values; None where one of them has none."""
    found: dict[str, dict[str, Matches]] = {}
    for line in part.lines.itertuples():
        if line.seed in values.get(line.variant_id, {}):
            decided = study.matches.get(line.trial_id, {}).get(iou_type)
            if decided is None:
                return None
            found.setdefault(line.variant_id, {})[line.seed] = decided
    return found


def _across_seeds(
    variant: str,
    labels: dict[str, str],
    values: dict[str, dict[str, float]],
    baselines: dict[str, str],
    noise: stats.Noise,
) -> Line:
    value = stats.mean(list(values[variant].values()))
    baseline = baselines.get(variant, "")
    if not baseline:
        return Line(labels[variant], variant, value, "", None, np.nan, np.nan)
    found = stats.difference(values[variant], values[baseline], known=noise)
    return Line(labels[variant], variant, value, labels[baseline], found, np.nan, np.nan)


def _drawn(variant: str, labels: dict[str, str], found: bootstrap.Variant, baseline: str) -> Line:
    value = found.metrics["AP"]
    difference = found.differences.get("AP")
    if difference is None:
        return Line(labels[variant], variant, value, "", None, np.nan, np.nan)
    p = 2 * min(difference.better, 1 - difference.better) if difference.seeds > 1 else np.nan
    return Line(labels[variant], variant, value, baseline, difference, p, difference.better)


def _corrected(lines: list[Line]) -> list[Line]:
    corrected = stats.holm({line.variant_id: line.p for line in lines})
    return [
        Line(
            line.label,
            line.variant_id,
            line.value,
            line.baseline,
            line.difference,
            corrected[line.variant_id],
            line.better,
        )
        for line in lines
    ]


def _detectable(values: dict[str, dict[str, float]], baselines: dict[str, str], noise: stats.Noise) -> float | None:
    """Returns what the seeds at hand can tell, in the row that has most."""
    counts = [len(values[variant].keys() & values[baseline].keys()) for variant, baseline in baselines.items()]
    most = max(counts, default=0)
    if not noise.freedom or most < 2:
        return None
    sd = float(np.sqrt(2 * noise.variance))
    return 100 * stats.minimal_difference(sd, most, freedom=noise.freedom)


def points(fraction: float, sign: str = "") -> str:
    """Returns AP x 100 with one decimal, "-" for NaN."""
    return "-" if pd.isna(fraction) else f"{100 * fraction:{sign}.1f}"


def interval(found: Interval, sign: str = "") -> str:
    """Returns "[36.1, 37.4]", "" where there is none."""
    return "" if np.isnan(found.low) else f"[{points(found.low, sign)}, {points(found.high, sign)}]"


def difference(found: Interval | None) -> str:
    """Returns "+1.2 [+0.4, +2.0]"."""
    return "" if found is None else f"{points(found.estimate, '+')} {interval(found, '+')}".strip()


def _p(value: float) -> str:
    return "< .001" if value < 0.001 else f"{value:.3f}".removeprefix("0")
