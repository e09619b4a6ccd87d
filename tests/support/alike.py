"""Whether two trainings came to the same: to the last bit, but for what tells of time and memory."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from experiments.paths import TrialPaths
from tests.support import harness


def flat(content: Any, path: str = "") -> dict[str, Any]:
    """Returns the leaves of nested dicts and lists by their path; seconds, which are never the same, are left out."""
    if isinstance(content, dict):
        items: Sequence[tuple[Any, Any]] = list(content.items())
    elif isinstance(content, list | tuple):
        items = list(enumerate(content))
    else:
        return {path: content}
    return {key: leaf for name, value in items for key, leaf in flat(value, f"{path}/{name}").items()}


CHANGING = ("second", "memory", "/time", "message_hub", "experiment_name", "/cfg", "mmengine_version")


def differing(one: Path, other: Path) -> list[str]:
    """Returns where two checkpoints differ by so much as a bit: weights, the optimizer's state, the schedulers'."""
    sides = [flat(torch.load(path, map_location="cpu", weights_only=False)) for path in (one, other)]
    first, second = ({key: leaf for key, leaf in side.items() if not any(c in key for c in CHANGING)} for side in sides)
    assert first.keys() == second.keys()
    assert any(key.startswith("/optimizer/state") for key in first)
    return [
        key
        for key, leaf in first.items()
        if not (torch.equal(leaf, second[key]) if isinstance(leaf, torch.Tensor) else leaf == second[key])
    ]


def metrics(paths: TrialPaths) -> list[tuple[str, int, float]]:
    return harness.repeatable(harness.journal_metrics(paths.root))


def assert_same_arrays(one: Path, other: Path) -> None:
    """Two files of arrays."""
    with np.load(one) as ours, np.load(other) as theirs:
        assert ours.files == theirs.files
        for name in ours.files:
            np.testing.assert_array_equal(ours[name], theirs[name])
