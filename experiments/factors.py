"""The factors of a study: the groups of options that conf/config.yaml lists, less those that only say where to run."""

from typing import Any

import yaml

from experiments.commands import ROOT

CONF = ROOT / "conf"
MODULES = ("aggregation", "pre", "post")  # groups whose keys, except name and type, are arguments of a class
READ = (*MODULES, "architecture", "recipe", "dataset", "schedule", "profile")  # groups with keys that the harness reads
WORK = ("resources", "tracking")  # no factors


def of_file(group: str, option: str) -> dict[str, Any]:
    """Returns an option's file as it stands; nothing where it does not exist or is not a mapping."""
    file = CONF / group / f"{option}.yaml"
    content = yaml.safe_load(file.read_text(encoding="utf-8")) if file.is_file() else None
    return content if isinstance(content, dict) else {}


def _defaults() -> dict[str, str]:
    try:
        listed = yaml.safe_load((CONF / "config.yaml").read_text(encoding="utf-8"))["defaults"]
    except (OSError, ValueError, LookupError, TypeError, yaml.YAMLError):  # Hydra says so when it composes
        listed = []
    pairs = [pair for entry in listed if isinstance(entry, dict) for pair in entry.items()]
    found = {group: str(option) for group, option in pairs if not group.startswith("override ")}
    return {**dict.fromkeys((*READ, *WORK), ""), **found}


GROUPS = _defaults()  # group -> the option that is composed where none is chosen
EDITING = tuple(group for group in GROUPS if group not in (*READ, *WORK))  # they only edit MMDetection's config
FACTORS = (*READ, *EDITING)
