"""The user's mistakes, told in one sentence each, and the exit code that goes with them."""

import difflib
import os
import sys
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path

from hydra.core.config_store import ConfigStore
from hydra.errors import HydraException, MissingConfigException
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

ARGUMENTS = ("aggregation", "pre", "post")  # groups whose keys, but for name and type, are arguments of a class
CONF = Path(__file__).parent.parent / "conf"


class UserError(Exception):
    """A mistake of the user: shown as one sentence, exit code 2."""


def unknown(what: str, value: object, valid: Iterable[object]) -> UserError:
    """Returns the error for a name that is none of `valid`, with the nearest one suggested."""
    names = [str(v) for v in valid]
    near = difflib.get_close_matches(str(value), names, n=1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    return UserError(f"{what} {str(value)!r} is unknown{hint}; choose one of: {', '.join(names)}")


def explain(error: HydraException | OmegaConfBaseException) -> UserError:
    """Returns what Hydra or OmegaConf found wrong with the command line, as one sentence that lists what is valid."""
    if isinstance(error, MissingConfigException) and error.missing_cfg_file and error.options:  # of Hydra's own groups
        group, _, option = str(error.missing_cfg_file).rpartition("/")
        return unknown(f"{group}: option", option, error.options)
    cause = error.__cause__ if isinstance(error.__cause__, OmegaConfBaseException) else error
    parent = getattr(cause, "parent_node", None)
    if isinstance(cause, ConfigKeyError | ConfigAttributeError) and parent is not None:
        where = parent._get_full_key(None)
        keys = [str(key) for key in parent if key != "hydra"]
        mistake = unknown(f"{where}: key" if where else "key", cause.key, keys)
        if where in ARGUMENTS:
            return UserError(
                f"{mistake}; add an argument that the option's file leaves out with +{where}.{cause.key}=..."
            )
        return mistake
    return UserError(" ".join(str(error).split()))


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
        typed.check(sys.argv[1:])
        command()
    except (HydraException, OmegaConfBaseException) as error:
        mistake = explain(error)
    except UserError as error:
        mistake = error
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 1
    except KeyboardInterrupt:
        return 130
    else:
        return 0
    print(f"error: {mistake}", file=sys.stderr)
    return 2
