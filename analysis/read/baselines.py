"""What each row of a table is compared with."""

from analysis.read.study import Part
from experiments import names


def of(part: Part) -> dict[str, str]:
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


def together(variants: list[str], baselines: dict[str, str]) -> list[list[str]]:
    """Returns variants in groups of what is compared with one another, if only by way of others."""
    groups: dict[str, list[str]] = {}
    for variant in variants:
        root, passed = variant, {variant}
        while baselines.get(root, root) not in passed:
            root = baselines[root]
            passed.add(root)
        groups.setdefault(root, []).append(variant)
    return list(groups.values())
