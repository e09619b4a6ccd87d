"""What a variant is called: what its configuration has other than config.yaml and the chosen options would give."""

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
BARE = re.compile(r"[A-Za-z_][\w./-]*", re.ASCII)  # what Hydra takes for text without quotes, but for these
WORDS = ("true", "false", "null", "nan", "inf")


class Labels:
    """Tells each variant by a text that follows from the configuration alone, however it was typed.

    First the architecture and the modules by name, then the options that neither config.yaml nor the profile implies,
    then each value that is not its option's: "faster_rcnn sum pre=conv5 recipe=upstream schedule.epochs=2".
    """

    def __init__(self, composer: Composer) -> None:
        self.composer = composer
        self.known: dict[str, str] = {}  # by variant id
        self.evaluated: dict[tuple[Path, str, str], Any] = {}

    def __call__(self, config: dict[str, Any]) -> str:
        """Returns the text of a resolved configuration, the same for all seeds."""
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
        """Returns the option that a group's content is compared with, as it is typed; "" for the implied one.

        The one of its name, the implied one first; where none has the name, that which the fewest values differ from.
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
                return True, math.inf  # a file that nobody has asked for

        return min(["", *options], key=distance)

    def _is_named(self, config: dict[str, Any], group: str, option: str, profile: tuple[str, ...]) -> bool:
        return self._gives(config, (group, "name"), self._content(group, option, profile)["name"])

    def _content(self, group: str, option: str, profile: tuple[str, ...]) -> dict[str, Any]:
        options = (option,) if group == "profile" else (*profile, option)
        content: dict[str, Any] = self.composer.content(tuple(filter(None, options)))[group]
        return content

    def _differing(self, config: dict[str, Any], path: Path, reference: Any, value: Any) -> Iterator[str]:
        """Yields an override for each part of `value` that is not what the reference, not resolved, gives there."""
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
        """Returns whether a value that is not resolved gives what the configuration has at `path`."""
        found: Any = config
        for part in path:
            if not isinstance(found, dict) or part not in found:
                return False
            found = found[part]
        if type(found) is type(reference) and not isinstance(found, list | dict) and found == reference:
            return True
        text = json.dumps(reference)  # which tells 1 from 1.0 and from true
        if "${" in text:
            text = json.dumps(self._evaluated(config, path, reference, text))
        return text == json.dumps(found)

    def _evaluated(self, config: dict[str, Any], path: Path, reference: Any, text: str) -> Any:
        """Returns what a value with `${...}` in it would be at `path`, all other values as they are."""
        groups = {path[0], *re.findall(r"\$\{\s*(\w+)", text)} & config.keys()
        around = {group: config[group] for group in sorted(groups)}
        key = (path, text, json.dumps(around))
        if key not in self.evaluated:
            self.evaluated[key] = _resolved(around, path, reference)
        return self.evaluated[key]


def _resolved(around: dict[str, Any], path: Path, value: Any) -> Any:
    """Returns a value with `${...}` in it as plain data, set at `path`; None where it refers to what is not there."""
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
    """Returns the keys that a module's name is made of, as `conv${.kernel_size}` is."""
    return re.findall(r"\$\{\.(\w+)\}", str(reference.get("name"))) if path[0] in SHOWN_BY_NAME else []


def _added(path: Path, value: Any) -> Iterator[str]:
    if isinstance(value, dict) and value:
        for part in sorted(value):
            yield from _added((*path, str(part)), value[part])
    else:
        yield f"+{'.'.join(path)}={shown(value)}"


def shown(value: Any) -> str:
    """Returns a value as Hydra takes it: 0.001, true, null, [160,160], {a:1}; text in quotes where it needs them."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{shown(one)}" for key, one in sorted(value.items())) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(shown, value)) + "]"
    if isinstance(value, str):
        if BARE.fullmatch(value) and value.lower() not in WORDS:
            return value
        return "'" + re.sub(r"(\\*)('|$)", lambda found: 2 * found[1] + "\\'" * bool(found[2]), value) + "'"
    return json.dumps(value) if value is None or isinstance(value, bool) else str(value)
