"""The resources of a trial: its number of ranks, their devices, and the free disk space."""

import shutil
from pathlib import Path

from experiments.errors import UserError
from experiments.settings import Settings


def ranks_per_node(settings: Settings) -> int:
    """Returns the number of ranks of each node: one per GPU, or `resources.cpu_processes` if no GPU is used.

    Raises UserError if fewer GPUs are visible than requested, or the ranks cannot share the batch evenly.
    """
    import torch

    resources = settings.resources
    there = torch.cuda.device_count()
    wanted = there if resources.gpus == "auto" else resources.gpus
    if wanted > there:
        fewer = f"0 to {there}, or auto for all of them" if there else "0, which trains on the CPU"
        raise UserError(f"resources.gpus={wanted} but {there} GPUs are visible here; choose {fewer}")
    ranks = wanted or resources.cpu_processes
    share_batch(resources.nodes * ranks, settings.schedule.batch_size)
    return ranks


def check(settings: Settings) -> None:
    """Raises UserError if the number of ranks is given (not `auto`) and the ranks cannot share the batch evenly."""
    resources = settings.resources
    if resources.gpus != "auto":
        ranks = resources.gpus or resources.cpu_processes
        share_batch(resources.nodes * ranks, settings.schedule.batch_size)


def share_batch(ranks: int, images: int) -> None:
    """Raises UserError if a trial's ranks cannot share the images of a step evenly.

    The batch belongs to the variant: 6 ranks with 2 images each, 12 with 1 or 4 with 3 are the same trial.
    """
    if images % ranks:
        divisors = ", ".join(str(number) for number in range(1, images + 1) if images % number == 0)
        raise UserError(
            f"{ranks} ranks cannot share schedule.batch_size={images} evenly; set resources.nodes, resources.gpus or "
            f"resources.cpu_processes so that the number of ranks is one of {divisors}, or set another batch size (the "
            "learning rate is scaled with it)"
        )


def device(settings: Settings) -> str:
    """Returns the trial's devices as text: "2 x cpu", "8 x NVIDIA H100"."""
    import torch

    ranks = ranks_per_node(settings) * settings.resources.nodes
    on_gpu = torch.cuda.is_available() and settings.resources.gpus != 0
    return f"{ranks} x {torch.cuda.get_device_name() if on_gpu else 'cpu'}"


def lacking_space(settings: Settings) -> str | None:
    """Returns an error message if the disk has less free space than `resources.free_gib`, else None."""
    folder = Path(settings.output_dir)
    while not folder.exists():
        folder = folder.parent
    free, wanted = shutil.disk_usage(folder).free / 2**30, settings.resources.free_gib
    if free >= wanted:
        return None
    return (
        f"{folder} has {free:.2f} GiB free, less than resources.free_gib={wanted:g}; make room, or lower "
        "resources.free_gib"
    )
