"""Sweeps: declared in sweeps/*.yaml, or typed as Hydra's comma lists; both become named lists of overrides."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import yaml
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser

from experiments.errors import unknown
from experiments.trial import is_about_the_work, override_key

FOLDER = Path(__file__).parent.parent / "sweeps"


@dataclass(frozen=True)
class Request:
    """One wish for a trial: the sweep that it belongs to and its overrides, seed included."""

    sweep: str
    overrides: tuple[str, ...]


def requests(arguments: Sequence[str], config_loader: ConfigLoader | None = None) -> list[Request]:
    """Returns what a command line asks for: every combination of its lists, for every row of the sweeps it names.

    `sweep=table1,table3 seed=0,1` is each row of both files with both seeds; without `sweep=` it is the combinations
    alone. Globs need Hydra's loader, which knows the options. Raises UserError for a sweep that is not declared.
    """
    named = [item.partition("=")[2] for item in arguments if override_key(item) == "sweep"]
    others = [item for item in arguments if override_key(item) != "sweep"]
    # Hydra's own expansion of lists, globs and ranges; unlimited batch: one list of combinations.
    (combinations,) = BasicSweeper.split_arguments(
        OverridesParser.create(config_loader).parse_overrides(others), max_batch_size=None
    )
    if not named:
        return [Request(_name(others) or "default", tuple(combination)) for combination in combinations]
    extra = _name([item for item in others if override_key(item) != "seed"])
    return [
        Request(f"{name} {extra}".strip(), (*row, *combination))
        for name in ",".join(named).split(",")
        for row, combination in product(rows(name), combinations)
    ]


def rows(name: str) -> list[list[str]]:
    """Returns the overrides of each row of sweeps/NAME.yaml, those of the sweeps it includes first."""
    path = FOLDER / f"{name}.yaml"
    if not path.is_file():
        raise unknown("sweep", name, sorted(file.stem for file in FOLDER.glob("*.yaml")))
    declared = yaml.safe_load(path.read_text())
    included = [row for other in declared.get("include", []) for row in rows(other)]
    return [*included, *(row["overrides"] for row in declared.get("rows", []))]


def _name(arguments: Sequence[str]) -> str:
    """Returns what was typed, less what only says where and how to run it."""
    return " ".join(item for item in arguments if not is_about_the_work(override_key(item)))
