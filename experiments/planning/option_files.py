"""What is refused of an option's file: a key left out that is read, and one that nothing reads."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import yaml

from experiments.declared import key_of
from experiments.errors import ARGUMENTS, CONF, UserError, unknown

NEEDED = ("name", "type")  # where the other keys are a class's arguments


def check(config: Mapping[str, Any], options: Sequence[str]) -> None:
    """Raises UserError where a group has not the keys of its default option.

    Args:
        config: composed, with nothing but options chosen; it need not be resolved, which a lacking key may prevent.
        options: what was typed to choose them.
    """
    chosen = {key_of(option): option.partition("=")[2] for option in options}
    for group, default in _defaults().items():
        content = config.get(group)
        where = f"{group}={chosen.get(group, default)}"
        if not isinstance(content, Mapping):
            raise UserError(f"{where} has no keys; every {group} needs {', '.join(_keys(group, default))}")
        if group == "dataset":
            default = content.get("kind", default)
        needed = NEEDED if group in ARGUMENTS else _keys(group, default)  # none for a kind of data that there is not
        present = [str(key) for key in content]
        for key in needed:
            if key not in present:
                raise UserError(f"{where} lacks {key}; write it into conf/{group}/, as in conf/{group}/{default}.yaml")
        for key in present:
            if group not in ARGUMENTS and needed and key not in needed:
                raise unknown(f"{where}: key", key, needed)


@cache
def _defaults() -> dict[str, str]:
    """Returns the option of each group that is composed where none is chosen."""
    listed = yaml.safe_load((CONF / "config.yaml").read_text())["defaults"]
    pairs = [pair for entry in listed if isinstance(entry, dict) for pair in entry.items()]
    return {group: option for group, option in pairs if not group.startswith("override ")}


@cache
def _keys(group: str, option: str) -> tuple[str, ...]:
    file = CONF / group / f"{option}.yaml"
    return tuple(yaml.safe_load(file.read_text())) if file.is_file() else ()
