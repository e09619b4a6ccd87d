"""Two variants, or two studies row by row: every metric's difference with its interval, and whether one got worse."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from analysis import bootstrap, origins, stats
from analysis.errors import AnalysisError
from analysis.evidence import ALPHA, DRAWS
from analysis.metrics import METRICS, Metric, coco_block
from analysis.stats import Interval
from analysis.study import Part, Progress, Study
from experiments import names
from experiments.matches import Matches

Trials = dict[str, dict[str, Matches]]  # seed -> IoU type -> matches
APS = {coco_block(kind)[0] for kind in names.IOU_TYPES}
PUBLISHED = "published"  # instead of a second row: the numbers published for the first


@dataclass(frozen=True)
class Comparison:
    """One metric of a row: `after` less `before`, as fractions."""

    row: str
    metric: Metric
    before: float
    after: Interval
    difference: Interval
    p: float  # corrected, see `compare`; NaN with fewer than two common seeds

    @property
    def verdict(self) -> str:
        """Returns "better", "worse" or "no difference found"; "one seed" where nothing can be told of training anew."""
        if np.isnan(self.p):
            return "one seed"
        if self.p >= ALPHA:
            return "no difference found"
        return "better" if self.difference.estimate > 0 else "worse"


def rows(study: Study) -> dict[str, Trials]:
    """Returns the finished trials of each row of a study; a row of several tables stands under its first."""
    found: dict[str, Trials] = {}
    known = set()
    for part in study.parts:
        finished = part.lines.loc[part.lines["status"] == names.FINISHED]
        for (label, variant), own in finished.groupby(["label", names.VARIANT_ID], sort=False):
            if variant not in known:
                known.add(variant)
                title = origins.plain(label) if len(study.parts) == 1 else f"{part.name}: {origins.plain(label)}"
                found[title] = _trials(study, dict(zip(own[names.SEED], own[names.TRIAL_ID], strict=True)))
    return found


def lacking(before: Mapping[str, Trials], after: Mapping[str, Trials]) -> list[str]:
    """Returns the rows that have finished trials before and none after."""
    return [row for row, trials in before.items() if trials and not after.get(row)]


def find(part: Part, wanted: str, study: Study) -> Trials:
    """Returns the finished trials of the row or variant that is wanted; AnalysisError lists those there are."""
    lines = part.lines.loc[part.lines[names.VARIANT_ID] != ""]
    lines = lines.assign(label=lines["label"].map(origins.plain))
    for column in ("row", "label", names.VARIANT, names.VARIANT_ID):
        own = lines.loc[lines[column] == wanted]
        if own[names.VARIANT_ID].nunique() == 1:
            finished = own.loc[own["status"] == names.FINISHED]
            return _trials(study, dict(zip(finished[names.SEED], finished[names.TRIAL_ID], strict=True)))
    known = ", ".join(dict.fromkeys(lines["label"]))
    raise AnalysisError(f"no row {wanted!r} in sweep {part.sweep}; choose from: {known or 'none has run'}")


def _trials(study: Study, trials: Mapping[str, str]) -> Trials:
    lacking = [trial for trial in trials.values() if trial not in study.matches]
    if lacking:
        remedy = study.run_of(lacking[0]).without_matches
        raise AnalysisError(f"{lacking[0]} kept no matches to compare; {remedy}")
    return {seed: study.matches[trial] for seed, trial in trials.items()}


def compare(pairs: Mapping[str, tuple[Trials, Trials]], progress: Progress) -> list[Comparison]:
    """Returns every metric of every pair (before, after), AP first.

    What training again changes is taken to be alike in all pairs. p is corrected for the APs of all pairs together, and
    for all their other metrics together. Raises AnalysisError where a pair has no seed in common.
    """
    for row, (before, after) in pairs.items():
        if not before or not after:
            raise AnalysisError(f"{row} has no finished trial on both sides; nothing to compare")
        if not before.keys() & after.keys():
            seeds = " and ".join(", ".join(side) for side in (before, after))
            raise AnalysisError(f"{row} has no seed on both sides, but {seeds}; train one that the other has")
    sides = {
        (row, kind): {"before": _of_kind(before, kind), "after": _of_kind(after, kind)}
        for row, (before, after) in pairs.items()
        for kind in names.IOU_TYPES
        if all(kind in of for one in (before, after) for of in one.values())
    }
    noise = {kind: _noise([both for (_, of), both in sides.items() if of == kind]) for kind in names.IOU_TYPES}
    found: list[Comparison] = []
    for row in pairs:
        for kind in [of for one, of in sides if one == row]:
            both = sides[row, kind]
            count = sum(map(len, both.values()))
            with progress(f"drawing images: {row}", count) as step:
                drawn = bootstrap.resample(both, "before", np.random.default_rng(0), DRAWS, known=noise[kind])
                for _ in range(count):
                    step()
            for short, name in zip(names.COCO_METRICS, coco_block(kind), strict=True):
                of_before, of_after = drawn["before"].metrics[short], drawn["after"].metrics[short]
                difference = drawn["after"].differences[short]
                p = 2 * min(difference.better, 1 - difference.better) if difference.seeds > 1 else np.nan
                found.append(Comparison(row, METRICS[name], of_before.estimate, of_after, difference, p))
    corrected: dict[str, float] = {}
    for of_ap in (True, False):
        family = {str(place): one.p for place, one in enumerate(found) if (one.metric.name in APS) == of_ap}
        corrected |= stats.holm(family)
    return [replace(one, p=corrected[str(place)]) for place, one in enumerate(found)]


def _noise(pairs: list[dict[str, dict[str, Matches]]]) -> dict[str, stats.Noise]:
    """Returns what a metric differs by from training to training, by its name, of all pairs together."""
    plain = [bootstrap.as_they_are(both) for both in pairs]
    return {name: stats.noise([of_pair[name] for of_pair in plain]) for name in names.COCO_METRICS}


def with_published(part: Part, wanted: str, study: Study) -> list[Comparison]:
    """Returns ours less the numbers published for a row, by an interval over our seeds alone: theirs is one run.

    Raises AnalysisError where the data are not those of the published numbers, or none is published.
    """
    declaration = part.declaration
    declared = {row.name_in(declaration.name): row for row in declaration.rows} if declaration else {}
    row = declared.get(wanted)
    if row is None or not row.published:
        raise AnalysisError(f"no numbers are published for {wanted!r} of sweep {part.sweep}")
    lines = part.lines.loc[(part.lines["row"] == wanted) & (part.lines["status"] == names.FINISHED)]
    settings = set(lines["profile"]) | set(lines["dataset"])
    if settings - {"coco"}:
        raise AnalysisError(f"{wanted!r} ran on {', '.join(sorted(settings))}; the published numbers are COCO's")
    last = study.metrics.sort_values("epoch").drop_duplicates(names.TRIAL_ID, keep="last").set_index(names.TRIAL_ID)
    found = []
    for kind, numbers in row.published.items():
        for name, number in zip(coco_block(kind), numbers, strict=True):
            ours = stats.mean([float(last.at[trial, name]) for trial in lines[names.TRIAL_ID]])
            theirs = number / 100
            shifted = Interval(ours.estimate - theirs, ours.low - theirs, ours.high - theirs, ours.n)
            outside = np.nan if np.isnan(ours.low) else 1.0 if ours.low <= theirs <= ours.high else 0.0
            found.append(Comparison(wanted, METRICS[name], theirs, ours, shifted, outside))
    return found


def _of_kind(trials: Trials, kind: str) -> dict[str, Matches]:
    return {seed: decided[kind] for seed, decided in trials.items()}
