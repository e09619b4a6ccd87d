"""Classifies the exception of a failed rank: whether the failure is transient, and the remedy if it is not.

The type alone is not enough: a killed data-loading process, a broken connection to another rank, an error of cuDNN and
mistakes in the code are all a RuntimeError. For these the message decides.
"""

import errno
import re
import socket
from typing import Any

import torch
from mmengine.logging import MessageHub

from experiments import names
from experiments.errors import UserError
from experiments.paths import TrialPaths

MEMORY = (torch.OutOfMemoryError, MemoryError)
MEMORY_WORDS = re.compile(
    "out of memory|(can't|Cannot|Unable to) allocate|not enough memory|Insufficient memory|ALLOC(ATION)?_FAILED"
    "|unable to find an engine|Unable to find a valid cuDNN algorithm"  # cuDNN's, if no workspace is left
)

# Events outside the program: machine, network, signals.
PASSING = (torch.AcceleratorError, torch.distributed.DistError, ConnectionError, TimeoutError)
PASSING_WORDS = re.compile(
    r"DataLoader worker .*(is killed by signal|exited unexpectedly)|Pin memory thread exited unexpectedly"
    r"|Connection (closed|reset) by peer|Timed out waiting|[Ss]ocket [Cc]losed"  # another rank is gone
    r"|CUDA (unknown )?error|No CUDA GPUs are available|HIP error|NCCL error"
    r"|cuDNN error|CUDNN_STATUS_|CUBLAS_STATUS_|CUFFT_|CUSOLVER_STATUS_|CUSPARSE_STATUS_"
    r"|HTTP Error (429|5\d\d)"
)
PASSING_NUMBERS = {
    *(errno.EIO, errno.ESTALE, errno.EREMOTEIO, errno.EAGAIN, errno.EBUSY),  # mostly of network disks
    *(errno.ENETDOWN, errno.ENETUNREACH, errno.ENETRESET, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ETIMEDOUT),
    *(errno.ECONNRESET, errno.ECONNREFUSED, errno.ECONNABORTED, errno.EPIPE, socket.EAI_AGAIN),
}
# Also a GPU's errors, except those of a wrong program or a wrong build.
LASTING_WORDS = re.compile(
    "device-side assert|no kernel image|invalid (device|configuration|argument|resource handle)"
    "|driver version is insufficient|_(INVALID_VALUE|BAD_PARAM|NOT_SUPPORTED|ARCH_MISMATCH)"
)
# Remedies, by a pattern of the error's message.
REMEDIES = {
    re.compile(r"(insufficient|out of) shared memory|shared memory(\(shm\)| object)|</torch_\d+_"): (
        "the shared memory (/dev/shm) is too small for the data-loading processes: give it more (docker run "
        "--shm-size=8g) "
        "or lower resources.loader_workers"
    ),
    re.compile("Too many open files|items of ancdata"): (
        "too many files are open at once: raise the limit (ulimit -n 65536) or lower resources.loader_workers"
    ),
}
CROWDED = 0.1  # if other processes hold more than this share of a GPU's memory, a lack of memory counts as transient


def failure(error: BaseException, paths: TrialPaths) -> dict[str, Any]:
    """Returns how an exception ended the trial, with the fields of `jobs.endings.Outcome`."""
    reason = _reason(error)
    number = _number(error, reason)
    for words, remedy in REMEDIES.items():
        if words.search(reason):
            return _failed(f"{reason}; {remedy}")
    if number in (errno.ENOSPC, errno.EDQUOT) or "No space left" in str(error):
        # Interrupted, not failed: the trial is correct, and another attempt would fail until there is room.
        return _failed(f"no space left in {paths.root}") | {"status": names.KILLED}
    if isinstance(error, MEMORY) or MEMORY_WORDS.search(reason) or number == errno.ENOMEM:
        others = _held_by_others()
        if others:
            return _failed(f"{reason}; {others}", transient=True)
        return _failed(reason, transient=True, memory_at=MessageHub.get_current_instance().get_info("iter", 0))
    passing = isinstance(error, PASSING) or PASSING_WORDS.search(reason) or number in PASSING_NUMBERS
    return _failed(reason, transient=bool(passing) and not LASTING_WORDS.search(reason))


def _failed(reason: str, transient: bool = False, memory_at: int | None = None) -> dict[str, Any]:
    return {"status": names.FAILED, "reason": reason, "transient": transient, "memory_at": memory_at}


def _reason(error: BaseException) -> str:
    """Returns the original error in one line."""
    if "DataLoader worker" in str(
        error.__cause__
    ):  # its message has the signal; the error itself only says that a process has ended
        assert error.__cause__ is not None
        error = error.__cause__
    lines = str(error).strip().splitlines() or [""]
    # A loading process sends its exception as text, the exception itself last.
    loading = "in DataLoader worker process" in lines[0]
    reason = lines[-1] if loading else f"{type(error).__name__}: {lines[0]}"
    if isinstance(error, UserError):  # a sentence that does not need the name of its class
        return reason.partition(f"{type(error).__name__}: ")[2]
    return reason


def _number(error: BaseException, reason: str) -> int | None:
    """Returns the system's error number; a process or a library may pass it on in the error's text only."""
    found = re.search(r"\[Errno (-?\d+)\]", reason)
    return int(found[1]) if found else getattr(error, "errno", None)


def _held_by_others() -> str | None:
    """Returns a sentence if other processes hold much of this rank's GPU, else None."""
    try:
        if not torch.cuda.is_available():
            return None
        free, total = torch.cuda.mem_get_info()
        held = total - free - torch.cuda.memory_reserved()
    except RuntimeError:  # of a broken GPU
        return None
    if held <= CROWDED * total:
        return None
    return f"other processes hold {held / 2**30:.1f} of {total / 2**30:.1f} GiB of the GPU"
