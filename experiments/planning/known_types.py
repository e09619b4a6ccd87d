"""Checks the classes that a configuration names as `type`: registered ones, and classes of modules and optimizers.

MMEngine calls any object that a dotted `type` names, even `os.system`; mmcv evaluates the type of its NMS as Python.
"""

import contextlib
import io
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from experiments.errors import UserError
from experiments.sentences import choose_from, shown

LIBRARIES = ("torch.nn.", "mmdet.", "mmcv.", "mmengine.", "groie.")  # their classes need not be modules
MENUS = ("aggregation.type", "pre.type", "post.type")  # keys for which errors suggest classes of this project
MODULE, OPTIMIZER, TRANSFORM = "torch.nn.Module", "torch.optim.Optimizer", "mmcv.transforms.BaseTransform"
NMS = ("nms", "soft_nms", "nms_match", "nms_quadri", "nms_rotated")  # functions of mmcv, which it finds by name


def require(configs: Iterable[dict[str, Any]]) -> None:
    """Raises UserError for a `type` in the trials' configurations that is not a detector's part or an optimizer."""
    for config in configs:
        trees = {group: config[group] for group in ("aggregation", "pre", "post")}
        trees |= {f"profile.{key}": config["profile"][key] for key in ("model", "by_architecture")}
        trees |= {"schedule.optimizer": config["schedule"]["optimizer"]}
        edited = {group: one["edits"] for group, one in config.items() if isinstance(one, dict) and one.get("edits")}
        trees |= {f"{group}.edits.{part}": tree for group, edits in edited.items() for part, tree in edits.items()}
        for where, tree in trees.items():
            for path, name in _types(tree, where):
                _require(path, name, _kind(path))
        _require_base(config["architecture"]["base"])


@cache  # a sweep has few types and many trials
def _require(where: str, name: str, base: str) -> None:
    module, _, last = base.rpartition(".")
    kind, known = getattr(import_module(module), last), _registered(data=base == TRANSFORM)
    optimizer = base == OPTIMIZER
    if optimizer:
        from mmengine.optim import OPTIMIZERS

        known = frozenset(OPTIMIZERS.module_dict)
    last = name.removeprefix("mmdet.").removeprefix("mmengine.")
    if last in known or (last in NMS and not optimizer):
        return
    found = _named(name)
    if isinstance(found, type) and issubclass(found, kind):
        return
    if isinstance(found, type) and not optimizer and found.__module__.startswith(LIBRARIES):
        return
    reason = f" ({found})" if isinstance(found, str) and found else ""
    ours = [one for one in known if _registered_by_us(one)] if where in MENUS else known
    raise UserError(
        f"{where} {shown(name)!r} is unknown{reason}{choose_from(name, sorted(ours))}, or give the full name of a "
        f"subclass of {base} that can be imported"
    )


def _kind(path: str) -> str:
    """Returns the class whose subclasses a `type` at this path may name in full."""
    if path.endswith("optimizer.type"):
        return OPTIMIZER
    return TRANSFORM if re.match(r"\w+\.edits\.\w+_dataloader\.", path) else MODULE


@cache
def _require_base(base: str) -> None:
    """Raises UserError if an architecture's base is not one of MMDetection's configs: configs are executed."""
    spec = find_spec("mmdet")
    folders = [Path(place, ".mim", "configs") for place in (spec and spec.submodule_search_locations) or ()]
    if Path(base).is_absolute() or ".." in Path(base).parts or not any((one / base).is_file() for one in folders):
        raise UserError(
            f"architecture.base={shown(base)} is not one of MMDetection's configs; give the config of a two-stage "
            "detector with an FPN, as in conf/architecture/"
        )


def _types(node: Any, path: str) -> Iterator[tuple[str, str]]:
    """Yields the path and the value of every type that a tree names; UserError for one that is not a text."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            if key == "type" and (value is not None or path.endswith("optimizer")):
                if not isinstance(value, str):
                    raise UserError(f"{path}.type={shown(value)} is refused; give the name of a class")
                yield f"{path}.type", value
            else:
                if isinstance(value, Mapping) and {"_before_", "_after_"} & value.keys():  # the key is an added type
                    yield f"{path}.{key}", str(key)
                yield from _types(value, f"{path}.{key}")
    elif isinstance(node, list):
        for number, item in enumerate(node):
            yield from _types(item, f"{path}.{number}")


def _named(name: str) -> object:
    """Imports and returns the object with a full name; if that is impossible, returns the reason as text.

    Python's standard library is not imported: it has no parts of a detector.
    """
    if not re.fullmatch(r"[a-z_]\w*(\.\w+)+", name, re.ASCII | re.IGNORECASE):
        return ""
    if name.partition(".")[0] in sys.stdlib_module_names:
        return "it is in Python's standard library"
    import groie  # noqa: F401 (it stands in for the operators that mmcv lacks)

    module, _, attribute = name.rpartition(".")
    try:
        return getattr(import_module(module), attribute, f"{module} has no class {attribute}")
    except Exception as error:  # of any code in the module
        return f"{type(error).__name__}: {error}"


@cache
def _registered(data: bool) -> frozenset[str]:
    """Returns the names of everything that MMDetection, MMEngine and this project have registered.

    Args:
        data: also what loads and transforms images, which takes a second to import.
    """
    import groie  # noqa: F401 (it stands in for the operators that mmcv lacks)

    # isort: split
    if data:
        with contextlib.redirect_stdout(io.StringIO()):  # MMDetection prints which data sets it leaves out
            import mmdet.datasets.transforms
    import mmdet.models
    import mmdet.registry
    import mmengine.registry
    from mmengine.registry import Registry

    registries = [*vars(mmdet.registry).values(), *vars(mmengine.registry).values()]
    return frozenset(name for one in registries if isinstance(one, Registry) for name in one.module_dict)


def _registered_by_us(name: str) -> bool:
    import groie  # noqa: F401 (it stands in for the operators that mmcv lacks)

    # isort: split
    from mmdet.registry import MODELS

    return getattr(MODELS.module_dict.get(name), "__module__", "").startswith("groie.")
