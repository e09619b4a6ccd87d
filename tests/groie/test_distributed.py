"""Two ranks of which one has no RoIs: neither waits for the other's gradients, and both end with the same weights."""

import tempfile
from datetime import timedelta
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.nn.parallel import DistributedDataParallel

from groie import SumLevels
from tests.support.inputs import build, pair, pyramid, regions

RANKS = 2
WAIT = timedelta(seconds=60)  # a rank that waits longer than this for the other fails
CASES = {  # RoIs of rank 0 and rank 1 in each step
    "one rank without": ("many", "none"),
    "the other rank without": ("none", "one"),
    "both without": ("none", "none"),
    "both with": ("one", "many"),
}


def extractor() -> SumLevels:
    """Returns the same random weights on every rank: sum + conv3 + attention."""
    torch.manual_seed(1)
    return build(SumLevels, **pair("conv3", "attention"))


def backward(model: torch.nn.Module, rank: int, case: str) -> dict[str, torch.Tensor]:
    """Returns the gradients by name of one rank's step."""
    torch.manual_seed(10 + rank)
    model.zero_grad()
    model(pyramid(), regions(CASES[case][rank])).square().sum().backward()
    return {name.removeprefix("module."): p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def train(rank: int, folder: str) -> None:
    """One rank: a step of every case, gradients saved."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"file://{folder}/rendezvous", rank=rank, world_size=RANKS, timeout=WAIT)
    model = DistributedDataParallel(extractor())
    torch.save({case: backward(model, rank, case) for case in CASES}, f"{folder}/{rank}.pth")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def by_rank() -> list[dict[str, dict[str, torch.Tensor]]]:
    """Each rank's gradients by case, from two processes."""
    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(train, args=(folder,), nprocs=RANKS)
        return [torch.load(Path(folder, f"{rank}.pth"), weights_only=True) for rank in range(RANKS)]


@pytest.mark.parametrize("case", CASES)
def test_ranks_agree_on_the_mean_of_their_gradients(case: str, by_rank: list) -> None:
    """The mean of what each rank has alone, computed here in one process."""
    alone = [backward(extractor(), rank, case) for rank in range(RANKS)]
    assert alone[0].keys() == alone[1].keys() == dict(extractor().named_parameters()).keys()
    for name, gradient in alone[0].items():
        for rank in range(RANKS):
            torch.testing.assert_close(by_rank[rank][case][name], (gradient + alone[1][name]) / RANKS)
    assert any(gradient.any() for gradient in alone[0].values()) == (CASES[case][0] != "none")
