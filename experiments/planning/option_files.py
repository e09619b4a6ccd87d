"""Checks the keys of an option's file: none may be missing or unknown."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import yaml

from experiments.declared import key_of
from experiments.errors import ARGUMENTS, CONF, UserError, unknown

NEEDED = ("name", "type")  # of groups whose other keys are a class's arguments


def check(config: Mapping[str, Any], options: Sequence[str]) -> None:
    """Raises UserError if a group has other keys than its default option.

    Args:
        config: composed from options alone; it may be unresolved, because a missing key can prevent resolving.
        options: the typed overrides that choose them.
    """
    chosen = {key_of(option): option.partition("=")[2] for option in options}
    for group, default in _defaults().items():
        content = config.get(group)
        where = f"{group}={chosen.get(group, default)}"
        if not isinstance(content, Mapping):
            raise UserError(f"{where} has no keys; every {group} needs {', '.join(_keys(group, default))}")
        if group == "dataset":
            default = content.get("kind", default)
        needed = NEEDED if group in ARGUMENTS else _keys(group, default)  # none for an unknown kind of data
        present = [str(key) for key in content]
        for key in needed:
            if key not in present:
                raise UserError(f"{where} lacks {key}; write it into conf/{group}/, as in conf/{group}/{default}.yaml")
        for key in present:
            if group not in ARGUMENTS and needed and key not in needed:
                raise unknown(f"{where}: key", key, needed)


@cache
def _defaults() -> dict[str, str]:
    """Returns the default option of each group."""
    listed = yaml.safe_load((CONF / "config.yaml").read_text())["defaults"]
    pairs = [pair for entry in listed if isinstance(entry, dict) for pair in entry.items()]
    return {group: option for group, option in pairs if not group.startswith("override ")}


@cache
def _keys(group: str, option: str) -> tuple[str, ...]:
    file = CONF / group / f"{option}.yaml"
    return tuple(yaml.safe_load(file.read_text())) if file.is_file() else ()
