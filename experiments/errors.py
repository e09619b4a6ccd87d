"""The user's mistakes, told in one sentence each, and the exit code that goes with them."""

import os
import re
import sys
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path

from hydra.core.config_store import ConfigStore
from hydra.errors import HydraException, MissingConfigException
from omegaconf import OmegaConf
from omegaconf.errors import (
    ConfigAttributeError,
    ConfigKeyError,
    InterpolationResolutionError,
    OmegaConfBaseException,
)

from experiments.commands import Place
from experiments.sentences import choose_from, sentence, shown

ARGUMENTS = ("aggregation", "pre", "post")  # groups whose keys, but for name and type, are arguments of a class
CONF = Path(__file__).parent.parent / "conf"
OWN = ("hydra", "_target_")  # keys of Hydra's own, which are not the user's to give
# What OmegaConf says, and how it is said here.
WORDS = (
    (r"^Cannot merge .*", "a list is given for settings, or settings for a list; see `python run.py --cfg job`"),
    (r"^Missing mandatory value.*", "it has no value, only ???; give one"),
    (r"^Could not delete from config\. '(.*)' does not exist\.", r"\1 has no value to take away; leave it out"),
    (r"^Interpolation key '(.*)' not found", r"there is no key '\1'"),
    (r".*Environment variable '(.*)' not found.*", r"the environment variable \1 is not set"),
    (r"^Unsupported interpolation type (\w+)", r"there is no function '\1'"),
    (r"^Recursive interpolation detected", "its value leads back to itself"),
    (r"^Interpolation to parent node detected", "its value is what it is a part of"),
)


class UserError(Exception):
    """A mistake of the user: shown as one sentence, exit code 2."""


def unknown(what: str, value: object, valid: Iterable[object]) -> UserError:
    """Returns the error for a name that is none of `valid`, with the nearest one suggested."""
    return UserError(f"{what} {shown(value)!r} is unknown{choose_from(value, valid)}")


def explain(error: HydraException | OmegaConfBaseException) -> UserError:
    """Returns what Hydra or OmegaConf found wrong with the command line, as one sentence that lists what is valid."""
    if isinstance(error, MissingConfigException) and error.missing_cfg_file and error.options:  # of Hydra's own groups
        group, _, option = str(error.missing_cfg_file).rpartition("/")
        return unknown(f"{group}: option", option, error.options)
    cause = error.__cause__ if isinstance(error.__cause__, OmegaConfBaseException) else error
    parent = getattr(cause, "parent_node", None)
    if isinstance(cause, ConfigKeyError | ConfigAttributeError) and parent is not None:
        where = parent._get_full_key(None)
        keys = [str(key) for key in parent if key not in OWN] if OmegaConf.is_config(parent) else []
        if where and not keys:
            return UserError(f"{where} has no keys, so none that is called {shown(cause.key)!r}; leave it out")
        mistake = unknown(f"{where}: key" if where else "key", cause.key, keys)
        if where in ARGUMENTS:
            advice = f"add an argument that the option's file leaves out with +{where}.{shown(cause.key)}=..."
            return UserError(f"{mistake}; {advice}")
        return mistake
    # OmegaConf's own sentence is the first line; where it happened is kept apart.
    where, words = getattr(cause, "full_key", None), str(cause).partition("\n")[0]
    for theirs, ours in WORDS:
        words = re.sub(theirs, ours, words)
    advice = ""
    if isinstance(cause, InterpolationResolutionError):
        advice = "; ${KEY} is the value of another key, ${oc.env:NAME,DEFAULT} that of an environment variable"
    return UserError(f"{f'{where}: ' if where else ''}{words}{advice}")


def of_system(error: OSError) -> UserError:
    """Returns the sentence for a file that may not be used: no permission, no space; raises it where it names none."""
    if error.filename is None:
        raise error
    return UserError(f"{error.filename} cannot be used ({error.strerror}); put that right, or give another place")


def report(command: Callable[[], None]) -> int:
    """Runs a Hydra command; returns its exit code: 0, 1 for a failed trial, 2 for a user's mistake, told on stderr."""
    from experiments.jobs import environment
    from experiments.planning import typed

    environment.clean()
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises what it would else print in its own words with exit code 1
    # A launcher's preset bears the name of its plugin's schema on purpose: so mistyped keys are refused.
    warnings.filterwarnings("ignore", r"\s*'hydra/launcher/\w+' is validated against ConfigStore schema")
    # Hydra copies its store, which it only reads, for every group that its help lists and for every composition.
    setattr(ConfigStore, "__deepcopy__", lambda store, memo: store)  # noqa: B010 (mypy forbids the plain assignment)
    try:
        sys.argv[1:] = typed.check(sys.argv[1:])
        command()
    except (HydraException, OmegaConfBaseException) as error:
        mistake = explain(error)
    except UserError as error:
        mistake = error
    except OSError as error:
        mistake = of_system(error)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 1
    except KeyboardInterrupt:
        return 130
    else:
        return 0
    print(f"error: {sentence(Place().localized(mistake))}", file=sys.stderr)
    return 2
