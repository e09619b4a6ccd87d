"""Counts the operations that a GPU would be asked for: each costs the host more than most cost the GPU."""

from collections.abc import Callable
from typing import Any

import torch
from torch.utils import _pytree as trees
from torch.utils._python_dispatch import TorchDispatchMode


class Launches(TorchDispatchMode):
    """Keeps the names of the operations that calculate or copy; views and empty memory are left out."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        name = func.__name__.partition(".")[0]
        given = {t.untyped_storage().data_ptr() for t in tensors((args, kwargs))}
        view = any(t.untyped_storage().data_ptr() in given for t in tensors(found))
        if tensors(found) and (name.endswith("_") or "out" in (kwargs or {}) or not (view or "empty" in name)):
            self.names.append(name)
        return found


def tensors(tree: Any) -> list[torch.Tensor]:
    return [leaf for leaf in trees.tree_leaves(tree) if isinstance(leaf, torch.Tensor)]


def launches_of(step: Callable[[], Any]) -> list[str]:
    """Returns the names of the operations of a step, which is run once before."""
    step()
    with Launches() as counted:
        step()
    return counted.names
