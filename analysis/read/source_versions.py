"""Finds trials that were trained by other code than the newest trial, and trials of several commits."""

import json

import pandas as pd

from experiments import names

SIGN = "†"  # after the label of a row that other code trained
MOST = 5  # rows that a sentence names


def other_code(trials: pd.DataFrame) -> dict[str, list[str]]:
    """Returns, by trial id, the files whose version differs from the newest trial's.

    Trials without a difference, and those that recorded no files, are left out.
    """
    loaded = {
        trial.trial_id: {name: meanings.split(",") for name, meanings in json.loads(trial.code or "{}").items()}
        for trial in trials.sort_values("started", ascending=False, kind="stable").itertuples()
    }
    newest: dict[str, str] = {}
    for of_trial in loaded.values():
        for name, meanings in of_trial.items():
            newest.setdefault(name, meanings[-1])
    differing = {
        trial_id: sorted(name for name, meanings in of_trial.items() if set(meanings) != {newest[name]})
        for trial_id, of_trial in loaded.items()
    }
    return {trial_id: files for trial_id, files in differing.items() if files}


def plain(label: str) -> str:
    """Returns a label without the sign."""
    return label.removesuffix(f" {SIGN}")


def commits(tag: str) -> list[str]:
    """Returns the commits that a run names: "1f2e3d4c5b6a (epochs 1-2), 3c4d5e6f7a8b (epochs 3-4)" has two."""
    return [part.partition(" (")[0] for part in tag.split(", ")]


def sentences(lines: pd.DataFrame) -> tuple[str, ...]:
    """Returns sentences on rows that other code trained and on trials of several commits; () if there are none.

    Args:
        lines: of `rows.rows_frame`.
    """
    served = lines.loc[lines[names.TRIAL_ID] != ""]
    served = served.assign(label=served["label"].map(plain))
    trials = served.drop_duplicates(names.TRIAL_ID)
    by_files: dict[str, list[str]] = {}
    for trial_id, files in other_code(trials).items():
        by_files.setdefault(", ".join(files), []).append(trial_id)
    found = [
        f"{SIGN} trained by other code than the newest trial: {files} ({_rows(served, of_files)})."
        for files, of_files in by_files.items()
    ]
    several = trials.loc[trials[names.COMMIT].map(commits).map(len) > 1]
    found += [
        f"{trial.label}, seed {trial.seed}, ran on several commits: {trial.commit}." for trial in several.itertuples()
    ]
    return tuple(found)


def _rows(served: pd.DataFrame, wanted: list[str]) -> str:
    """Returns the rows of these trials; if not all seeds of a row are among them, with the seeds."""
    found = []
    for label, of_row in served.groupby("label", sort=False):
        own = of_row.loc[of_row[names.TRIAL_ID].isin(wanted)]
        seeds = "" if len(own) == len(of_row) else f", seed{'s' * (len(own) > 1)} {', '.join(own[names.SEED])}"
        found += [f"{label}{seeds}"] if len(own) else []
    return "; ".join(found) if len(found) <= MOST else f"{len(found)} rows"
