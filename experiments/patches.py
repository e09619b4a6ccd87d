"""All places where a library is changed while this program runs, each with its reason and the version it is for.

A new version of a library needs a look at its function here: is the change still needed, does it still reach?
`groie/operators.py` changes nothing that is there: it takes the place of the operators that a plain mmcv lacks.
"""

import os
from collections.abc import Callable
from typing import Any


def read_hydra_store_in_place() -> None:
    """Has Hydra read its store where it is. Hydra 1.3.8 copies it, which it only reads, for every composition."""
    from hydra.core.config_store import ConfigStore

    setattr(ConfigStore, "__deepcopy__", lambda store, memo: store)  # noqa: B010 (mypy forbids the plain assignment)


def load_checkpoints_by(load: Callable[..., Any], fetch: Callable[..., Any]) -> None:
    """Has MMEngine 0.10.12 read checkpoints by our functions: its own unpickle what torch refuses, and run code.

    Args:
        load: takes the place of `torch.load`.
        fetch: takes the place of `torch.hub.load_state_dict_from_url`.
    """
    from mmengine.runner import checkpoint

    checkpoint._safe_torch_load = load  # whatever scheme names the file
    checkpoint.load_url = fetch
    os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"  # torch's own setting, for all other callers of torch.load


def format_configs_once() -> None:
    """Has yapf 0.43.0 format each text once: MMEngine 0.10.12 has it done for each checkpoint, half a second each."""
    from yapf.yapflib import yapf_api

    real, done = yapf_api.FormatCode, {}

    def format_code(text: str, **style: Any) -> tuple[str, bool]:
        if text not in done:
            done[text] = real(text, **style)
        return done[text]

    yapf_api.FormatCode = format_code
