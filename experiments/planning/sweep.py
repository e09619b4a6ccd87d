"""Expands a command line: rows of sweeps/*.yaml and comma lists become lists of overrides."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from experiments import declared, overrides
from experiments.declared import key_of
from experiments.errors import UserError, unknown
from experiments.planning import command_line
from experiments.planning.identity import is_about_the_work
from experiments.sentences import shown

AUTO = "auto"  # in place of seeds: each comparison gets as many seeds as it needs


@dataclass(frozen=True)
class Request:
    """A request for a trial: the sweep, the overrides with the seed, and the row that it belongs to."""

    sweep: str
    overrides: tuple[str, ...]
    row: declared.Row | None = None
    extra: str = ""  # the other words that were typed with the declared sweep's name

    def seeded(self, seed: int) -> "Request":
        """Returns the same request with another seed."""
        return replace(self, overrides=(*self.overrides, f"seed={seed}"))

    @property
    def memberships(self) -> dict[str, str | None]:
        """Returns the sweeps that the trial becomes a member of, each with the name of its row there.

        A row of sweeps/table1.yaml that sweeps/paper.yaml includes is a row of both.
        """
        if self.row is None:
            return {self.sweep: None}
        own = f"{self.row.sweep} {self.extra}".strip()
        if own == self.sweep:
            return {self.sweep: self.row.name}
        return {self.sweep: self.row.name_in(self.sweep), own: self.row.name}


def requests(arguments: Sequence[str]) -> list[Request]:
    """Returns a request for every combination of the command line's lists and every row of its sweeps.

    `sweep=table1,table3 seed=0,1` gives each row of both files with both seeds; without `sweep=` there are only the
    combinations. With `seed=auto` each request comes once, without a seed. Raises UserError for an undeclared sweep, an
    empty list, too many combinations, and overrides that do not fit `seed=auto` or need it.
    """
    automatic = is_automatic(arguments)
    named = [item for item in arguments if key_of(item) == "sweep"]
    others = [item for item in arguments if key_of(item) != "sweep" and not (automatic and key_of(item) == "seed")]
    by_key = {item.partition("=")[0]: _alternatives(item) for item in others}  # given twice, the last counts
    sweeps = [
        name for item in named for name in overrides.values(overrides.read(item), command_line.options_of("sweep"))
    ]
    rows = [(name, row) for name in sweeps for row in _declaration(name).rows]
    combinations = overrides.combinations(list(by_key.values()), max(1, len(rows)))
    if not named:
        return [Request(_name(others) or "default", combination) for combination in combinations]
    for _, row in rows if automatic else ():
        if seeded := [item for item in row.overrides if key_of(item) == "seed"]:
            raise UserError(
                f"sweeps/{row.sweep}.yaml, row {row.name!r}: {seeded[0]} cannot be combined with seed=auto, which "
                "chooses the seeds of every row; remove it from the file, or give seeds as in seed=0,1"
            )
    extra = _name([item for item in others if key_of(item) != "seed"])
    return [
        Request(f"{name} {extra}".strip(), (*row.overrides, *combination), row, extra)
        for name, row in rows
        for combination in combinations
    ]


def is_automatic(arguments: Sequence[str]) -> bool:
    """Returns whether a command line has `seed=auto`; UserError for overrides that do not fit it."""
    seeded = [item for item in arguments if key_of(item) == "seed"]
    ruled = [item for item in arguments if key_of(item).partition(".")[0] == "seeds"]
    given = [_seeds(item) for item in seeded]
    for item, found in zip(seeded, given, strict=True):
        if AUTO in found and found != [AUTO]:
            raise UserError(
                f"{shown(item)} is refused, because auto chooses the seeds; give only seed=auto, or only numbers"
            )
    automatic = bool(given) and given[-1] == [AUTO]  # given twice, the last counts
    if ruled and not automatic:
        raise UserError(f"{shown(ruled[0])} is a rule of seed=auto; add seed=auto, or leave it out")
    again = [item for item in arguments if key_of(item) == "rerun" and item.partition("=")[2].lower() != "false"]
    if automatic and again:
        raise UserError(
            f"{shown(again[-1])} cannot be combined with seed=auto, which decides from finished trials; train these "
            "again first with their seeds, as in seed=0,1"
        )
    return automatic


def rules_typed(arguments: Sequence[str]) -> set[str]:
    """Returns which rules of `seed=auto` a command line gives, by their names without `seeds.`."""
    found: set[str] = set()
    for item in arguments:
        group, _, name = key_of(item).partition(".")
        if group == "seeds":
            value = overrides.read(item).value()
            found |= {name} if name else set(value) if isinstance(value, dict) else set()
    return found


def _seeds(item: str) -> list[str]:
    """Returns the values of an override of the seed; none if it removes the seed."""
    override = overrides.read(item)
    return [] if override.is_delete() else overrides.values(override, ())


def _alternatives(item: str) -> list[str]:
    """Returns an override for each value of a list, as Hydra expands lists, ranges and globs."""
    override, key = overrides.read(item), key_of(item)
    if not override.is_sweep_override():
        return [item if override.is_delete() else f"{override.get_key_element()}={override.get_value_element_as_str()}"]
    if is_about_the_work(key):
        raise UserError(f"{shown(item)} is a list, but another {key} does not make another trial; give one value")
    found = overrides.texts(override, command_line.options_of(key))
    return [f"{override.get_key_element()}={value}" for value in found]


def _declaration(name: str) -> declared.Declaration:
    if name not in declared.known():
        raise unknown("sweep", name, declared.known())
    return declared.read(name)


def _name(arguments: Sequence[str]) -> str:
    """Returns the typed overrides without those on where and how to run."""
    return " ".join(item for item in arguments if not is_about_the_work(key_of(item)))
