"""Which failures are transient: judged on real exceptions where any machine can raise them, else on their messages."""

import errno
import faulthandler
import os
import signal
import urllib.error
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from mmengine.logging import MessageHub
from torch.utils.data import DataLoader, Dataset

from experiments.errors import UserError
from experiments.jobs import endings
from experiments.jobs.endings import FITTING, Outcome
from experiments.paths import TrialPaths
from experiments.training import failures
from experiments.trial.attempts import Attempt

pytestmark = pytest.mark.filterwarnings("ignore")


def judged(error: BaseException) -> Outcome:
    return Outcome(**failures.failure(error, TrialPaths(Path("/study/trial"))))


def raised(do: Callable[[], Any]) -> BaseException:
    with pytest.raises(BaseException) as caught:  # noqa: PT011 (whatever it is)
        do()
    return caught.value


class Data(Dataset):
    """One item, at which something happens."""

    def __init__(self, happens: Callable[[], Any]) -> None:
        self.happens = happens

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> Any:
        return self.happens()


def loading(happens: Callable[[], Any]) -> BaseException:
    """Returns what reaches the rank of something that happens in a process that loads data."""
    return raised(lambda: list(DataLoader(Data(happens), num_workers=1)))


def fail(error: BaseException) -> Any:
    raise error


def die(number: int) -> Callable[[], Any]:
    """Returns what ends a process by a signal, without the stacks that pytest would have it print."""
    return lambda: (faulthandler.disable(), os.kill(os.getpid(), number))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT, signal.SIGTERM])
def test_data_loading_process_ended_by_a_signal(number: signal.Signals) -> None:
    """As for a rank: a signal may not come again."""
    found = judged(loading(die(number)))
    assert "DataLoader worker (pid" in str(found.reason)
    assert found.transient


def test_data_loading_process_that_exits_silently() -> None:
    assert judged(loading(lambda: os._exit(3))).transient


def test_mistake_of_the_user_is_a_sentence_without_a_class() -> None:
    """Of the rank itself as of a process that loads data for it."""
    error = UserError("a.jpg has 5 bytes; bring the whole file")
    for found in (judged(error), judged(loading(lambda: fail(error)))):
        assert (found.reason, found.transient) == (str(error), False)


PASSING = [
    torch.AcceleratorError("CUDA error: unspecified launch failure\nCompile with ... to have device-side assertions"),
    torch.AcceleratorError("CUDA error: uncorrectable ECC error encountered"),
    torch.AcceleratorError("CUDA error: an illegal memory access was encountered"),
    RuntimeError("CUDA error: the launch timed out and was terminated"),
    RuntimeError("CUDA unknown error - this may be due to an incorrectly set up environment"),
    RuntimeError("No CUDA GPUs are available"),
    RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
    RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm( handle, opa, opb)`"),
    torch.distributed.DistBackendError("NCCL error in: ProcessGroupNCCL.cpp:2251, remote process exited"),
    torch.distributed.DistNetworkError("The client socket has timed out after 60000ms"),
    RuntimeError("[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:547] Connection closed by peer [127.0.0.1]:1"),
    RuntimeError("[../third_party/gloo/gloo/transport/tcp/unbound_buffer.cc:81] Timed out waiting 1800000ms for recv"),
    ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"),
    BrokenPipeError(errno.EPIPE, "Broken pipe"),
    TimeoutError("no answer"),
    OSError(errno.EIO, "Input/output error"),
    OSError(errno.ESTALE, "Stale file handle"),
    urllib.error.URLError(OSError(-3, "Temporary failure in name resolution")),
    urllib.error.URLError(ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")),
    urllib.error.HTTPError("https://host", 503, "Service Unavailable", None, None),  # type: ignore[arg-type]
]  # fmt: skip
LASTING = [
    ValueError("a mistake in the code"),
    RuntimeError("Expected all tensors to be on the same device, but found at least two devices, cuda:0 and cpu!"),
    RuntimeError("Attempting to deserialize object on a CUDA device but torch.cuda.is_available() is False"),
    RuntimeError("The size of tensor a (3) must match the size of tensor b (4) at non-singleton dimension 0"),
    torch.AcceleratorError("CUDA error: device-side assert triggered\nCUDA kernel errors might be reported later"),
    torch.AcceleratorError("CUDA error: no kernel image is available for execution on the device"),
    torch.AcceleratorError("CUDA error: invalid device ordinal"),
    RuntimeError("CUDA error: CUBLAS_STATUS_INVALID_VALUE when calling `cublasSgemm( handle, opa, opb)`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_NOT_SUPPORTED. This error may appear if you passed in a non-contiguous"),
    FileNotFoundError(errno.ENOENT, "No such file or directory"),
    PermissionError(errno.EACCES, "Permission denied"),
    urllib.error.HTTPError("https://host", 404, "Not Found", None, None),  # type: ignore[arg-type]
]  # fmt: skip


@pytest.mark.parametrize("error", PASSING, ids=str)
def test_errors_of_machine_network_and_other_processes_are_transient(error: BaseException) -> None:
    found = judged(error)
    assert (found.transient, found.memory_at) == (True, None)
    assert found.reason == f"{type(error).__name__}: {str(error).splitlines()[0]}"


@pytest.mark.parametrize("error", LASTING, ids=str)
def test_mistakes_are_not_transient(error: BaseException) -> None:
    assert not judged(error).transient


@pytest.mark.parametrize(
    ("error", "transient"),
    [(OSError(errno.EIO, "Input/output error"), True), (OSError(errno.ENOENT, "No such file"), False)],
    ids=str,
)
def test_error_of_a_data_loading_process_is_judged_as_a_ranks(error: OSError, transient: bool) -> None:
    """Only its text reaches the rank."""
    found = judged(loading(lambda: fail(error)))
    assert found.reason == f"{type(error).__name__}: {error}"
    assert found.transient is transient


MEMORY: dict[str, Callable[[], BaseException]] = {
    "a GPU's": lambda: torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    "a GPU's, before its first tensor": lambda: torch.AcceleratorError("CUDA error: out of memory"),
    "cuBLAS's": lambda: RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    "cuDNN's": lambda: RuntimeError("GET was unable to find an engine to execute this computation"),
    "torch's": lambda: raised(lambda: torch.empty(10**15)),
    "NumPy's": lambda: raised(lambda: np.empty(10**15)),
    "NumPy's in a data-loading process": lambda: loading(lambda: np.empty(10**15)),
    "OpenCV's": lambda: raised(lambda: cv2.resize(np.zeros((9, 9), np.uint8), (200_000, 2_000_000))),
    "Python's": lambda: MemoryError(),
    "of a process to be started": lambda: OSError(errno.ENOMEM, "Cannot allocate memory"),
}


@pytest.mark.long
@pytest.mark.parametrize("kind", MEMORY)
def test_out_of_memory_is_transient_and_its_step_is_noted(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = MessageHub.get_instance(f"hub of {kind}")
    monkeypatch.setattr(MessageHub, "get_current_instance", lambda: hub)
    hub.update_info("iter", 17)
    found = judged(MEMORY[kind]())
    assert (found.transient, found.memory_at) == (True, 17), found.reason


@pytest.mark.parametrize(("free", "told"), [(1, True), (62, True), (75, False)])
def test_gpu_memory_of_other_processes_is_named(free: int, told: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then the step is not noted: two attempts in a row may find the same processes."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda: (free * 2**30, 80 * 2**30))
    monkeypatch.setattr("torch.cuda.memory_reserved", lambda: 2**30)
    found = judged(torch.OutOfMemoryError("CUDA out of memory."))
    assert found.transient
    assert (found.memory_at is None) is told
    assert (f"other processes hold {79 - free}.0 of 80.0 GiB of the GPU" in str(found.reason)) is told


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (RuntimeError("Bus error. It is possible that dataloader's workers are out of shared memory."), "--shm-size"),
        (RuntimeError("unable to write to file </torch_12_34_0>: No space left on device (28)"), "--shm-size"),
        (RuntimeError("unable to allocate shared memory(shm) for file </torch_12_34_0>: Success (0)"), "--shm-size"),
        (OSError(errno.EMFILE, "Too many open files"), "ulimit -n"),
        (RuntimeError("received 0 items of ancdata"), "ulimit -n"),
    ],
)  # fmt: skip
def test_system_limits_are_not_transient_and_name_the_setting(error: BaseException, remedy: str) -> None:
    found = judged(error)
    assert not found.transient
    assert str(found.reason).startswith(f"{type(error).__name__}: ")
    assert remedy in str(found.reason)
    assert "resources.loader_workers" in str(found.reason)


def test_shared_memory_that_is_used_up_is_told_by_the_loaders_themselves() -> None:
    """A real one: the process dies as where a page of it cannot be had."""
    found = judged(loading(die(signal.SIGBUS)))
    assert (found.transient, "--shm-size" in str(found.reason)) == (False, True), found.reason


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_full_disk(number: int) -> None:
    assert judged(OSError(number, os.strerror(number))) == Outcome("KILLED", "no space left in /study/trial")


def attempt(device: str = "1 x Some GPU", memory_at: int | None = None) -> Attempt:
    return Attempt(1, "host", 7, 0.0, 0.0, device, status="FAILED", memory_at=memory_at)


@pytest.mark.parametrize(
    ("before", "fits"),
    [
        (None, True),
        (attempt(), True),
        (attempt(memory_at=6), True),
        (attempt("2 x Some GPU", memory_at=7), True),
        (attempt(memory_at=7), False),
    ],
)
def test_twice_at_one_step_on_the_same_devices_never_fits(before: Attempt | None, fits: bool) -> None:
    outcome = Outcome("FAILED", "out of memory", transient=True, memory_at=7)
    found = endings.compared(outcome, attempt(), before)
    if fits:
        assert found == outcome
    else:
        reason = f"out of memory, at step 7 in two attempts in a row; {FITTING}"
        assert found == Outcome("FAILED", reason, transient=False, memory_at=7)


def test_failures_without_a_step_are_not_compared() -> None:
    outcome = Outcome("FAILED", "a process was ended by SIGKILL (out of memory?)", transient=True)
    assert endings.compared(outcome, attempt(), attempt()) == outcome
