"""Labels of variants: the values that differ from config.yaml and from the chosen options."""

import json
import math
import re
from collections.abc import Iterator
from typing import Any

from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from experiments.factors import CONF, FACTORS
from experiments.planning.compose import Composer
from experiments.planning.identity import SHOWN_BY_NAME, identity, variant_of

Path = tuple[str, ...]
BARE = re.compile(r"[A-Za-z_][\w./-]*", re.ASCII)  # text that Hydra reads without quotes, except WORDS
WORDS = ("true", "false", "null", "nan", "inf")


class Labels:
    """Returns for each variant a label that depends on its configuration only, not on the words that were typed.

    It has the names of architecture and modules, then the options that differ from the defaults of config.yaml and the
    profile, then each value that differs from its option's:
    "faster_rcnn sum pre=conv5 recipe=upstream schedule.epochs=2".
    """

    def __init__(self, composer: Composer) -> None:
        self.composer = composer
        self.known: dict[str, str] = {}  # by variant id
        self.evaluated: dict[tuple[Path, str, str], Any] = {}

    def __call__(self, config: dict[str, Any]) -> str:
        """Returns the label of a resolved configuration, the same for all seeds."""
        variant = variant_of(config)
        if variant not in self.known:
            self.known[variant] = " ".join(self._words(config))
        return self.known[variant]

    def _words(self, config: dict[str, Any]) -> list[str]:
        kept = identity(config)
        options = {"profile": self._option(config, "profile", ())}
        profile = tuple(filter(None, [options["profile"]]))
        options |= {group: self._option(config, group, profile) for group in FACTORS if group != "profile"}
        own = {group: self._content(group, options[group], profile) for group in FACTORS}
        reference = {**self.composer.content(profile), **own}
        chosen: list[str] = []
        modules = [config[group]["name"] for group in ("architecture", "aggregation")]
        for group in FACTORS:
            named = group in SHOWN_BY_NAME and self._gives(config, (group, "name"), reference[group]["name"])
            if named and group in ("pre", "post") and config[group]["name"] != "none":
                modules.append(f"{group}={config[group]['name']}")
            elif not named:
                chosen.append(options[group])
        keys = (*FACTORS, *sorted(kept.keys() - {*FACTORS, "seed", "versions"}))
        given = {**config, **kept}
        values = [word for key in keys for word in self._differing(config, (key,), reference.get(key), given[key])]
        return [*modules, *filter(None, chosen), *values]

    def _option(self, config: dict[str, Any], group: str, profile: tuple[str, ...]) -> str:
        """Returns the option that a group's content is compared with, as it is typed; "" for the default.

        This is the option with the same name, the default first. If no option has the name, it is the option from which
        the fewest values differ.
        """
        if self._is_named(config, group, "", profile):
            return ""
        options = [f"{group}={path.stem}" for path in sorted((CONF / group).glob("*.yaml"))]
        same = f"{group}={config[group]['name']}"
        if same in options and self._is_named(config, group, same, profile):
            return same

        def distance(option: str) -> tuple[bool, float]:
            try:
                own = self._content(group, option, profile)
                differing = list(self._differing(config, (group,), own, config[group]))
                return not self._is_named(config, group, option, profile), len(differing)
            except (HydraException, OmegaConfBaseException, YAMLError, LookupError, TypeError):
                return True, math.inf  # an option's file that is not in use

        return min(["", *options], key=distance)

    def _is_named(self, config: dict[str, Any], group: str, option: str, profile: tuple[str, ...]) -> bool:
        return self._gives(config, (group, "name"), self._content(group, option, profile)["name"])

    def _content(self, group: str, option: str, profile: tuple[str, ...]) -> dict[str, Any]:
        options = (option,) if group == "profile" else (*profile, option)
        content: dict[str, Any] = self.composer.content(tuple(filter(None, options)))[group]
        return content

    def _differing(self, config: dict[str, Any], path: Path, reference: Any, value: Any) -> Iterator[str]:
        """Yields an override for each part of `value` that differs from the unresolved reference."""
        key = ".".join(path)
        if isinstance(reference, dict) and isinstance(value, dict):
            named = _in_name(path, reference) if self._gives(config, (*path, "name"), reference.get("name")) else ()
            for part, expected in reference.items():
                if part in value:
                    if part not in named:
                        yield from self._differing(config, (*path, part), expected, value[part])
                elif f"{key}.{part}" != "dataset.root":
                    yield f"~{key}.{part}"
            for part in sorted(value.keys() - reference.keys()):
                yield from _added((*path, part), value[part])
        elif not self._gives(config, path, reference):
            yield f"{key}={shown(value)}"

    def _gives(self, config: dict[str, Any], path: Path, reference: Any) -> bool:
        """Returns whether an unresolved value resolves to the configuration's value at `path`."""
        found: Any = config
        for part in path:
            if not isinstance(found, dict) or part not in found:
                return False
            found = found[part]
        if type(found) is type(reference) and not isinstance(found, list | dict) and found == reference:
            return True
        text = json.dumps(reference)  # in JSON, 1, 1.0 and true differ
        if "${" in text:
            text = json.dumps(self._evaluated(config, path, reference, text))
        return text == json.dumps(found)

    def _evaluated(self, config: dict[str, Any], path: Path, reference: Any, text: str) -> Any:
        """Returns the resolved value of a text with `${...}` at `path` of this configuration."""
        groups = {path[0], *re.findall(r"\$\{\s*(\w+)", text)} & config.keys()
        around = {group: config[group] for group in sorted(groups)}
        key = (path, text, json.dumps(around))
        if key not in self.evaluated:
            self.evaluated[key] = _resolved(around, path, reference)
        return self.evaluated[key]


def _resolved(around: dict[str, Any], path: Path, value: Any) -> Any:
    """Returns a value with `${...}`, set at `path`, as plain data; None if it refers to a missing key."""
    node = OmegaConf.create(around)
    OmegaConf.update(node, ".".join(path), value, merge=False)
    *parents, last = path
    try:
        for part in parents:
            node = node[part]
        found = node[last]
        return OmegaConf.to_container(found, resolve=True) if OmegaConf.is_config(found) else found
    except OmegaConfBaseException:
        return None


def _in_name(path: Path, reference: dict[str, Any]) -> list[str]:
    """Returns the keys in a module's name, such as kernel_size in `conv${.kernel_size}`."""
    return re.findall(r"\$\{\.(\w+)\}", str(reference.get("name"))) if path[0] in SHOWN_BY_NAME else []


def _added(path: Path, value: Any) -> Iterator[str]:
    if isinstance(value, dict) and value:
        for part in sorted(value):
            yield from _added((*path, str(part)), value[part])
    else:
        yield f"+{'.'.join(path)}={shown(value)}"


def shown(value: Any) -> str:
    """Returns a value as Hydra reads it: 0.001, true, null, [160,160], {a:1}; text in quotes if necessary."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{shown(one)}" for key, one in sorted(value.items())) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(shown, value)) + "]"
    if isinstance(value, str):
        if BARE.fullmatch(value) and value.lower() not in WORDS:
            return value
        return "'" + re.sub(r"(\\*)('|$)", lambda found: 2 * found[1] + "\\'" * bool(found[2]), value) + "'"
    return json.dumps(value) if value is None or isinstance(value, bool) else str(value)
