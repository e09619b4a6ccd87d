"""All changes to libraries at run time, each with its reason and the library's version.

When a library is upgraded, check its function here: is the change still necessary, and does it still work?
`groie/operators.py` changes no library: it provides the operators that a plain mmcv lacks.
"""

import os
from collections.abc import Callable
from typing import Any


def read_hydra_store_in_place() -> None:
    """Makes Hydra read its config store in place. Hydra 1.3.8 copies the store for every composition."""
    from hydra.core.config_store import ConfigStore

    setattr(ConfigStore, "__deepcopy__", lambda store, memo: store)  # noqa: B010 (mypy forbids the plain assignment)


def load_checkpoints_by(load: Callable[..., Any], fetch: Callable[..., Any]) -> None:
    """Makes MMEngine 0.10.12 read checkpoints with our functions: its own unpickle files that torch refuses.

    Args:
        load: takes the place of `torch.load`.
        fetch: takes the place of `torch.hub.load_state_dict_from_url`.
    """
    from mmengine.runner import checkpoint

    checkpoint._safe_torch_load = load  # for any scheme of the file's address
    checkpoint.load_url = fetch
    os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"  # torch's own setting, for all other callers of torch.load


def format_configs_once() -> None:
    """Makes yapf 0.43.0 format each text once: MMEngine 0.10.12 repeats it for each checkpoint, half a second each."""
    from yapf.yapflib import yapf_api

    real, done = yapf_api.FormatCode, {}

    def format_code(text: str, **style: Any) -> tuple[str, bool]:
        if text not in done:
            done[text] = real(text, **style)
        return done[text]

    yapf_api.FormatCode = format_code
