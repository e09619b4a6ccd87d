"""What a command line asks for: rows of sweeps/*.yaml, or Hydra's comma lists; both become lists of overrides."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from experiments import declared, overrides
from experiments.declared import key_of
from experiments.errors import UserError, unknown
from experiments.planning import command_line
from experiments.planning.identity import is_about_the_work
from experiments.sentences import shown

AUTO = "auto"  # in place of seeds: as many as each comparison needs


@dataclass(frozen=True)
class Request:
    """One wish for a trial: the sweep that was asked for, the overrides, seed included, and the row it serves."""

    sweep: str
    overrides: tuple[str, ...]
    row: declared.Row | None = None
    extra: str = ""  # what was typed beside the declared sweep's name

    def seeded(self, seed: int) -> "Request":
        """Returns the same wish for another seed."""
        return replace(self, overrides=(*self.overrides, f"seed={seed}"))

    @property
    def memberships(self) -> dict[str, str | None]:
        """Returns the sweeps that the trial becomes a member of, each with the name of the row it serves there.

        A row of sweeps/table1.yaml asked for through sweeps/paper.yaml is a row of both.
        """
        if self.row is None:
            return {self.sweep: None}
        own = f"{self.row.sweep} {self.extra}".strip()
        if own == self.sweep:
            return {self.sweep: self.row.name}
        return {self.sweep: self.row.name_in(self.sweep), own: self.row.name}


def requests(arguments: Sequence[str]) -> list[Request]:
    """Returns what a command line asks for: every combination of its lists, for every row of the sweeps it names.

    `sweep=table1,table3 seed=0,1` is each row of both files with both seeds; without `sweep=` it is the combinations
    alone. With `seed=auto` it is each of them once, without a seed. Raises UserError for a sweep that is not declared,
    a list without values, too many combinations, and what cannot stand beside `seed=auto`, or without it.
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
                f"sweeps/{row.sweep}.yaml, row {row.name!r}: {seeded[0]} cannot stand beside seed=auto, which chooses "
                "the seeds of every row; take it out there, or give seeds as in seed=0,1"
            )
    extra = _name([item for item in others if key_of(item) != "seed"])
    return [
        Request(f"{name} {extra}".strip(), (*row.overrides, *combination), row, extra)
        for name, row in rows
        for combination in combinations
    ]


def is_automatic(arguments: Sequence[str]) -> bool:
    """Returns whether a command line leaves the seeds to `seed=auto`; UserError for what does not go with that."""
    seeded = [item for item in arguments if key_of(item) == "seed"]
    ruled = [item for item in arguments if key_of(item).partition(".")[0] == "seeds"]
    given = [_seeds(item) for item in seeded]
    for item, found in zip(seeded, given, strict=True):
        if AUTO in found and found != [AUTO]:
            raise UserError(f"{shown(item)} is refused: auto chooses seeds itself; give seed=auto, or numbers alone")
    automatic = bool(given) and given[-1] == [AUTO]  # given twice, the last counts
    if ruled and not automatic:
        raise UserError(f"{shown(ruled[0])} is a rule of seed=auto; add that, or leave it out")
    again = [item for item in arguments if key_of(item) == "rerun" and item.partition("=")[2].lower() != "false"]
    if automatic and again:
        raise UserError(
            f"{shown(again[-1])} cannot stand beside seed=auto, which decides by the trials that are finished; "
            "do these again first, by their seeds: seed=0,1"
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
    """Returns the values of an override of the seed, none of one that takes it away."""
    override = overrides.read(item)
    return [] if override.is_delete() else overrides.values(override, ())


def _alternatives(item: str) -> list[str]:
    """Returns an override for each value of a list, as Hydra expands lists, ranges and globs."""
    override, key = overrides.read(item), key_of(item)
    if not override.is_sweep_override():
        return [item if override.is_delete() else f"{override.get_key_element()}={override.get_value_element_as_str()}"]
    if is_about_the_work(key):
        raise UserError(f"{shown(item)} is a list, but {key} makes no other trial: give it one value a command")
    found = overrides.texts(override, command_line.options_of(key))
    return [f"{override.get_key_element()}={value}" for value in found]


def _declaration(name: str) -> declared.Declaration:
    if name not in declared.known():
        raise unknown("sweep", name, declared.known())
    return declared.read(name)


def _name(arguments: Sequence[str]) -> str:
    """Returns what was typed, less what only says where and how to run it."""
    return " ".join(item for item in arguments if not is_about_the_work(key_of(item)))
