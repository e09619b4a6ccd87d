"""From overrides to resolved configurations: each choice of options is composed by Hydra once, values are set after."""

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from itertools import zip_longest
from pathlib import Path
from typing import Any

import yaml
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from experiments import names, output_folder, sqlite_uri
from experiments.declared import key_of
from experiments.errors import CONF
from experiments.planning import checks, command_line, numbers, option_files

Compose = Callable[[list[str]], DictConfig]


class Composer:
    """Has Hydra compose each option once, puts choices of options together from these, sets values, derives seeds.

    Composing is what takes Hydra long. The result is Hydra's own: an option whose file
    neither has a package nor starts from other groups is nothing but the content of its group, and values are set
    after composing.
    """

    def __init__(self, compose: Compose) -> None:
        self.compose = compose
        self.parser = OverridesParser.create()
        self.composed: dict[tuple[str, ...], DictConfig] = {}
        self.contents: dict[str, DictConfig] = {}  # of a group, by the option that gives it alone
        self.references: dict[tuple[str, ...], dict[str, Any]] = {}  # by options: resolved, with nothing else set
        self.unset: dict[tuple[str, ...], DictConfig] = {}  # what these were resolved from: to copy it takes long
        self.raw: dict[tuple[str, ...], dict[str, Any]] = {}  # the same, not resolved
        self.variants: dict[tuple[str, ...], Variant] = {}
        self.seeds: dict[str, Any] = {}  # by override: parsing one takes a millisecond

    def foresee(self, wanted: Iterable[Sequence[str]]) -> None:
        """Has Hydra compose options of several groups at once: as often as the group with most options has some."""
        by_group: dict[str, list[str]] = {}
        for item in dict.fromkeys(item for overrides in wanted for item in overrides):
            if _is_alone(item):
                by_group.setdefault(key_of(item), []).append(item)
        for together in zip_longest(*by_group.values()):
            with suppress(HydraException, OmegaConfBaseException):  # which are told where the option is asked for
                self._learn([item for item in together if item is not None])

    def _learn(self, alone: Sequence[str]) -> None:
        composed = self._composed(tuple(alone))
        self.contents |= {item: composed[key_of(item)] for item in alone}

    def __call__(self, overrides: Sequence[str]) -> dict[str, Any]:
        """Returns the resolved configuration, to be read only.

        Raises UserError for a key or a kind of value that its options do not have.
        """
        options = tuple(item for item in overrides if key_of(item) in command_line.GROUPS)
        command_line.judge(overrides)
        if options not in self.references:
            self.unset[options] = self._compose(options)
            option_files.check(self.unset[options], options)
            self.references[options] = resolve(self.unset[options])
        checks.additions(overrides, self.references[options])
        seeds = [item for item in overrides if key_of(item) == "seed"]
        variant = self._variant(options, tuple(item for item in overrides if item not in seeds))
        if variant.seeded is None or any("$" in item for item in seeds):
            config = dict(self._variant(options, tuple(overrides)).config)
        else:
            config = dict(variant.config)
            for item in seeds:
                if item not in self.seeds:
                    self.seeds[item] = numbers.spelt(self.parser.parse_override(item).value())
                for path in (("seed",), *variant.seeded):
                    _put(config, path, self.seeds[item])
        checks.settings(config)
        return config

    def content(self, options: tuple[str, ...]) -> dict[str, Any]:
        """Returns what options give with nothing else set, `${...}` as it stands in their files, to be read only."""
        if options not in self.raw:
            raw = OmegaConf.to_container(self._compose(options))
            assert isinstance(raw, dict)
            self.raw[options] = {str(key): value for key, value in raw.items()}
        return self.raw[options]

    def _variant(self, options: tuple[str, ...], overrides: tuple[str, ...]) -> "Variant":
        if overrides not in self.variants:
            values = [item for item in overrides if item not in options]
            self.variants[overrides] = self._set(options, values)
        return self.variants[overrides]

    def _compose(self, options: tuple[str, ...]) -> DictConfig:
        groups = [key_of(item) for item in options]
        alone = [item for item in options if _is_alone(item) and groups.count(key_of(item)) == 1]
        config = copy.deepcopy(self._composed(tuple(item for item in options if item not in alone)))
        OmegaConf.set_struct(config, False)
        for item in alone:
            if item not in self.contents:
                self._learn([item])
            config[key_of(item)] = copy.deepcopy(self.contents[item])
        OmegaConf.set_struct(config, True)
        return config

    def _composed(self, options: tuple[str, ...]) -> DictConfig:
        """Returns what Hydra composes, without its own node."""
        if options not in self.composed:
            composed = self.compose(list(options))
            own = OmegaConf.masked_copy(composed, [str(key) for key in composed if key != "hydra"])
            self.composed[options] = own
        return self.composed[options]

    def _set(self, options: tuple[str, ...], values: list[str]) -> "Variant":
        config = self.unset.pop(options, None) or self._compose(options)
        ConfigLoaderImpl._apply_overrides_to_config(self.parser.parse_overrides(values), config)
        seeded = _seeded(OmegaConf.to_container(config))
        resolved = resolve(config)
        numbers.read(resolved, self.references[options])
        checks.open_keys(resolved, self.references[options])
        return Variant(resolved, seeded)


@dataclass(frozen=True)
class Variant:
    """A resolved configuration, and where in it the seed stands once more; None where more is made from the seed."""

    config: dict[str, Any]
    seeded: tuple[tuple[str, ...], ...] | None


def _seeded(content: Any) -> tuple[tuple[str, ...], ...] | None:
    """Returns the places whose value is `${seed}`; None where another value may be made from it, or from such a place.

    Args:
        content: of a configuration that is not resolved.
    """
    made = {path: value for path, value in _leaves(content) if isinstance(value, str) and "${" in value}
    places = tuple(path for path, value in made.items() if value == "${seed}")
    words = {"seed", *(key for path in places for key in path)}
    others = [value for path, value in made.items() if path not in places]
    in_list = any(key.isdigit() for path in places for key in path)
    return None if in_list or any(word in value for value in others for word in words) else places


def _leaves(content: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(content, dict | list):
        for key, value in content.items() if isinstance(content, dict) else enumerate(content):
            yield from _leaves(value, (*path, str(key)))
    else:
        yield path, content


def _put(config: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    """Sets a value; of what contains it, copies are changed."""
    *parents, last = path
    for key in parents:
        config[key] = config = dict(config[key])
    config[last] = value


def _is_alone(option: str) -> bool:
    """Returns whether `group=option` gives its group content and touches nothing else."""
    group, _, name = option.partition("=")
    return _only_content(group, name)


@cache
def _only_content(group: str, name: object) -> bool:
    """Returns whether an option's file, and those of its group that it starts from, are content of the group alone."""
    path = CONF / group / f"{name}.yaml"
    if not isinstance(name, str) or not name.isidentifier() or not path.is_file():
        return False
    text = path.read_text()
    if "@package" in text:
        return False
    content = yaml.safe_load(text)
    origins = content.get("defaults", []) if isinstance(content, dict) else []
    return all(origin == "_self_" or _only_content(group, origin) for origin in origins)


def resolve(config: DictConfig) -> dict[str, Any]:
    """Returns a composed configuration as plain dicts and lists, without Hydra's own node and with whole paths."""
    config.output_dir = str(output_folder.whole(config.output_dir))
    if isinstance(config.dataset.get("root"), str) and config.dataset.root:
        config.dataset.root = str(Path(config.dataset.root).expanduser().resolve())
    own = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"]) if "hydra" in config else config
    resolved = OmegaConf.to_container(own, resolve=True, throw_on_missing=True)
    assert isinstance(resolved, dict)
    tracking = resolved.get("tracking")
    if isinstance(tracking, dict):
        tracking["uri"] = names.tracking_uri(tracking.get("uri"), tracking.pop("otherwise", None))
        if isinstance(tracking["uri"], str):
            typed_uri = sqlite_uri.of_typed(tracking["uri"], Path(str(config.output_dir)))
            tracking["uri"] = sqlite_uri.whole(typed_uri, Path.cwd())
    return {str(key): value for key, value in resolved.items()}
