"""From overrides to resolved configurations: each choice of options is composed by Hydra once, values are set after."""

import copy
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from experiments.errors import CONF
from experiments.planning import checks, output_folder, typed
from experiments.planning.trial import override_key

Compose = Callable[[list[str]], DictConfig]


class Composer:
    """Has Hydra compose each option once, puts choices of options together from these, sets values, derives seeds.

    Composing is what takes Hydra long. The result is Hydra's own: an option whose file
    neither has defaults nor a package is nothing but the content of its group, and values are set after composing.
    """

    def __init__(self, compose: Compose) -> None:
        self.compose = compose
        self.parser = OverridesParser.create()
        self.composed: dict[tuple[str, ...], DictConfig] = {}
        self.chosen: dict[tuple[str, ...], Chosen] = {}
        self.variants: dict[tuple[str, ...], dict[str, Any]] = {}
        self.seeds: dict[str, Any] = {}  # by override: parsing one takes a millisecond

    def __call__(self, overrides: Sequence[str]) -> dict[str, Any]:
        """Returns the resolved configuration, to be read only.

        Raises UserError for a key or a kind of value that its options do not have.
        """
        checks.additions(overrides)
        options = tuple(item for item in overrides if override_key(item) in checks.GROUPS)
        typed.options(options)
        if options not in self.chosen:
            self.chosen[options] = Chosen.of(self._compose(options))
        made_of_it = self.chosen[options].asks_for_seed or any("${" in item for item in overrides)
        seeds = [item for item in overrides if override_key(item) == "seed" and not made_of_it]
        variant = tuple(item for item in overrides if item not in seeds)
        if variant not in self.variants:
            self.variants[variant] = self._set(self.chosen[options], [item for item in variant if item not in options])
        config = dict(self.variants[variant])
        for item in seeds:
            if item not in self.seeds:
                self.seeds[item] = self.parser.parse_override(item).value()
            config["seed"] = self.seeds[item]
        checks.values(config)
        return config

    def _compose(self, options: tuple[str, ...]) -> DictConfig:
        groups = [override_key(item) for item in options]
        alone = [item for item in options if _is_alone(item) and groups.count(override_key(item)) == 1]
        config = copy.deepcopy(self._composed(tuple(item for item in options if item not in alone)))
        OmegaConf.set_struct(config, False)
        for item in alone:
            group = override_key(item)
            config[group] = copy.deepcopy(self._composed((item,))[group])
        return config

    def _composed(self, options: tuple[str, ...]) -> DictConfig:
        """Returns what Hydra composes, without its own node."""
        if options not in self.composed:
            composed = self.compose(list(options))
            own = OmegaConf.masked_copy(composed, [str(key) for key in composed if key != "hydra"])
            self.composed[options] = own
        return self.composed[options]

    def _set(self, chosen: "Chosen", values: list[str]) -> dict[str, Any]:
        config = copy.deepcopy(chosen.config)
        ConfigLoaderImpl._apply_overrides_to_config(self.parser.parse_overrides(values), config)
        resolved = resolve(config)
        checks.form(resolved, chosen.resolved)
        return resolved


@dataclass(frozen=True)
class Chosen:
    """What Hydra composed for a choice of options alone."""

    config: DictConfig
    resolved: dict[str, Any]
    asks_for_seed: bool  # some other value is made from the seed

    @classmethod
    def of(cls, config: DictConfig) -> "Chosen":
        """Takes a composed configuration."""
        asks = "${seed}" in str(OmegaConf.to_container(config))
        OmegaConf.set_struct(config, True)
        return cls(config, resolve(config), asks)


def _is_alone(option: str) -> bool:
    """Returns whether `group=option` gives its group content and touches nothing else."""
    group, _, name = option.partition("=")
    path = CONF / group / f"{name}.yaml"
    if not name.isidentifier() or not path.is_file():
        return False
    text = path.read_text()
    return "@package" not in text and re.search(r"^defaults:", text, re.MULTILINE) is None


def resolve(config: DictConfig) -> dict[str, Any]:
    """Returns a composed configuration as plain dicts and lists, without Hydra's own node and with whole paths."""
    config.output_dir = str(output_folder.whole(config.output_dir))
    if config.dataset.get("root"):
        config.dataset.root = str(Path(config.dataset.root).expanduser().resolve())
    own = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"]) if "hydra" in config else config
    resolved = OmegaConf.to_container(own, resolve=True, throw_on_missing=True)
    assert isinstance(resolved, dict)
    return {str(key): value for key, value in resolved.items()}
