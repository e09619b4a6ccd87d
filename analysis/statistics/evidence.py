"""Tests each row of a table against its baseline, over seeds and images, corrected for all rows."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np

from analysis.read import baselines
from analysis.read.metrics import METRICS, POINTS, Metric, coco_block
from analysis.read.study import Part, Progress, Study
from analysis.statistics import caveats, images, means, noise_groups, numbers, power, rounds
from analysis.statistics.contrasts import Contrasts
from analysis.statistics.images import Draws
from analysis.statistics.rounds import Repeated
from analysis.statistics.row_evidence import RowEvidence
from experiments.trial.matches import Matches

DRAWS = 1000


@dataclass(frozen=True)
class Evidence:
    """The intervals and tests of a table, for boxes or masks."""

    metric: Metric
    lines: tuple[RowEvidence, ...]
    seeds: int  # of the tested row with most; without a test, of any row
    detectable: float | None  # AP x 100: a true difference of this size is found in at least four of five such studies
    leading: RowEvidence | None  # the largest difference among the significant rows, else among all
    like_leading: tuple[str, ...]  # labels of rows with the same baseline that do not differ from it significantly
    note: str

    @property
    def caption(self) -> str:
        return f"How sure: {self.metric.label}"

    columns = ("row", "AP", "95 %", "sd", "against", "difference", "95 %", "p", "better", "beats", "n")

    @property
    def cells(self) -> list[tuple[str, ...]]:
        """Returns the lines as text under `columns`."""
        return [
            (
                line.label,
                numbers.points(line.value.estimate),
                numbers.interval(line.value),
                numbers.points(np.sqrt(line.noise.own.variance)) if line.noise.own.freedom else "",
                line.baseline,
                "" if line.difference is None else numbers.points(line.difference.estimate, "+"),
                "" if line.difference is None else numbers.interval(line.difference, "+"),
                line.verdict,
                "" if line.twin else numbers.chance(line.better),
                "" if line.twin else numbers.chance(line.beats),
                str(line.noise.n),
            )
            for line in self.lines
        ]


def evidence(study: Study, part: Part, iou_type: str, progress: Progress) -> Evidence | None:
    """Returns the evidence on AP of a table's finished trials; None if no trial has a result."""
    name = coco_block(iou_type)[0]
    labels = {line["variant_id"]: line["label"] for _, line in part.lines.iterrows() if line["variant_id"]}
    known = noise_groups.values(study, name)
    values = {variant: known[variant] for variant in labels if variant in known}
    if not values:
        return None
    against = {one: other for one, other in baselines.of(part).items() if one in values and other in values}
    matches, lacking = _matches(study, part, iou_type, values)
    drawn = {} if lacking else _drawn(matches, baselines.together(list(values), against), progress)
    table = Contrasts(values, noise_groups.noises(study, name), drawn)
    looked = rounds.of(study, part, name)
    repeated = rounds.repeated(study, name, looked, drawn, against.items()) if looked else {}
    matters = part.declaration.matters if part.declaration else None
    plain = [_line(variant, table, labels, against.get(variant)) for variant in values]
    lines = corrected(_judged(_looked_at(line, repeated.get(line.variant_id)), matters) for line in plain)
    leading = _leading(lines)
    return Evidence(
        METRICS[name],
        tuple(lines),
        max((line.common for line in lines if not np.isnan(line.p)), default=max(line.noise.n for line in lines)),
        _detectable(lines),
        leading,
        _like(leading, lines, table) if leading else (),
        caveats.note(study, name, lines, lacking, matters, looked),
    )


def _drawn(matches: dict[str, dict[str, Matches]], groups: list[list[str]], progress: Progress) -> dict[str, Draws]:
    """Returns the draws by variant; variants that are compared with each other share them."""
    found: dict[str, Draws] = {}
    for group in groups:
        own = {variant: matches[variant] for variant in group}
        with progress("drawing images", (DRAWS + 1) * sum(map(len, own.values()))) as on_step:

            def on_drawn(draws: int, step: Callable[[], None] = on_step) -> None:
                for _ in range(draws):
                    step()

            draws = images.draw(own, np.random.default_rng(0), DRAWS, on_drawn=on_drawn)
        found |= dict.fromkeys(group, draws)
    return found


def _matches(
    study: Study, part: Part, iou_type: str, values: noise_groups.Values
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


def _line(variant: str, table: Contrasts, labels: dict[str, str], baseline: str | None) -> RowEvidence:
    noise = table.noises[variant]
    value = table.mean(variant).interval(noise.n, within=(0.0, 1.0))
    if baseline is None:
        nothing = (np.nan,) * 5
        return RowEvidence(labels[variant], variant, value, noise, "", "", None, *nothing, twin=False, equivalent=False)
    found = table.difference(variant, baseline)
    twin = means.twin(table.values[variant], table.values[baseline])
    alone = np.nan if twin else table.difference(variant, baseline, alone=True).p
    raw = np.nan if np.isnan(alone) else found.p
    return RowEvidence(
        labels[variant],
        variant,
        value,
        noise,
        labels[baseline],
        baseline,
        found.interval(noise.n),
        raw,
        alone,
        raw,
        found.better,
        means.beats(found.estimate, (noise.used, table.noises[baseline].used)),
        twin,
        False,
        found.spread,
        table.common(variant, baseline),
    )


def _looked_at(line: RowEvidence, repeated: Repeated | None) -> RowEvidence:
    """Returns a line with p and interval over all looks, if seeds were added after a look or by `seed=auto`."""
    if repeated is None or (repeated.rules is None and len(repeated.looks) == 1):
        return line
    last, interval, p = repeated.looks[-1], repeated.intervals[-1], repeated.p
    return replace(
        line,
        difference=interval,
        raw=p,
        alone=repeated.alone,
        p=p,
        better=float((1 + np.sign(interval.estimate) * (1 - p)) / 2),
        spread=last.found.spread,
        common=last.seeds,
        repeated=repeated,
    )


def _judged(line: RowEvidence, matters: float | None) -> RowEvidence:
    within = matters is not None and line.difference is not None and line.difference.within(matters / POINTS)
    return replace(line, equivalent=within)


def corrected(lines: Iterable[RowEvidence]) -> list[RowEvidence]:
    """Returns lines with p corrected over all of them (Holm), and not below the p by the two rows' own seeds.

    So no difference is found by pooled noise that the two rows' own seeds do not show.
    """
    known = list(lines)
    together = means.holm({str(place): line.raw for place, line in enumerate(known)})
    return [
        line if np.isnan(line.raw) else replace(line, p=max(together[str(place)], line.alone))
        for place, line in enumerate(known)
    ]


def over_all(tables: Iterable[Evidence]) -> dict[tuple[str, str, str], float]:
    """Returns p corrected over all different comparisons of a study, by metric, variant and baseline."""
    distinct = {
        (one.metric.name, line.variant_id, line.baseline_id): line
        for one in tables
        for line in one.lines
        if not np.isnan(line.raw)
    }
    return {key: line.p for key, line in zip(distinct, corrected(distinct.values()), strict=True)}


def _leading(lines: list[RowEvidence]) -> RowEvidence | None:
    compared = [line for line in lines if line.difference is not None and not np.isnan(line.difference.estimate)]
    candidates = [line for line in compared if line.significant] or compared
    return max(candidates, key=_distance, default=None)


def _distance(line: RowEvidence) -> float:
    return abs(line.difference.estimate) if line.difference else 0.0


def _like(leading: RowEvidence, lines: list[RowEvidence], table: Contrasts) -> tuple[str, ...]:
    """Returns the labels of the rows with the same baseline that do not differ significantly from the leading one."""
    rivals = [
        line for line in lines if line.baseline_id == leading.baseline_id and line.variant_id != leading.variant_id
    ]
    apart = {line.label: table.difference(leading.variant_id, line.variant_id).interval(0) for line in rivals}
    return tuple(label for label, one in apart.items() if not (one.low > 0 or one.high < 0))


def _detectable(lines: list[RowEvidence]) -> float | None:
    """Returns the detectable difference of the rows with most seeds, with the noise at its upper 80 % bound.

    It is the median over these rows, whose spreads over images differ a little. None where seeds were added after
    looking, as their number then depends on the results.
    """
    tested = [line for line in lines if not np.isnan(line.p) and line.spread is not None and line.repeated is None]
    if not tested:
        return None
    most = max(line.common for line in tested)
    told = [
        power.detectable(line.noise.alike.upper, most, len(tested), line.spread)
        for line in tested
        if line.spread is not None and line.common == most
    ]
    return POINTS * float(np.median(told))
