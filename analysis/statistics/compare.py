"""Compares two rows, or two studies row by row: each metric's difference, its interval, and whether it is worse."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from analysis.read import declarations, frames, source_versions
from analysis.read.metrics import METRICS, POINTS, Metric, coco_block
from analysis.read.study import Part, Progress, Study
from analysis.statistics import images, means, noise_groups
from analysis.statistics.evidence import DRAWS
from analysis.statistics.means import ALPHA, Interval, RowNoise
from experiments import names
from experiments.errors import UserError
from experiments.trial.matches import Matches

NOTHING = RowNoise(1, means.UNKNOWN, means.UNKNOWN, means.UNKNOWN)  # of a metric that was not recorded
APS = {coco_block(kind)[0] for kind in names.IOU_TYPES}
PUBLISHED = "published"  # instead of a second row: the numbers published for the first


@dataclass(frozen=True)
class Side:
    """The finished trials of a row: their matches by seed and IoU type, and the row's noise by metric."""

    trials: dict[str, dict[str, Matches]]
    noises: dict[str, RowNoise]

    def of_kind(self, kind: str) -> dict[str, Matches]:
        """Returns the matches by seed, for an IoU type that each trial has."""
        return {seed: decided[kind] for seed, decided in self.trials.items()}


@dataclass(frozen=True)
class Comparison:
    """One metric of a row: `after` less `before`, as fractions."""

    row: str
    metric: Metric
    before: float
    after: Interval
    difference: Interval
    p: float  # corrected, see `compare`; NaN where one side has one seed
    alone: float = 0.0  # by the noise of these sides' own seeds

    @property
    def verdict(self) -> str:
        """Returns "better", "worse" or "no difference found"; "one seed" if a side has only one."""
        if np.isnan(self.p):
            return "one seed"
        if self.p >= ALPHA:
            return "no difference found"
        return "better" if self.difference.estimate > 0 else "worse"


def rows(study: Study) -> dict[str, Side]:
    """Returns each row of a study; a variant of several tables has the name of its first row."""
    found: dict[str, Side] = {}
    known = set()
    noises = _noises(study)
    for part in study.parts:
        for (label, variant), own in part.lines.groupby(["label", names.VARIANT_ID], sort=False):
            finished = own.loc[own["status"] == names.FINISHED]
            if variant not in known and len(finished):
                known.add(variant)
                prefix = f"{part.name}: " if len(study.parts) > 1 else ""
                trials = dict(zip(finished[names.SEED], finished[names.TRIAL_ID], strict=True))
                found[prefix + source_versions.plain(label)] = Side(_matches(study, trials), noises.get(variant, {}))
    return found


def find(part: Part, wanted: str, study: Study) -> Side:
    """Returns a row or variant by name; UserError, which lists the rows, if there is none."""
    lines = part.lines.loc[part.lines[names.VARIANT_ID] != ""]
    lines = lines.assign(label=lines["label"].map(source_versions.plain))
    for column in ("row", "label", names.VARIANT, names.VARIANT_ID):
        own = lines.loc[lines[column] == wanted]
        if own[names.VARIANT_ID].nunique() == 1:
            finished = own.loc[own["status"] == names.FINISHED]
            trials = dict(zip(finished[names.SEED], finished[names.TRIAL_ID], strict=True))
            return Side(_matches(study, trials), _noises(study).get(own[names.VARIANT_ID].iat[0], {}))
    known = ", ".join(dict.fromkeys(lines["label"]))
    raise UserError(f"no row {wanted!r} in sweep {part.sweep}; choose from: {known or 'none has run'}")


def _noises(study: Study) -> dict[str, dict[str, RowNoise]]:
    """Returns the noise of each metric that was recorded, by variant."""
    found: dict[str, dict[str, RowNoise]] = {}
    for kind in names.IOU_TYPES:
        for name in coco_block(kind):
            for variant, noise in noise_groups.noises(study, name).items():
                found.setdefault(variant, {})[name] = noise
    return found


def _matches(study: Study, trials: Mapping[str, str]) -> dict[str, dict[str, Matches]]:
    lacking = [trial for trial in trials.values() if trial not in study.matches]
    if lacking:
        remedy = study.run_of(lacking[0]).without_matches
        raise UserError(f"{lacking[0]} has no matches to compare; {remedy}")
    return {seed: study.matches[trial] for seed, trial in trials.items()}


def compare(pairs: Mapping[str, tuple[Side, Side]], progress: Progress) -> list[Comparison]:
    """Returns every metric of every pair (before, after), AP first.

    p is corrected (Holm) over the APs of all pairs, and separately over all their other metrics, and is not below the p
    of the two sides' own seeds. Raises UserError if a side has no finished trial.
    """
    for row, (before, after) in pairs.items():
        if not before.trials or not after.trials:
            raise UserError(f"{row} has no finished trial on both sides; nothing to compare")
    found: list[Comparison] = []
    for row, (before, after) in pairs.items():
        sides = {"before": before, "after": after}
        for kind in names.IOU_TYPES:
            if not all(kind in of for side in sides.values() for of in side.trials.values()):
                continue
            count = len(before.trials) + len(after.trials)
            with progress(f"drawing images: {row}", count) as step:
                own = {name: side.of_kind(kind) for name, side in sides.items()}
                drawn = images.draw(own, np.random.default_rng(0), DRAWS)
                for _ in range(count):
                    step()
            block = zip(names.COCO_METRICS, coco_block(kind), strict=True)
            found += [_compared(row, name, short, drawn, sides) for short, name in block]
    return _corrected(found)


def _compared(row: str, name: str, short: str, drawn: images.Draws, sides: Mapping[str, Side]) -> Comparison:
    noises = {side: of.noises.get(name, NOTHING) for side, of in sides.items()}
    count = len(sides["after"].trials)
    after = drawn.mean("after", short, noises["after"].of_mean()).interval(count, within=(0.0, 1.0))
    before = drawn.mean("before", short, noises["before"].of_mean()).estimate
    used, alone = (
        drawn.difference("after", "before", short, means.of_difference(noises["after"], noises["before"], own))
        for own in (False, True)
    )
    p = np.nan if np.isnan(alone.p) else used.p
    return Comparison(row, METRICS[name], before, after, used.interval(count), p, alone.p)


def _corrected(found: list[Comparison]) -> list[Comparison]:
    corrected: dict[str, float] = {}
    for of_ap in (True, False):
        family = {str(place): one.p for place, one in enumerate(found) if (one.metric.name in APS) == of_ap}
        corrected |= means.holm(family)
    return [replace(one, p=float(np.fmax(corrected[str(place)], one.alone))) for place, one in enumerate(found)]


def with_published(part: Part, wanted: str, study: Study) -> list[Comparison]:
    """Returns, for each metric, our mean minus the row's published number, which comes from one run.

    Intervals are `means.one_more`'s; p is corrected over all metrics (Holm). Raises UserError if the data are not
    COCO, or no number is published.
    """
    row = declarations.rows_of(part.declaration).get(wanted)
    if row is None or not row.published:
        raise UserError(f"no numbers are published for {wanted!r} of sweep {part.sweep}")
    lines = part.lines.loc[(part.lines["row"] == wanted) & (part.lines["status"] == names.FINISHED)]
    settings = set(lines["profile"]) | set(lines["dataset"])
    if settings - {"coco"}:
        raise UserError(f"{wanted!r} ran on {', '.join(sorted(settings))}; the published numbers are COCO's")
    last = frames.last_values(study.metrics)
    found = []
    for kind, numbers in row.published.items():
        for name, number in zip(coco_block(kind), numbers, strict=True):
            ours = [float(last.at[trial, name]) for trial in lines[names.TRIAL_ID]]
            apart, p = means.one_more(ours, number / POINTS, rounded=0.1 / POINTS)
            found.append(Comparison(wanted, METRICS[name], number / POINTS, means.mean(ours), apart, p))
    together = means.holm({one.metric.name: one.p for one in found})
    return [replace(one, p=together[one.metric.name]) for one in found]
