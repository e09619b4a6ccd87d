"""What an exception says of the failure of a rank: whether it may pass, and what to do where it will not.

Types tell only a part of it: a data-loading process that was killed, a connection to another rank that broke, a failure
of cuDNN are all a RuntimeError, as mistakes in the code are. For these the words count.
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
    "|unable to find an engine|Unable to find a valid cuDNN algorithm"  # what cuDNN says where no workspace is left
)

# What a machine, a network or somebody does to a process.
PASSING = (torch.AcceleratorError, torch.distributed.DistError, ConnectionError, TimeoutError)
PASSING_WORDS = re.compile(
    r"DataLoader worker .*(is killed by signal|exited unexpectedly)|Pin memory thread exited unexpectedly"
    r"|Connection (closed|reset) by peer|Timed out waiting|[Ss]ocket [Cc]losed"  # another rank is gone
    r"|CUDA (unknown )?error|No CUDA GPUs are available|HIP error|NCCL error"
    r"|cuDNN error|CUDNN_STATUS_|CUBLAS_STATUS_|CUFFT_|CUSOLVER_STATUS_|CUSPARSE_STATUS_"
    r"|HTTP Error (429|5\d\d)"
)
PASSING_NUMBERS = {
    *(errno.EIO, errno.ESTALE, errno.EREMOTEIO, errno.EAGAIN, errno.EBUSY),  # of a disk on a network, above all
    *(errno.ENETDOWN, errno.ENETUNREACH, errno.ENETRESET, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ETIMEDOUT),
    *(errno.ECONNRESET, errno.ECONNREFUSED, errno.ECONNABORTED, errno.EPIPE, socket.EAI_AGAIN),
}
# A GPU's errors too, but those of a wrong program or a wrong build of one.
LASTING_WORDS = re.compile(
    "device-side assert|no kernel image|invalid (device|configuration|argument|resource handle)"
    "|driver version is insufficient|_(INVALID_VALUE|BAD_PARAM|NOT_SUPPORTED|ARCH_MISMATCH)"
)
# What has to be set otherwise, by the words that tell it.
REMEDIES = {
    re.compile(r"(insufficient|out of) shared memory|shared memory(\(shm\)| object)|</torch_\d+_"): (
        "the shared memory (/dev/shm) is too small for what loads the data: give it more (docker run --shm-size=8g) "
        "or lower resources.loader_workers"
    ),
    re.compile("Too many open files|items of ancdata"): (
        "too many files are open at once: raise the limit (ulimit -n 65536) or lower resources.loader_workers"
    ),
}
CROWDED = 0.1  # share of a GPU's memory held by others above which a lack of it may pass


def failure(error: BaseException, paths: TrialPaths) -> dict[str, Any]:
    """Returns how an exception ended the trial, as `jobs.endings.Outcome` has it."""
    reason = _reason(error)
    number = _number(error, reason)
    for words, remedy in REMEDIES.items():
        if words.search(reason):
            return _failed(f"{reason}; {remedy}")
    if number in (errno.ENOSPC, errno.EDQUOT) or "No space left" in str(error):
        # Interrupted, not failed: nothing is wrong with the trial, and another attempt before there is room is in vain.
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
    """Returns what went wrong in a line, as it was said first."""
    if "DataLoader worker" in str(error.__cause__):  # which has the signal; the error itself is that a process is gone
        assert error.__cause__ is not None
        error = error.__cause__
    lines = str(error).strip().splitlines() or [""]
    # A loading process sends its exception as text, the exception itself last.
    loading = "in DataLoader worker process" in lines[0]
    reason = lines[-1] if loading else f"{type(error).__name__}: {lines[0]}"
    if isinstance(error, UserError):  # a sentence that needs no name of a class
        return reason.partition(f"{type(error).__name__}: ")[2]
    return reason


def _number(error: BaseException, reason: str) -> int | None:
    """Returns the system's number of an error, which only the text has where a process or a library passed it on."""
    found = re.search(r"\[Errno (-?\d+)\]", reason)
    return int(found[1]) if found else getattr(error, "errno", None)


def _held_by_others() -> str | None:
    """Returns a sentence where other processes hold much of this rank's GPU."""
    try:
        if not torch.cuda.is_available():
            return None
        free, total = torch.cuda.mem_get_info()
        held = total - free - torch.cuda.memory_reserved()
    except RuntimeError:  # of a GPU that is out of order
        return None
    if held <= CROWDED * total:
        return None
    return f"other processes hold {held / 2**30:.1f} of {total / 2**30:.1f} GiB of the GPU"
