"""What a command line asks for: rows of sweeps/*.yaml, or Hydra's comma lists; both become lists of overrides."""

from collections.abc import Sequence
from dataclasses import dataclass

from experiments import declared
from experiments.declared import key_of
from experiments.errors import UserError, unknown
from experiments.planning import overrides, typed
from experiments.planning.trial import is_about_the_work
from experiments.sentences import shown


@dataclass(frozen=True)
class Request:
    """One wish for a trial: the sweep that was asked for, the overrides, seed included, and the row it serves."""

    sweep: str
    overrides: tuple[str, ...]
    row: declared.Row | None = None
    extra: str = ""  # what was typed beside the declared sweep's name

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
    alone. Raises UserError for a sweep that is not declared, a list without values, and too many combinations.
    """
    named = [item for item in arguments if key_of(item) == "sweep"]
    others = [item for item in arguments if key_of(item) != "sweep"]
    by_key = {item.partition("=")[0]: _alternatives(item) for item in others}  # given twice, the last counts
    sweeps = [name for item in named for name in overrides.values(overrides.read(item), typed.options_of("sweep"))]
    rows = [(name, row) for name in sweeps for row in _declaration(name).rows]
    combinations = overrides.combinations(list(by_key.values()), max(1, len(rows)))
    if not named:
        return [Request(_name(others) or "default", combination) for combination in combinations]
    extra = _name([item for item in others if key_of(item) != "seed"])
    return [
        Request(f"{name} {extra}".strip(), (*row.overrides, *combination), row, extra)
        for name, row in rows
        for combination in combinations
    ]


def _alternatives(item: str) -> list[str]:
    """Returns an override for each value of a list, as Hydra expands lists, ranges and globs."""
    override, key = overrides.read(item), key_of(item)
    if not override.is_sweep_override():
        return [item if override.is_delete() else f"{override.get_key_element()}={override.get_value_element_as_str()}"]
    if is_about_the_work(key):
        raise UserError(f"{shown(item)} is a list, but {key} makes no other trial: give it one value a command")
    found = overrides.texts(override, typed.options_of(key))
    return [f"{override.get_key_element()}={value}" for value in found]


def _declaration(name: str) -> declared.Declaration:
    if name not in declared.known():
        raise unknown("sweep", name, declared.known())
    try:
        return declared.read(name)
    except declared.DeclarationError as error:
        raise UserError(str(error)) from error


def _name(arguments: Sequence[str]) -> str:
    """Returns what was typed, less what only says where and how to run it."""
    return " ".join(item for item in arguments if not is_about_the_work(key_of(item)))
