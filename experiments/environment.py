"""What other processes inherit of this one's environment: all of it, less what was meant for something else."""

import os
import re
from collections.abc import Mapping

from experiments.commands import ROOT

# Meant for another program, or for other processes of it, than those that a trial consists of.
STRAY = re.compile(
    "|".join(
        (
            # torchrun takes each option that it is not given from here: PET_NNODES=2 has it wait for a second machine.
            "PET_.*",
            # Which of another launcher's processes this one is. torchrun says it to each of ours.
            "TORCHELASTIC_.*|RANK|WORLD_SIZE|MASTER_(ADDR|PORT)|NODE_RANK|(LOCAL|GROUP|ROLE)_(RANK|WORLD_SIZE|NAME)",
            # For torchrun too, which ends with a traceback where it is not in capitals.
            "LOGLEVEL",
            # A notebook's is a module that only notebooks have, and matplotlib fails without it. No window is opened.
            "MPLBACKEND",
            # How a person starts Python: what it imports first, without its checks, a prompt at the end.
            "PYTHON(SAFEPATH|OPTIMIZE|STARTUP|INSPECT)",
        )
    )
)
# What Slurm says of the job and the step that this process is in. For sbatch and srun it would be their options.
JOB = re.compile("(SLURM|SLURMD|SRUN|SUBMITIT|PMI|PMI2|PMIX)_.*|SBATCH_(CPU|MEM)_BIND.*")
NOT_OF_THE_JOB = ("SLURM_CONF", "SLURM_CONF_SERVER", "SLURM_CLUSTERS", "SLURM_JWT", "SLURM_TIME_FORMAT")


def cleaned(inherited: Mapping[str, str]) -> dict[str, str]:
    """Returns an environment without what was meant for other processes."""
    return {key: value for key, value in inherited.items() if not STRAY.fullmatch(key)}


def clean() -> None:
    """Takes it away from this process, and so from all that it starts."""
    _keep(cleaned(os.environ))


def leave_job() -> None:
    """Makes this process ask Slurm for jobs as one outside of any job does; what the user has set for Slurm stays."""
    if "SLURM_JOB_ID" in os.environ:
        _keep({key: value for key, value in os.environ.items() if key in NOT_OF_THE_JOB or not JOB.fullmatch(key)})


def with_our_code(inherited: Mapping[str, str]) -> dict[str, str]:
    """Returns an environment in which Python looks for modules in this repository first, wherever a process starts.

    Not in the folder it starts in: that may have an `experiments` or a `random.py` that belongs to something else.
    """
    others = [path for path in inherited.get("PYTHONPATH", "").split(os.pathsep) if path and path != str(ROOT)]
    return {**inherited, "PYTHONPATH": os.pathsep.join((str(ROOT), *others)), "PYTHONSAFEPATH": "1"}


def _keep(kept: Mapping[str, str]) -> None:
    for key in set(os.environ) - set(kept):
        del os.environ[key]
