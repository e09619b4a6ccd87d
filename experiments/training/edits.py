"""What the options of factors change in MMDetection's config, merged by MMEngine's own rules.

A mapping is merged into a mapping; with `_delete_: true` it replaces what was there. A mapping for a list is merged
into each item (the heads of a cascade), or names steps by their types (a pipeline): null removes a step, and a step
with `_before_` or `_after_` is added beside the named one.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.config import Config, ConfigDict

from experiments.errors import UserError, unknown

Path = tuple[str | int, ...]
Leaf = tuple[Path, Any]
# The parts of MMEngine's config that may be edited. The harness needs all others as they are.
PARTS = ("model", "train_dataloader", "val_dataloader", "optim_wrapper", "param_scheduler")
RENAMED = {"LoadImageFromFile": "LoadImageAsStated"}  # steps that the harness reads images with


def apply(cfg: Config, edits: Mapping[str, Mapping[str, Any]]) -> dict[str, list[Leaf]]:
    """Merges the edits of all factors into a config, in place.

    Args:
        cfg: with what MMDetection, recipe, profile and schedule say.
        edits: by factor.

    Returns:
        The values that each factor has set, with their places.

    Raises:
        UserError: an edit of a part that cannot be edited, a key that two factors set, or a step that a pipeline lacks.
    """
    found: dict[str, list[Leaf]] = {}
    for factor, changes in edits.items():
        for part in changes:
            if part not in PARTS:
                raise unknown(f"{factor}: edits of", part, PARTS)
        try:
            found[factor] = list(_merge(cfg, changes, ()))
        except UserError as error:
            raise UserError(f"{factor} edits {error}") from error
    _require_apart(found)
    return found


def require_kept(cfg: Config, applied: Mapping[str, list[Leaf]]) -> None:
    """Raises UserError where the complete config has another value than a factor has set: the harness sets it."""
    for factor, leaves in applied.items():
        for path, value in leaves:
            kept = _at(cfg, path)
            if _plain(kept) not in (_plain(value), RENAMED.get(str(value), _plain(value))):
                where = ".".join(map(str, path))
                raise UserError(
                    f"{factor} edits {where}={_plain(value)!r}, but the harness itself sets that key "
                    f"(here to {_plain(kept)!r}); leave it out, or set the key of conf/ that decides on it"
                )


def _merge(node: Any, changes: Mapping[str, Any], path: Path) -> Iterator[Leaf]:
    for key, change in changes.items():
        if isinstance(node, list):
            yield from _merge_list(node, str(key), change, path)
            continue
        old = node.get(key)
        if isinstance(change, Mapping) and isinstance(old, Mapping | list) and not change.get("_delete_"):
            yield from _merge(old, change, (*path, key))
        else:
            node[key] = _without_marks(change)
            yield from _leaves(node[key], (*path, key))


def _merge_list(items: list[Any], key: str, change: Any, path: Path) -> Iterator[Leaf]:
    if not key[:1].isupper():  # an argument: of each head of a cascade
        for place, item in enumerate(items):
            yield from _merge(item, {key: change}, (*path, place))
        return
    types = [item.get("type") for item in items]
    beside = change if isinstance(change, Mapping) else {}
    for mark, shift in (("_before_", 0), ("_after_", 1)):
        if mark in beside:
            place = _place(types, str(beside[mark]), path) + shift
            items.insert(place, ConfigDict({**_sizes(_without_marks(beside)), "type": key}))
            yield (*path, key, "type"), key
            return
    place = _place(types, key, path)
    if change is None:
        del items[place]
        yield (*path, key), None
    else:
        yield from _merge(items[place], _sizes(change), (*path, key))


def _place(types: list[Any], wanted: str, path: Path) -> int:
    if wanted not in types:
        raise unknown(f"{'.'.join(map(str, path))}: step", wanted, types)
    return types.index(wanted)


def _without_marks(value: Any) -> Any:
    if isinstance(value, Mapping):
        marks = ("_delete_", "_before_", "_after_")
        return {key: _without_marks(one) for key, one in value.items() if key not in marks}
    return [_without_marks(one) for one in value] if isinstance(value, list) else value


def _sizes(value: Any) -> Any:
    """Returns an argument of a step with lists of whole numbers as tuples, which MMDetection's transforms ask for."""
    if isinstance(value, Mapping):
        return {key: _sizes(one) for key, one in value.items()}
    if isinstance(value, list):
        return tuple(value) if value and all(type(one) is int for one in value) else [_sizes(one) for one in value]
    return value


def _leaves(value: Any, path: Path) -> Iterator[Leaf]:
    if isinstance(value, Mapping | list) and value:
        for key, one in value.items() if isinstance(value, Mapping) else enumerate(value):
            yield from _leaves(one, (*path, key))
    else:
        yield path, value


def _require_apart(found: Mapping[str, list[Leaf]]) -> None:
    owners: dict[Path, str] = {}
    for factor, leaves in found.items():
        for path, _ in leaves:
            for other, owner in owners.items():
                shorter = min(len(path), len(other))
                if owner != factor and path[:shorter] == other[:shorter]:
                    raise UserError(
                        f"{owner} and {factor} both edit {'.'.join(map(str, path))}; choose an option of one of them "
                        "that leaves it alone"
                    )
            owners[path] = factor


def _at(node: Any, path: Path) -> Any:
    for key in path:
        try:
            steps = [item.get("type") for item in node] if isinstance(node, list) and isinstance(key, str) else []
            node = node[steps.index(RENAMED.get(str(key), key)) if steps else key]
        except (LookupError, TypeError, ValueError):
            return None
    return node


def _plain(value: Any) -> Any:
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value
