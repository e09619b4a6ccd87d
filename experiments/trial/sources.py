"""Which source files a trial's process has loaded that can change its result, and a hash of what each means.

By these it can be seen whether other code trained a result. Values in conf/ need no such hash: they are part of a
trial's id, and another value makes another trial. So is the version of drawn images (`data.shapes_cache`).
"""

import ast
import hashlib
import os
import sys
import sysconfig
from collections.abc import Iterator, Mapping, Set
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

from pydantic import BaseModel, Field, TypeAdapter

from experiments import files
from experiments.paths import TrialPaths

ROOT = Path(__file__).resolve().parents[2]
COUNTED = ("groie", "experiments/training", "experiments/data")  # of this repository; and all that is not its own
NOT_COUNTED = ("analysis", "benchmarks", "experiments", "hydra_plugins", "tests", "run.py")
INSTALLED = ("site-packages", "dist-packages")
SITE = ("sitecustomize", "usercustomize")  # set up the interpreter: a coverage tool's, say


class Noted(BaseModel):
    """`sources/0001.json`, as every version has it."""

    after: Annotated[int, Field(ge=0)]  # complete epochs
    files: dict[str, str]  # name -> meaning
    operators: str | None = None  # whose NMS and RoIAlign it uses; None where an earlier version wrote it


NOTED = TypeAdapter(Noted)


def note(paths: TrialPaths, attempt: int, after: int, config: Any) -> None:
    """Writes down what this process has loaded, whose operators it uses, after how many complete epochs it begins.

    Args:
        paths: of the trial.
        attempt: its number.
        after: complete epochs.
        config: the trial's resolved configuration.
    """
    from groie import operators  # with torch, which this process has loaded

    path = paths.sources(attempt)
    path.parent.mkdir(exist_ok=True)
    named = {kind.rpartition(".")[0] for kind in _types(config)}
    noted = Noted(after=after, files=loaded(named), operators=operators.backend())
    files.write(path, noted.model_dump_json(indent=1))


def _types(config: Any) -> Iterator[str]:
    """Yields every `type: ...` of a configuration."""
    if isinstance(config, dict):
        for key, value in config.items():
            yield from (value,) if key == "type" and isinstance(value, str) else _types(value)
    elif isinstance(config, list):
        for value in config:
            yield from _types(value)


def loaded(named: Set[str] = frozenset()) -> dict[str, str]:
    """Returns the files that can change a result, by the name that `_find` knows them by, with their `meaning`.

    Of this repository those in `COUNTED` and the modules that are `named`; of all others those that are neither
    Python's nor installed.
    """
    found = {}
    resolved, installed = cache(lambda folder: Path(folder).resolve()), cache(_is_installed)  # of thousands of files
    for name, module in sorted(sys.modules.items()):
        folder, file = os.path.split(getattr(module, "__file__", None) or "")
        path = resolved(folder) / file
        if path.is_symlink():
            path = path.resolve()
        if name in SITE or installed(path.parent) or not path.is_file():
            continue
        if known := _name(name, module, path, name in named):
            found[known] = meaning(path)
    return dict(sorted(found.items()))


def _is_installed(folder: Path) -> bool:
    """Returns whether modules of a folder are Python's or installed."""
    return bool(set(INSTALLED) & set(folder.parts)) or folder.is_relative_to(_python())


def _name(name: str, module: ModuleType, path: Path, named: bool) -> str | None:
    if path.is_relative_to(ROOT):
        place = path.relative_to(ROOT).as_posix()
        return place if named or _within(place, COUNTED) or not _within(place, NOT_COUNTED) else None
    depth = name.count(".") + hasattr(module, "__path__")
    origin = path.parents[min(depth, len(path.parents) - 1)]  # the folder that it was imported from
    place = path.relative_to(origin).as_posix()
    return place if _find(place) == path and not any(origin.glob("*.dist-info")) else None


def _within(path: str, folders: tuple[str, ...]) -> bool:
    return any(path == folder or path.startswith(f"{folder}/") for folder in folders)


@cache
def _python() -> Path:
    return Path(sysconfig.get_paths()["stdlib"]).resolve()


def changed(recorded: Mapping[str, str]) -> str:
    """Returns which of these files mean something else today, or are gone, in words; "" where none."""
    now = {name: meaning(path) if (path := _find(name)) else None for name in recorded}
    others = [name for name, found in now.items() if found not in (None, recorded[name])]
    gone = [name for name, found in now.items() if found is None]
    parts = [f"{_listed(others)} {'has' if len(others) == 1 else 'have'} changed since"] if others else []
    parts += [f"{_listed(gone)} {'is' if len(gone) == 1 else 'are'} gone"] if gone else []
    return ", ".join(parts)


def _listed(names: list[str], most: int = 3) -> str:
    shown = names if len(names) <= most else [*names[: most - 1], f"{len(names) - most + 1} more files"]
    return " and ".join(filter(None, (", ".join(shown[:-1]), shown[-1])))


def _find(name: str) -> Path | None:
    """Returns where a file of `loaded` lies today: in this repository, else where Python would import it from."""
    if (ROOT / name).is_file():
        return ROOT / name
    top, _, rest = name.partition("/")
    module = top.removesuffix(".py")
    try:
        spec = find_spec(module) if module.isidentifier() else None  # of a.b, a would be imported to look for b
    except (ImportError, ValueError):
        return None
    places = [Path(folder, rest) for folder in spec.submodule_search_locations or ()] if spec and rest else []
    places += [Path(spec.origin)] if spec and spec.origin and not rest else []
    return next((place.resolve() for place in places if place.is_file()), None)


def meaning(path: Path) -> str:
    """Returns a hash of what a source file does: alike whatever its comments, docstrings, line breaks and Python."""
    facts = path.stat()
    return _meaning(path, facts.st_mtime_ns, facts.st_size)


@cache
def _meaning(path: Path, changed_at: int, size: int) -> str:
    content = path.read_bytes()
    parts: list[str] = []
    try:
        _serialise(ast.parse(content), parts)
    except (SyntaxError, ValueError, RecursionError):  # a compiled module, or a file in the middle of an edit
        return hashlib.sha256(content).hexdigest()[:10]
    return hashlib.sha256("".join(parts).encode()).hexdigest()[:10]


def _serialise(node: object, parts: list[str]) -> None:
    """Adds the parts of a syntax tree, without those that are empty: newer versions of Python add some."""
    if isinstance(node, ast.Constant):
        parts.append(f"{type(node.value).__name__} {node.value!r};")
    elif isinstance(node, ast.AST):
        parts.append(f"{type(node).__name__}(")
        for field, value in ast.iter_fields(node):
            kept = [one for one in value if not _is_nothing(one, node)] if isinstance(value, list) else value
            if kept is not None and kept != []:
                parts.append(f"{field}=")
                _serialise(kept, parts)
        parts.append(")")
    elif isinstance(node, list):
        for one in node:
            _serialise(one, parts)
            parts.append(",")
    else:
        parts.append(f"{node!r};")


def _is_nothing(node: object, within: ast.AST) -> bool:
    """Returns whether a part does nothing: `pass`, text that stands alone as docstrings do, "" within an f-string."""
    if isinstance(within, ast.JoinedStr):
        return isinstance(node, ast.Constant) and node.value == ""
    alone = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    return alone or isinstance(node, ast.Pass)
