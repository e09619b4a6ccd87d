"""What a command line asks for: rows of sweeps/*.yaml, or Hydra's comma lists; both become lists of overrides."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser

from experiments import declared
from experiments.declared import key_of
from experiments.errors import UserError, unknown
from experiments.planning.trial import is_about_the_work


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


def requests(arguments: Sequence[str], config_loader: ConfigLoader | None = None) -> list[Request]:
    """Returns what a command line asks for: every combination of its lists, for every row of the sweeps it names.

    `sweep=table1,table3 seed=0,1` is each row of both files with both seeds; without `sweep=` it is the combinations
    alone. Globs need Hydra's loader, which knows the options. Raises UserError for a sweep that is not declared.
    """
    named = [item.partition("=")[2] for item in arguments if key_of(item) == "sweep"]
    others = [item for item in arguments if key_of(item) != "sweep"]
    # Hydra's own expansion of lists, globs and ranges; unlimited batch: one list of combinations.
    (combinations,) = BasicSweeper.split_arguments(
        OverridesParser.create(config_loader).parse_overrides(others), max_batch_size=None
    )
    if not named:
        return [Request(_name(others) or "default", tuple(combination)) for combination in combinations]
    extra = _name([item for item in others if key_of(item) != "seed"])
    return [
        Request(f"{name} {extra}".strip(), (*row.overrides, *combination), row, extra)
        for name in ",".join(named).split(",")
        for row, combination in product(_declaration(name).rows, combinations)
    ]


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
