"""How sure a table's differences are: each row against its baseline, over seeds and images, corrected for all rows."""

from collections.abc import Callable
from dataclasses import dataclass, replace

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
SHOWN = 3  # trials that lack their matches, named in a note
OF_BOTH = (
    "Intervals (95 %) hold for other seeds and other images of the same kind: images are drawn with replacement, the "
    f"same for all rows, {DRAWS} times; rows are compared seed by seed, and what training again changes beside is "
    "taken to be alike in all rows of the table. p is corrected for all these rows (Holm)."
)
OF_ONE = (
    "Where a row has one seed, or one in common with its baseline, the interval is that of these trained detectors on "
    "other images. It says nothing of training anew, so no difference of a module is found."
)
OF_TWINS = "same: the baseline's AP to the last bit for every seed, so that there is nothing to test."
OF_DROPPED = "n: seeds; in parentheses those that the baseline has too, over which the difference is."
OF_SEEDS = (
    "Intervals (95 %) are Student's, over seeds alone, those of differences with noise pooled over the table's rows: "
    "not all trials have their matches. p is corrected for all these rows (Holm)."
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
    twin: bool  # of its baseline, see stats.twin

    @property
    def seeds(self) -> int:
        """Returns how many seeds the row has."""
        return self.value.seeds if isinstance(self.value, bootstrap.Drawn) else self.value.n

    @property
    def common(self) -> int:
        """Returns how many of them its baseline has too; 0 without a baseline."""
        found = self.difference
        return 0 if found is None else found.seeds if isinstance(found, bootstrap.Drawn) else found.n

    @property
    def significant(self) -> bool | None:
        """Returns whether the difference is found; None where nothing was tested."""
        return None if np.isnan(self.p) else bool(self.p < ALPHA)


@dataclass(frozen=True)
class Evidence:
    """What a table's rows can be told to do, for boxes or masks."""

    metric: Metric
    lines: tuple[Line, ...]
    seeds: int  # most that a row has in common with its baseline; without a comparison, most of any row
    detectable: float | None  # AP x 100: the smallest true difference of one row found in four of five such studies
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
                "same" if line.twin else "" if np.isnan(line.p) else _p(line.p) + " *" * bool(line.significant),
                "" if line.twin or np.isnan(line.better) else f"{100 * line.better:.0f} %",
                f"{line.seeds} ({line.common})" if line.baseline and line.common < line.seeds else str(line.seeds),
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
    matches, lacking = _matches(study, part, iou_type, values)
    noise = stats.noise(_together(values, baselines))
    lines: list[Line] = []
    if lacking:
        lines = [_across_seeds(variant, labels, values, baselines, noise) for variant in values]
    else:
        for baseline in dict.fromkeys(baselines.get(variant, variant) for variant in values):
            own = [variant for variant in values if baselines.get(variant, variant) == baseline]
            group = {variant: matches[variant] for variant in dict.fromkeys((baseline, *own))}
            with progress("drawing images", (DRAWS + 1) * sum(map(len, group.values()))) as on_step:

                def on_drawn(draws: int, step: Callable[[], None] = on_step) -> None:
                    for _ in range(draws):
                        step()

                rng = np.random.default_rng(0)
                found = bootstrap.resample(group, baseline, rng, DRAWS, on_drawn=on_drawn, known={"AP": noise})
            for variant in own:
                twin = variant != baseline and stats.twin(values[variant], values[baseline])
                lines.append(_drawn(variant, labels, found[variant], labels[baseline], twin))
    order = {variant: place for place, variant in enumerate(labels)}
    lines = _corrected(sorted(lines, key=lambda line: order[line.variant_id]))
    seeds = max((line.common for line in lines), default=0) or max(line.seeds for line in lines)
    return Evidence(METRICS[name], tuple(lines), seeds, _detectable(lines, noise), _note(lines, _told(study, lacking)))


def _together(values: dict[str, dict[str, float]], baselines: dict[str, str]) -> list[dict[str, dict[str, float]]]:
    """Returns the values in groups of what is compared with one another, if only by way of others."""
    groups: dict[str, dict[str, dict[str, float]]] = {}
    for variant, of_seed in values.items():
        root, passed = variant, {variant}
        while baselines.get(root, root) not in passed:
            root = baselines[root]
            passed.add(root)
        groups.setdefault(root, {})[variant] = of_seed
    return list(groups.values())


def _told(study: Study, lacking: list[str]) -> str:
    """Returns which trials lack their matches, and what to do about it."""
    if not lacking:
        return ""
    shown = ", ".join([*lacking[:SHOWN], *(["..."] if len(lacking) > SHOWN else [])])
    return f"{len(lacking)} lack them ({shown}); of the first: {study.run_of(lacking[0]).without_matches}."


def _note(lines: list[Line], lacking: str) -> str:
    """Returns how to read the lines."""
    compared = [line for line in lines if line.baseline]
    notes = [OF_SEEDS, lacking] if lacking else [OF_BOTH]
    if min(line.seeds for line in lines) == 1 or any(line.common == 1 for line in compared):
        notes.append("" if lacking else OF_ONE)
    if any(line.twin for line in lines):
        notes.append(OF_TWINS)
    if any(line.common < line.seeds for line in compared):
        notes.append(OF_DROPPED)
    return " ".join(filter(None, notes))


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
) -> tuple[dict[str, dict[str, Matches]], list[str]]:
    """Returns the matches of the trials that have values, and the ids of those without any."""
    found: dict[str, dict[str, Matches]] = {}
    lacking = []
    for line in part.lines.itertuples():
        if line.seed in values.get(line.variant_id, {}):
            decided = study.matches.get(line.trial_id, {}).get(iou_type)
            if decided is None:
                lacking.append(line.trial_id)
            else:
                found.setdefault(line.variant_id, {})[line.seed] = decided
    return found, list(dict.fromkeys(lacking))


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
        return Line(labels[variant], variant, value, "", None, np.nan, np.nan, twin=False)
    found = stats.difference(values[variant], values[baseline], known=noise)
    twin = stats.twin(values[variant], values[baseline])
    p = np.nan if twin or found.n < 2 else noise.p(found.estimate, found.n)
    return Line(labels[variant], variant, value, labels[baseline], found, p, np.nan, twin)


def _drawn(variant: str, labels: dict[str, str], found: bootstrap.Variant, baseline: str, twin: bool) -> Line:
    value = found.metrics["AP"]
    difference = found.differences.get("AP")
    if difference is None:
        return Line(labels[variant], variant, value, "", None, np.nan, np.nan, twin=False)
    tested = difference.seeds > 1 and not twin
    p = 2 * min(difference.better, 1 - difference.better) if tested else np.nan
    return Line(labels[variant], variant, value, baseline, difference, p, difference.better, twin)


def _corrected(lines: list[Line]) -> list[Line]:
    corrected = stats.holm({line.variant_id: line.p for line in lines})
    return [replace(line, p=corrected[line.variant_id]) for line in lines]


def _detectable(lines: list[Line], noise: stats.Noise) -> float | None:
    """Returns what a row with most seeds in common with its baseline can be told by, p corrected as it is here.

    Of several such rows, the median: their images differ a little in what they tell.
    """
    tested = [line for line in lines if not np.isnan(line.p)]
    if not tested or not noise.freedom:
        return None
    most, alpha = max(line.common for line in tested), ALPHA / len(tested)
    found = []
    for line in tested:
        if line.common == most:
            spread = line.difference.spread if isinstance(line.difference, bootstrap.DrawnDifference) else None
            sd = float(np.sqrt(2 * noise.variance))
            told = stats.minimal_difference(sd, most, alpha, freedom=noise.freedom)
            found.append(spread.detectable(1 - alpha) if spread else told)
    return 100 * float(np.median(found))


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
