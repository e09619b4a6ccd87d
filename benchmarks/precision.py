"""The precisions that are measured: what PyTorch calculates in."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


def of_device(device: torch.device) -> tuple[str, ...]:
    """Returns the precisions that are measured on a device."""
    return ("fp32", "tf32", "bf16") if device.type == "cuda" else ("fp32",)


@contextmanager
def precision(name: str) -> Iterator[None]:
    """Calculates in fp32, in fp32 with TF32 for products on a GPU, or under autocast to bf16, in the `with` block."""
    backends = (torch.backends.cuda.matmul, torch.backends.cudnn)
    before = [backend.allow_tf32 for backend in backends]
    for backend in backends:
        backend.allow_tf32 = name != "fp32"
    try:
        with torch.autocast("cuda", torch.bfloat16, enabled=name == "bf16"):
            yield
    finally:
        for backend, allowed in zip(backends, before, strict=True):
            backend.allow_tf32 = allowed
