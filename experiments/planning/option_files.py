"""Checks the keys of an option's file: none may be missing or unknown."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from experiments.declared import key_of
from experiments.errors import UserError, unknown
from experiments.factors import EDITING, GROUPS, MODULES, of_file

NEEDED = ("name", "type")  # where the other keys are a class's arguments
EDITS = "edits"  # what an option changes in MMDetection's config; any group but the modules may have it


def check(config: Mapping[str, Any], options: Sequence[str]) -> None:
    """Raises UserError if a group has other keys than its default option.

    Args:
        config: composed from options alone; it may be unresolved, because a missing key can prevent resolving.
        options: the typed overrides that choose them.
    """
    chosen = {key_of(option): option.partition("=")[2] for option in options}
    for group, default in GROUPS.items():
        content = config.get(group)
        where = f"{group}={chosen.get(group, default)}"
        if not isinstance(content, Mapping):
            raise UserError(f"{where} has no keys; every {group} needs {', '.join(_keys(group, default))}")
        if group == "dataset":
            default = content.get("kind", default)
        needed = _needed(group, default)  # none for a kind of data that does not exist
        present = [str(key) for key in content]
        for key in needed:
            if key not in present:
                raise UserError(f"{where} lacks {key}; write it into conf/{group}/, as in conf/{group}/{default}.yaml")
        for key in present:
            if group not in MODULES and needed and key not in (*needed, EDITS):
                raise unknown(f"{where}: key", key, needed)


def _needed(group: str, default: str) -> tuple[str, ...]:
    if group in EDITING:
        return ("name",)
    return NEEDED if group in MODULES else _keys(group, default)


@cache
def _keys(group: str, option: str) -> tuple[str, ...]:
    return tuple(key for key in of_file(group, option) if key != EDITS)
