"""From overrides to resolved configurations: Hydra composes each variant once; its seeds are set afterwards."""

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from experiments import names, output_folder, sqlite_uri
from experiments.declared import key_of
from experiments.overrides import read
from experiments.planning import checks, command_line, numbers, option_files

Compose = Callable[[list[str]], DictConfig]


class Composer:
    """Has Hydra compose each variant once and each choice of options once; derives the configurations of its seeds."""

    def __init__(self, compose: Compose) -> None:
        self.compose = compose
        self.composed: dict[tuple[str, ...], DictConfig] = {}
        self.references: dict[tuple[str, ...], dict[str, Any]] = {}  # by options: resolved, without other overrides
        self.raw: dict[tuple[str, ...], dict[str, Any]] = {}  # the same, unresolved
        self.variants: dict[tuple[str, ...], Variant] = {}

    def __call__(self, overrides: Sequence[str]) -> dict[str, Any]:
        """Returns the resolved configuration, which callers must not change.

        Raises UserError for a key or a type of value that its options do not have.
        """
        options = tuple(item for item in overrides if key_of(item) in command_line.GROUPS)
        command_line.judge(overrides)
        if any(item.startswith(("+", "~")) for item in overrides):
            checks.additions(overrides, self._reference(options))
        seeds = [item for item in overrides if key_of(item) == "seed"]
        variant = self._variant(options, tuple(item for item in overrides if item not in seeds))
        if variant.seeded is None or any("$" in item for item in seeds):
            config = dict(self._variant(options, tuple(overrides)).config)
        else:
            config = dict(variant.config)
            for item in seeds:
                seed = numbers.spelt(read(item).value())
                for path in (("seed",), *variant.seeded):
                    _put(config, path, seed)
        checks.settings(config)
        return config

    def content(self, options: tuple[str, ...]) -> dict[str, Any]:
        """Returns the unresolved configuration of options without other overrides, which callers must not change."""
        if options not in self.raw:
            raw = OmegaConf.to_container(self._composed(options))
            assert isinstance(raw, dict)
            self.raw[options] = {str(key): value for key, value in raw.items()}
        return self.raw[options]

    def _reference(self, options: tuple[str, ...]) -> dict[str, Any]:
        if options not in self.references:
            option_files.check(self._composed(options), options)
            self.references[options] = resolve(copy.deepcopy(self._composed(options)))
        return self.references[options]

    def _variant(self, options: tuple[str, ...], overrides: tuple[str, ...]) -> "Variant":
        if overrides not in self.variants:
            config = copy.deepcopy(self._composed(overrides))
            seeded, opened = _seeded(OmegaConf.to_container(config)), any(map(checks.is_open, overrides))
            if not opened:  # else the options alone are checked
                option_files.check(config, options)
            resolved = resolve(config)
            reference = self._reference(options) if opened else resolved
            numbers.read(resolved, reference)
            checks.open_keys(resolved, reference)
            self.variants[overrides] = Variant(resolved, seeded)
        return self.variants[overrides]

    def _composed(self, overrides: tuple[str, ...]) -> DictConfig:
        """Returns what Hydra composes, without the node `hydra`."""
        if overrides not in self.composed:
            composed = self.compose(list(overrides))
            own = OmegaConf.masked_copy(composed, [str(key) for key in composed if key != "hydra"])
            self.composed[overrides] = own
        return self.composed[overrides]


@dataclass(frozen=True)
class Variant:
    """A resolved configuration, and its places with a copy of the seed; None if other values follow from the seed."""

    config: dict[str, Any]
    seeded: tuple[tuple[str, ...], ...] | None


def _seeded(content: Any) -> tuple[tuple[str, ...], ...] | None:
    """Returns the places whose value is `${seed}`; None if another value may follow from the seed or such a place.

    Args:
        content: of an unresolved configuration.
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
    """Sets a value in place; the containers of the value are replaced by changed copies."""
    *parents, last = path
    for key in parents:
        config[key] = config = dict(config[key])
    config[last] = value


def resolve(config: DictConfig) -> dict[str, Any]:
    """Returns a composed configuration as plain dicts and lists, without Hydra's own node and with absolute paths."""
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
