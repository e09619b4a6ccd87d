"""A trial is one variant with one seed. Its id is a hash of everything that can change its result."""

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from experiments import names
from experiments.data.shapes_cache import VERSION as SHAPES_VERSION
from experiments.declared import key_of
from experiments.factors import EDITING, FACTORS
from experiments.paths import OutputPaths, TrialPaths
from experiments.settings import Settings

ID_VERSION = 2  # raise it when the same configuration gets another meaning
# Keys that cannot change a result: places and resources. The data's content is checked separately (datasets).
EXCLUDED = (
    *("sweep", "output_dir", "trial_dir", "launch_dir", "resources", "extractor", "tracking", "dataset.root"),
    *("dry_run", "calibrate", "rerun", "fail_fast", "retry", "seeds"),
)
SHOWN_BY_NAME = ("architecture", "aggregation", "pre", "post")


@dataclass(frozen=True)
class Trial:
    """A resolved configuration (plain dicts and lists), its overrides, and its label."""

    config: dict[str, Any]
    overrides: tuple[str, ...]
    variant: str = ""  # the label by `labels.Labels`, without the seed; "" if only the identity is needed

    @cached_property
    def settings(self) -> Settings:
        """The configuration, typed."""
        return Settings.model_validate(self.config)

    @cached_property
    def trial_id(self) -> str:
        """Readable prefix and hash, e.g. `faster_rcnn-sum-conv5-attention-s0-1f2e3d4c5b`."""
        parts = [self.config[group]["name"] for group in SHOWN_BY_NAME]
        return "-".join([*parts, f"s{self.seed}", _digest(identity(self.config))])

    @cached_property
    def variant_id(self) -> str:
        return variant_of(self.config)

    @property
    def seed(self) -> int:
        return self.settings.seed

    @property
    def factors(self) -> dict[str, str]:
        """The names of the chosen options, by group."""
        return {group: self.config[group]["name"] for group in FACTORS}

    @property
    def kernel_sizes(self) -> dict[str, int]:
        """The kernel sizes of the chosen modules, by configuration key; a module without one is absent."""
        sizes = {f"{place}.kernel_size": self.config[place].get("kernel_size") for place in ("pre", "post")}
        return {key: size for key, size in sizes.items() if size is not None}

    @property
    def note(self) -> str | None:
        """The profile's note on other changes to this architecture than its size."""
        return self.settings.profile.notes.get(self.settings.architecture.name)

    @property
    def paths(self) -> TrialPaths:
        return OutputPaths(Path(self.settings.output_dir)).trial(self.trial_id)

    def describe(self) -> dict[str, Any]:
        """Returns the description that the trial's folder keeps next to the configuration."""
        return {
            names.TRIAL_ID: self.trial_id,
            names.VARIANT_ID: self.variant_id,
            names.VARIANT: self.variant,
            names.OVERRIDES: [item for item in self.overrides if _tells_what(key_of(item))],
            names.SEED: self.seed,
            "factors": self.factors,
            "kernel_sizes": self.kernel_sizes,
            "epochs": self.settings.schedule.epochs,
        }


def identity(config: dict[str, Any]) -> dict[str, Any]:
    """Returns what identifies a trial: its configuration without `EXCLUDED`, and the versions of its meaning."""
    kept = json.loads(json.dumps(config))
    for path in EXCLUDED:
        *parents, last = path.split(".")
        node = kept
        for key in parents:
            node = node[key]
        node.pop(last, None)
    for group in EDITING:  # an option that edits nothing changes no id, so a new factor leaves all ids as they are
        if not kept.get(group, {}).get("edits"):
            kept.pop(group, None)
    kept["versions"] = {"trial_id": ID_VERSION, "shapes": SHAPES_VERSION}
    return kept


def variant_of(config: dict[str, Any]) -> str:
    """Returns the hash of a configuration without its seed: equal for all seeds of a variant."""
    return _digest(unseeded(config))


def unseeded(config: dict[str, Any]) -> dict[str, Any]:
    """Returns what identifies a variant: the identity of its trials without the seed."""
    kept = identity(config)
    del kept["seed"]
    for group in ("aggregation", "pre", "post"):
        if kept[group].get("seed") == config["seed"]:  # a copy of the seed, as in `random`
            del kept[group]["seed"]
    return kept


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:10]


def is_about_the_work(key: str) -> bool:
    """Returns whether a key only sets where and how to run: a key of Hydra, or one of `EXCLUDED`."""
    return key.startswith(("hydra.", "hydra/")) or any(key == name or key.startswith(name + ".") for name in EXCLUDED)


def _tells_what(key: str) -> bool:
    """Returns whether a command that repeats this trial elsewhere needs an override of this key."""
    return key == "dataset.root" or not is_about_the_work(key)
