"""The environment that other processes inherit: this process's, without variables for other programs."""

import os
import re
from collections.abc import Mapping

from experiments.commands import ROOT

# Variables for other programs or processes than those of a trial.
STRAY = re.compile(
    "|".join(
        (
            # torchrun reads missing options from these: with PET_NNODES=2 it waits for a second machine.
            "PET_.*",
            # The rank that another launcher gave this process. torchrun sets it for each of our ranks.
            "TORCHELASTIC_.*|RANK|WORLD_SIZE|MASTER_(ADDR|PORT)|NODE_RANK|(LOCAL|GROUP|ROLE)_(RANK|WORLD_SIZE|NAME)",
            # For torchrun, which ends with a traceback if it is not in capitals.
            "LOGLEVEL",
            # A notebook sets a module that only notebooks have, and matplotlib fails without it. No window is opened.
            "MPLBACKEND",
            # Options of a user's Python: startup imports, disabled checks, a prompt at the end.
            "PYTHON(SAFEPATH|OPTIMIZE|STARTUP|INSPECT)",
        )
    )
)
# Slurm's variables about this process's job and step. sbatch and srun would read them as options.
JOB = re.compile("(SLURM|SLURMD|SRUN|SUBMITIT|PMI|PMI2|PMIX)_.*|SBATCH_(CPU|MEM)_BIND.*")
NOT_OF_THE_JOB = ("SLURM_CONF", "SLURM_CONF_SERVER", "SLURM_CLUSTERS", "SLURM_JWT", "SLURM_TIME_FORMAT")


def cleaned(inherited: Mapping[str, str]) -> dict[str, str]:
    """Returns an environment without the variables for other processes."""
    return {key: value for key, value in inherited.items() if not STRAY.fullmatch(key)}


def clean() -> None:
    """Removes these variables from this process, and so from all processes that it starts."""
    _keep(cleaned(os.environ))


def leave_job() -> None:
    """Lets this process submit Slurm jobs as if it were outside a job; the user's own Slurm settings stay."""
    if "SLURM_JOB_ID" in os.environ:
        _keep({key: value for key, value in os.environ.items() if key in NOT_OF_THE_JOB or not JOB.fullmatch(key)})


def with_our_code(inherited: Mapping[str, str]) -> dict[str, str]:
    """Returns an environment in which Python looks for modules in this repository first, in any folder.

    The folder in which a process starts may have an unrelated `experiments` or `random.py`.
    """
    others = [path for path in inherited.get("PYTHONPATH", "").split(os.pathsep) if path and path != str(ROOT)]
    return {**inherited, "PYTHONPATH": os.pathsep.join((str(ROOT), *others)), "PYTHONSAFEPATH": "1"}


def _keep(kept: Mapping[str, str]) -> None:
    for key in set(os.environ) - set(kept):
        del os.environ[key]
