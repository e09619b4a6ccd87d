"""MLflow -> tidy pandas frames: one row per sweep, per run, per trial, or per trial and epoch."""

import json
from datetime import UTC, datetime

import pandas as pd

from analysis.read import declarations
from analysis.read.metrics import COCO_NAMES
from analysis.read.runs import Histories, Run
from analysis.read.store import nothing_recorded
from experiments import names, passwords
from experiments.declared import key_of
from experiments.errors import UserError
from experiments.factors import EDITING, FACTORS, GROUPS

LAST = "last"  # instead of a sweep's name: the one planned last
TAGS = (names.TRIAL_ID, names.VARIANT_ID, names.VARIANT, names.COMMIT, names.CODE, names.REASON)
RUN_COLUMNS = ("run_id", "status", "started", "place", "recorded", "rows", *TAGS, names.SEED, *FACTORS)
NEVER = datetime.min.replace(tzinfo=UTC)


def sweeps(runs: list[Run]) -> list[str]:
    """Returns the names of the recorded sweeps, newest first."""
    planned: dict[str, datetime] = {}
    for run in runs:
        for tag, name in run.tags.items():
            if tag.startswith(names.SWEEP):
                when = _moment(run.tags.get(names.PLANNED + tag.removeprefix(names.SWEEP), ""))
                planned[name] = max(when, planned.get(name, NEVER))
    return sorted(sorted(planned), key=lambda name: planned[name], reverse=True)  # at the same time: by name


def find_sweep(runs: list[Run], wanted: str, uri: str) -> str:
    """Returns the name of the wanted sweep, or of the newest for "last"; UserError lists the known names."""
    known = sweeps(runs)
    if not known:
        raise nothing_recorded(uri)
    if wanted == LAST:
        return known[0]
    if wanted not in known:
        remedy = f"`{declarations.command(wanted)}` runs it; " if declarations.of_sweep(wanted) else ""
        listed = f"known, newest first: {', '.join(known)}; or {LAST}"
        raise UserError(f"no sweep {wanted!r} in {passwords.hidden(uri)}; {remedy}{listed}")
    return wanted


def runs_frame(runs: list[Run], sweep: str) -> pd.DataFrame:
    """Returns one row per run of the sweep's trials, columns RUN_COLUMNS; "" stands for what was not recorded.

    A trial belongs to a sweep by its id: runs of the same trial that another sweep started also count.
    `started` is in ms since 1970; `place` is the variant's place in the sweep; `recorded` holds the names of the run's
    metrics; `rows` the names of the declared rows that the trial is of, None if the run has no record of them.
    """
    key = names.sweep_key(sweep)
    tag = names.SWEEP + key
    members = {run.tags[names.TRIAL_ID] for run in runs if run.tags.get(tag) == sweep}
    of_sweep = [run for run in runs if run.tags[names.TRIAL_ID] in members]
    places = _places(of_sweep, sweep)
    rows = [
        {
            "run_id": run.run_id,
            "status": run.status,
            "started": run.started,
            "place": places[run.tags.get(names.VARIANT_ID, "")],
            "recorded": frozenset(run.metrics),
            "rows": tuple(json.loads(run.tags.get(names.ROWS + key, "[]"))) or None,
            **{name: run.tags.get(name, "") for name in TAGS},
            names.SEED: run.params.get(names.SEED, ""),
            # A run from before a factor was added has what that factor's default leaves as it is.
            **{name: run.params.get(name, GROUPS[name] if name in EDITING else "") for name in FACTORS},
        }
        for run in of_sweep
    ]
    return pd.DataFrame(rows, columns=list(RUN_COLUMNS))


def _places(runs: list[Run], sweep: str) -> dict[str, tuple[int, ...]]:
    """Returns each variant's place in the sweep; a variant without a recorded place comes last.

    Earlier versions recorded no places: then it is the place of the variant's values in the typed sweep.
    """
    tag, typed = names.PLACE + names.sweep_key(sweep), _choices(sweep)
    placed = any(tag in run.tags for run in runs)
    found: dict[str, tuple[int, ...]] = {}
    for run in runs:
        variant = run.tags.get(names.VARIANT_ID, "")
        place = (int(run.tags.get(tag, len(runs))),) if placed else _place(run, typed)
        found[variant] = min(place, found.get(variant, place))
    return found


def _choices(sweep: str) -> dict[str, list[str]]:
    """Returns the values of a typed sweep by key: {"pre": ["none", "conv5"]}; {} of a declared sweep."""
    words = (word.partition("=") for word in sweep.split())
    return {key_of(key): values.split(",") for key, sign, values in words if sign and key != names.SEED}


def _place(run: Run, typed: dict[str, list[str]]) -> tuple[int, ...]:
    """Returns the places of a run's values among the typed ones; a value that was not typed comes last."""
    overrides = {key_of(word): word.partition("=")[2] for word in run.overrides}
    own = {key: run.params.get(key, overrides.get(key, "")) for key in typed}
    return tuple(values.index(own[key]) if own[key] in values else len(values) for key, values in typed.items())


def trials_frame(runs: pd.DataFrame) -> pd.DataFrame:
    """Returns one row per trial: its latest FINISHED run, else its latest started; plus a column `label`.

    If that run has no `rows`, they come from the trial's other runs. A variant's text is that of its newest run.
    Variants are in the order of the sweep, else of their first start; seeds in numerical order. `label` is the
    variant's text, with its id if two variants have the same text.
    """
    if runs.empty:
        return runs.assign(label=pd.Series(dtype=str))
    first = runs.groupby(names.VARIANT_ID)["started"].transform("min")
    ranked = runs.assign(
        finished=runs["status"] == names.FINISHED, first=first, replica=pd.to_numeric(runs[names.SEED], errors="coerce")
    ).sort_values(["finished", "started", "run_id"])
    ranked["rows"] = ranked.groupby(names.TRIAL_ID)["rows"].transform("last")  # the last that is not None
    named = runs.sort_values(["started", "run_id"]).drop_duplicates(names.VARIANT_ID, keep="last")
    text = named.set_index(names.VARIANT_ID)[names.VARIANT]
    ranked[names.VARIANT] = ranked[names.VARIANT_ID].map(text)
    trials = ranked.drop_duplicates(names.TRIAL_ID, keep="last")
    alike = trials.groupby(names.VARIANT)[names.VARIANT_ID].transform("nunique") > 1
    label = trials[names.VARIANT].where(~alike, trials[names.VARIANT] + " [" + trials[names.VARIANT_ID] + "]")
    trials = trials.assign(label=label).sort_values(["place", "first", names.VARIANT_ID, "replica"])
    return trials.drop(columns=["finished", "first", "replica"]).reset_index(drop=True)


def wanted_histories(trials: pd.DataFrame, metrics: tuple[str, ...]) -> list[tuple[str, str]]:
    """Returns the (run id, metric) that `metrics_frame` needs the histories of."""
    return [(trial.run_id, name) for trial in trials.itertuples() for name in metrics if name in trial.recorded]


def metrics_frame(trials: pd.DataFrame, histories: Histories, wanted: tuple[str, ...]) -> pd.DataFrame:
    """Returns one row per trial and epoch: `trial_id`, `epoch` and a column per wanted metric, as recorded.

    NaN stands for not recorded and for COCO's -1 (no such objects). Of an epoch that was recorded twice, the value with
    the last timestamp counts.
    """
    trial_of = dict(zip(trials["run_id"], trials[names.TRIAL_ID], strict=True))
    records = []
    for (run_id, name), points in histories.items():
        if run_id in trial_of and name in wanted:
            for point in sorted(points, key=lambda point: point.timestamp):
                absent = name in COCO_NAMES and point.value < 0
                records.append((trial_of[run_id], point.step, name, float("nan") if absent else point.value))
    long = pd.DataFrame(records, columns=[names.TRIAL_ID, "epoch", "metric", "value"])
    long = long.drop_duplicates([names.TRIAL_ID, "epoch", "metric"], keep="last")
    wide = long.pivot(index=[names.TRIAL_ID, "epoch"], columns="metric", values="value")
    return wide.reindex(columns=list(wanted)).reset_index().rename_axis(columns=None)


def last_values(metrics: pd.DataFrame) -> pd.DataFrame:
    """Returns the results of trials: what `metrics_frame` has at each trial's last epoch, one row per trial id.

    A metric that is NaN at that epoch stays NaN: it is not replaced by an earlier epoch's value.
    """
    return metrics.sort_values("epoch").drop_duplicates(names.TRIAL_ID, keep="last").set_index(names.TRIAL_ID)


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return NEVER
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
