"""Translates the errors of Hydra and OmegaConf into one sentence that lists what is valid."""

import re

from hydra.errors import HydraException, MissingConfigException
from omegaconf import OmegaConf
from omegaconf.errors import (
    ConfigAttributeError,
    ConfigKeyError,
    InterpolationResolutionError,
    OmegaConfBaseException,
)

from experiments.errors import UserError, unknown
from experiments.factors import MODULES
from experiments.sentences import shown

OWN = ("hydra", "_target_")  # Hydra's own keys, which users cannot set
# OmegaConf's messages, and ours in their place.
WORDS = (
    (
        r"^Cannot merge .*",
        "the value is a list in place of settings, or settings in place of a list; see `python run.py --cfg job`",
    ),
    (r"^Missing mandatory value.*", "its value is missing (???); give one"),
    (r"^Could not delete from config\. '(.*)' does not exist\.", r"\1 has no value to remove; leave it out"),
    (r"^Interpolation key '(.*)' not found", r"there is no key '\1'"),
    (r".*Environment variable '(.*)' not found.*", r"the environment variable \1 is not set"),
    (r"^Unsupported interpolation type (\w+)", r"there is no function '\1'"),
    (r"^Recursive interpolation detected", "its value refers to itself"),
    (r"^Interpolation to parent node detected", "its value refers to a group that contains it"),
)


def explain(error: HydraException | OmegaConfBaseException) -> UserError:
    """Returns an error of Hydra or OmegaConf about the command line as one sentence that lists the valid names."""
    if isinstance(error, MissingConfigException) and error.missing_cfg_file and error.options:  # of Hydra's own groups
        group, _, option = str(error.missing_cfg_file).rpartition("/")
        return unknown(f"{group}: option", option, error.options)
    cause = error.__cause__ if isinstance(error.__cause__, OmegaConfBaseException) else error
    parent = getattr(cause, "parent_node", None)
    if isinstance(cause, ConfigKeyError | ConfigAttributeError) and parent is not None:
        where = str(cause.full_key).removesuffix(str(cause.key)).rstrip(".")
        keys = [str(key) for key in parent if key not in OWN] if OmegaConf.is_config(parent) else []
        if where and not keys:
            return UserError(f"{where} has no keys, so {shown(cause.key)!r} is unknown; leave it out")
        mistake = unknown(f"{where}: key" if where else "key", cause.key, keys)
        if where in MODULES:
            advice = f"if it is an argument of the class, add it with +{where}.{shown(cause.key)}=..."
            return UserError(f"{mistake}; {advice}")
        return mistake
    # OmegaConf's message is the first line; the key is kept separately.
    place, words = getattr(cause, "full_key", None), str(cause).partition("\n")[0]
    for theirs, ours in WORDS:
        words = re.sub(theirs, ours, words)
    advice = ""
    if isinstance(cause, InterpolationResolutionError):
        advice = "; ${KEY} is the value of another key, ${oc.env:NAME,DEFAULT} that of an environment variable"
    return UserError(f"{f'{place}: ' if place else ''}{words}{advice}")
