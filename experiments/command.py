"""Runs the Hydra command of run.py and turns its errors into a sentence and an exit code."""

import os
import sys
import warnings
from collections.abc import Callable

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from experiments import environment, patches, sentences
from experiments.commands import Place
from experiments.errors import UserError, of_system
from experiments.planning import command_line
from experiments.planning.hydra_errors import explain


def report(command: Callable[[], None]) -> int:
    """Runs a Hydra command; returns its exit code: 0, 1 for a failed trial, 2 for a mistake, which it prints."""
    environment.clean()
    os.environ["HYDRA_FULL_ERROR"] = "1"  # so that Hydra raises its errors instead of printing them with exit code 1
    # A launcher's preset has the name of its plugin's schema on purpose, so that mistyped keys are refused.
    warnings.filterwarnings("ignore", r"\s*'hydra/launcher/\w+' is validated against ConfigStore schema")
    patches.read_hydra_store_in_place()
    try:
        sys.argv[1:] = command_line.check(sys.argv[1:])
        command()
    except (HydraException, OmegaConfBaseException) as error:
        mistake = explain(error)
    except YAMLError as error:
        mistake = UserError(f"a file of conf/ is not YAML: {' '.join(str(error).split())}")
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
    return sentences.report(Place().localized(mistake))
