"""Finds the baseline of each row of a table."""

from analysis.read import declarations
from analysis.read.study import Part
from experiments import names
from experiments.factors import FACTORS

SHARED = tuple(factor for factor in FACTORS if factor not in ("aggregation", "pre", "post"))


def of_rows(part: Part) -> dict[str, str]:
    """Returns the baseline of each row that has one, by name: the declared one; in a typed sweep the first row."""
    if part.declaration is None:
        rows = list(part.lines["row"].unique())
        return dict.fromkeys(rows[1:], rows[0]) if rows else {}
    declared = declarations.rows_of(part.declaration)
    names_of = {(row.sweep, row.name): name for name, row in declared.items()}
    return {name: names_of[row.sweep, row.baseline] for name, row in declared.items() if row.baseline is not None}


def of(part: Part) -> dict[str, str]:
    """Returns the variant that each variant is compared with, by id.

    If the baseline's row has several variants, it is the one with the same profile, data, recipe, schedule and
    architecture.
    """
    lines = part.lines.loc[part.lines[names.VARIANT_ID] != ""].drop_duplicates(["row", names.VARIANT_ID])
    baseline_of = of_rows(part)
    found = {}
    for _, line in lines.iterrows():
        candidates = lines.loc[lines["row"] == baseline_of.get(line["row"])]
        alike = candidates.loc[(candidates[[*SHARED]] == line[[*SHARED]]).all(axis="columns")]
        chosen = candidates if len(candidates) == 1 else alike
        if len(chosen) == 1 and chosen.iloc[0][names.VARIANT_ID] != line[names.VARIANT_ID]:
            found[line[names.VARIANT_ID]] = chosen.iloc[0][names.VARIANT_ID]
    return found


def together(variants: list[str], baselines: dict[str, str]) -> list[list[str]]:
    """Returns groups of variants that are compared with each other, directly or through other variants."""
    groups: dict[str, list[str]] = {}
    for variant in variants:
        root, passed = variant, {variant}
        while baselines.get(root, root) not in passed:
            root = baselines[root]
            passed.add(root)
        groups.setdefault(root, []).append(variant)
    return list(groups.values())
