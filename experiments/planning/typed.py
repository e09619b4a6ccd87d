"""What was typed, judged before Hydra composes it: where Hydra would break off or answer in its own words."""

from collections.abc import Iterable, Sequence
from functools import cache
from importlib.util import find_spec

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ValueType
from hydra.errors import HydraException

from experiments.declared import key_of
from experiments.errors import CONF, UserError, unknown

# Part of a launcher's name: the plugin that brings it, and this project's extra that installs the plugin.
LAUNCHERS = {
    "submitit": ("hydra_submitit_launcher", "slurm"),
    "slurm": ("hydra_submitit_launcher", "slurm"),
    "ray": ("hydra_ray_launcher", "ray"),
}


def check(arguments: Sequence[str]) -> None:
    """Raises UserError for a command line that names what does not exist, or that would go round the plan."""
    options(arguments)
    for argument in arguments:
        key, value = key_of(argument), argument.partition("=")[2]
        if key == "hydra.mode" and value != "MULTIRUN":
            raise UserError(f"{argument} is refused: one trial is a sweep of one; leave hydra.mode out")
        if key == "hydra/launcher":
            _launcher(value)


def options(overrides: Iterable[str]) -> None:
    """Raises UserError where a group is left without an option or is given one that it does not have."""
    for override in overrides:
        _option(override)


@cache  # a sweep says the same few a thousand times
def _option(override: str) -> None:
    group = key_of(override)
    if not group or group == "hydra/launcher":  # plugins bring launchers of their own
        return
    valid = sorted(path.stem for path in (CONF / group).glob("*.yaml"))
    for name in _named(override) if valid else []:
        if name not in valid:
            raise unknown(f"{group}: option", name, valid)


def _named(override: str) -> list[str]:
    """Returns the options that an override names, as text."""
    if override.startswith("~"):
        return ["nothing"]
    try:
        parsed = OverridesParser.create().parse_override(override)
    except HydraException:
        return []  # which Hydra itself tells well
    if parsed.value_type == ValueType.GLOB_CHOICE_SWEEP:
        return []  # of those that there are
    names = parsed.sweep_string_iterator() if parsed.is_sweep_override() else [parsed.get_value_element_as_str()]
    return [name.strip("'\"") or "nothing" for name in names]


def _launcher(name: str) -> None:
    for part, (plugin, extra) in LAUNCHERS.items():
        if part in name and find_spec(f"hydra_plugins.{plugin}") is None:
            raise UserError(f"hydra/launcher={name} needs a plugin that is not installed: pip install -e '.[{extra}]'")
