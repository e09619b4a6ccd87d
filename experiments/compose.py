"""From overrides to resolved configurations: each choice of options is composed by Hydra once, values are set after."""

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from experiments import checks
from experiments.trial import override_key

Compose = Callable[[list[str]], DictConfig]


class Composer:
    """Composes variants; those that share their options (`pre=conv5`) differ only in values and in the seed.

    Composing takes Hydra some 70 ms, setting values a tenth of that, and it does the one before the other itself.
    """

    def __init__(self, compose: Compose) -> None:
        self.compose = compose
        self.parser = OverridesParser.create()
        self.chosen: dict[tuple[str, ...], tuple[DictConfig, dict[str, Any]]] = {}

    def __call__(self, overrides: Sequence[str]) -> dict[str, Any]:
        """Returns the resolved configuration; UserError for a key or kind of value that its options do not have."""
        checks.additions(overrides)
        options = tuple(item for item in overrides if override_key(item) in checks.GROUPS)
        checks.options(options)
        if options not in self.chosen:
            composed = self.compose(list(options))
            own = OmegaConf.masked_copy(composed, [str(key) for key in composed if key != "hydra"])
            OmegaConf.set_struct(own, True)
            self.chosen[options] = own, resolve(own)
        base, reference = self.chosen[options]
        config = copy.deepcopy(base)
        values = [item for item in overrides if item not in options]
        ConfigLoaderImpl._apply_overrides_to_config(self.parser.parse_overrides(values), config)
        resolved = resolve(config)
        checks.form(resolved, reference)
        checks.values(resolved)
        return resolved


def resolve(config: DictConfig) -> dict[str, Any]:
    """Returns a composed configuration as plain dicts and lists, without Hydra's own node and with whole paths."""
    config.output_dir = str(Path(config.output_dir).expanduser().resolve())
    if config.dataset.get("root"):
        config.dataset.root = str(Path(config.dataset.root).expanduser().resolve())
    own = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"]) if "hydra" in config else config
    resolved = OmegaConf.to_container(own, resolve=True, throw_on_missing=True)
    assert isinstance(resolved, dict)
    return {str(key): value for key, value in resolved.items()}
