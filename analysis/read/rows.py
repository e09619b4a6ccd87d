"""Trials -> the rows of a table, as a tidy frame: one line per row and trial, and lines for trials not run."""

import pandas as pd

from analysis.read import declarations, source_versions
from experiments import names
from experiments.declared import Declaration, words
from experiments.factors import FACTORS

ROOT = "root"  # column of a study's lines: the override of the data's folder, see `declarations.data_root`
NOT_RUN = "NOT RUN"  # added to MLflow's statuses: a row, or a seed of it, without a run


def rows_frame(sweep: str, trials: pd.DataFrame, declaration: Declaration | None) -> pd.DataFrame:
    """Returns the columns of `trials_frame` and `row`, `label`, `remark`, `line`: one line per row x trial.

    `row` is the row's name, for a typed sweep the variant's label. Rows are in the order of the declaration; rows
    that it does not have come last, with a `remark`. `line` numbers the lines of the table, one per variant of a row;
    `label` is the line's text and ends in `source_versions.SIGN` if other code trained one of its seeds. A declared
    row without a trial, and each seed that a row lacks, has an empty `trial_id` and the status NOT_RUN.
    """
    names_of_rows = [
        (label,) if rows is None else rows for label, rows in zip(trials["label"], trials["rows"], strict=True)
    ]
    served = trials.assign(row=names_of_rows, remark="").explode("row", ignore_index=True)
    if len(served):
        other = served[names.TRIAL_ID].isin(list(source_versions.other_code(trials)))
        sign = (
            other.groupby(served[names.VARIANT_ID]).transform("any").map({True: f" {source_versions.SIGN}", False: ""})
        )
        served["label"] = _labels(served) + sign
    asked = [*declarations.rows_of(declaration)]
    seeds = _seeds(trials)
    # With more words typed after the name, each row has a variant for each combination of their values.
    typed_more = declaration is not None and sweep != declaration.name
    most = int(served.groupby("row")[names.VARIANT_ID].nunique().max()) if len(served) else 0
    lines = []
    for row in dict.fromkeys([*asked, *served["row"]]):
        variants = [found for _, found in served.loc[served["row"] == row].groupby(names.VARIANT_ID, sort=False)]
        if row not in asked:
            remark = f"not in {declaration.file} any more" if declaration else ""
            lines += [variant.assign(remark=remark) for variant in variants]
            continue
        for variant in variants:
            lines.append(_with_absent(variant, [s for s in seeds if s not in set(variant[names.SEED])]))
        if not variants:
            lines.append(_absent(served, seeds, row=row, label=row))
        elif typed_more and len(variants) < most:
            fewer = most - len(variants)
            label = f"{row} ({fewer} more variant{'s' * (fewer > 1)})"
            lines.append(_absent(served, seeds, row=row, label=label))
    return pd.concat([line.assign(line=number) for number, line in enumerate(lines)], ignore_index=True)


def recorded(lines: pd.DataFrame) -> pd.DataFrame:
    """Returns the trials among the lines of `rows_frame`, each once."""
    return lines.loc[lines[names.TRIAL_ID] != ""].drop_duplicates(names.TRIAL_ID)


def what_runs_the_rest(sweep: str, lines: pd.DataFrame) -> str:
    """Returns the command that runs the NOT_RUN lines of a declared sweep, "" if there are none."""
    if not (lines["status"] == NOT_RUN).any():
        return ""
    return declarations.command(sweep, _seeds(lines), lines[ROOT].iat[0] if ROOT in lines else "")


def _seeds(trials: pd.DataFrame) -> list[str]:
    """Returns the different seeds in numerical order; [""] if none is recorded."""
    return sorted(set(trials[names.SEED]) - {""}, key=lambda seed: (len(seed), seed)) or [""]


def _with_absent(variant: pd.DataFrame, seeds: list[str]) -> pd.DataFrame:
    if not seeds:
        return variant
    told = {name: variant[name].iat[0] for name in ("row", "label", names.VARIANT_ID)}
    return pd.concat([variant, _absent(variant, seeds, **told)])


def _absent(like: pd.DataFrame, seeds: list[str], **told: str) -> pd.DataFrame:
    """Returns a line for each seed, with the columns of `like`."""
    unknown: dict[str, object] = {
        **dict.fromkeys(like.columns, ""),
        "started": float("nan"),
        "recorded": frozenset(),
        "rows": None,
    }
    lacking = [{**unknown, "status": NOT_RUN, names.SEED: seed, **told} for seed in seeds]
    return pd.DataFrame(lacking, columns=like.columns)


def _labels(served: pd.DataFrame) -> pd.Series:
    """Returns each row's name, followed by the settings in which its variants differ: "baseline recipe=paper"."""
    settings = served.apply(_settings, axis="columns")
    differing = {
        key
        for _, of_row in settings.groupby(served["row"])
        for key in {key for one in of_row for key in one}
        if len({one.get(key) for one in of_row}) > 1
    }
    told = settings.map(lambda one: "".join(f" {text}" for key, text in one.items() if key in differing))
    labels = served["row"] + told
    alike = served.groupby(["row", labels])[names.VARIANT_ID].transform("nunique") > 1
    return labels.where(~alike, labels + " [" + served[names.VARIANT_ID] + "]")


def _settings(trial: pd.Series) -> dict[str, str]:
    """Returns a trial's factors, then the other settings in its variant's text."""
    factors = {name: f"{name}={trial[name]}" for name in FACTORS}
    more = {word.partition("=")[0]: word for word in words(trial[names.VARIANT]) if "=" in word}
    return {**factors, **{key: word for key, word in more.items() if key not in factors}}
