"""How an attempt ended, from what its processes left, and whether another may end otherwise."""

import contextlib
import json
import re
import signal
from dataclasses import dataclass, replace

from experiments import names
from experiments.paths import TrialPaths
from experiments.trial.attempts import Attempt

FITTING = (
    "it does not fit: keep the variant and set extractor.checkpoint=true, give it more GPUs (resources.gpus) or fewer "
    "resources.loader_workers, or make another with a lower schedule.batch_size or profile.image_scale"
)


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended: MLflow's status word, the reason unless FINISHED, and whether it may not happen again."""

    status: str
    reason: str | None = None
    transient: bool = False
    memory_at: int | None = None  # the step of training at which memory ran out, if it did


def told(paths: TrialPaths) -> Outcome:
    """Returns how a trial's processes say that they ended, else what torchrun's summary says of signals."""
    with contextlib.suppress(OSError, ValueError, TypeError):  # there is none, or it was damaged
        return Outcome(**json.loads(paths.ending.read_bytes()))
    last = paths.log.read_text(errors="replace").rpartition("--- attempt")[2]
    signals = re.findall(r"Signal \d+ \((SIG\w+)\)", last)  # of a rank
    signals += [signal.Signals(int(number)).name for number in re.findall(r"got signal: (\d+)", last)]  # torchrun's own
    found = signals[-1] if signals else None
    if found in ("SIGTERM", "SIGINT", "SIGHUP"):
        return Outcome(names.KILLED, f"its processes were ended by {found} from outside")
    if found:
        memory = " (out of memory?)" if found == "SIGKILL" else ""
        return Outcome(names.FAILED, f"a process was ended by {found}{memory}", True)
    return Outcome(names.FAILED, "its processes ended without telling why", True)


def compared(outcome: Outcome, attempt: Attempt, before: Attempt | None) -> Outcome:
    """Returns how an attempt ended in the light of the one before: what ran out of memory at one step twice never fits.

    Both must have been on the same devices: on more of them each has less to hold.
    """
    if outcome.memory_at is None or before is None:
        return outcome
    if (before.memory_at, before.device) != (outcome.memory_at, attempt.device):
        return outcome
    again = f"{outcome.reason}, at step {outcome.memory_at} in two attempts in a row; {FITTING}"
    return replace(outcome, transient=False, reason=again)
