"""How an attempt ended, from the files of its processes, and whether a retry can help."""

import contextlib
import json
import re
import signal
from dataclasses import dataclass, replace

from experiments import names
from experiments.paths import TrialPaths
from experiments.trial.attempts import Attempt

FITTING = (
    "it does not fit; keep the variant and set extractor.checkpoint=true, more resources.gpus or fewer "
    "resources.loader_workers, or make another variant with a lower schedule.batch_size or profile.image_scale"
)


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended: MLflow's status, the reason unless FINISHED, and whether the failure is transient."""

    status: str
    reason: str | None = None
    transient: bool = False
    memory_at: int | None = None  # the step of training at which memory ran out, if it did


def told(paths: TrialPaths) -> Outcome:
    """Returns how a trial's processes ended, by their own report or else by the signals in torchrun's summary."""
    with contextlib.suppress(OSError, ValueError, TypeError):  # missing or damaged
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
    return Outcome(names.FAILED, "its processes ended without giving a reason", True)


def compared(outcome: Outcome, attempt: Attempt, before: Attempt | None) -> Outcome:
    """Returns how an attempt ended; if two attempts in a row ran out of memory at the same step, the failure is final.

    Both must have had the same devices: with more devices, each needs less memory.
    """
    if outcome.memory_at is None or before is None:
        return outcome
    if (before.memory_at, before.device) != (outcome.memory_at, attempt.device):
        return outcome
    again = f"{outcome.reason}, at step {outcome.memory_at} in two attempts in a row; {FITTING}"
    return replace(outcome, transient=False, reason=again)
