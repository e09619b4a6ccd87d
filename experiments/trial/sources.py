"""Lists the loaded source files that can change a trial's result, with a hash of each file's meaning.

The hashes show whether code has changed since a result was trained. Values in conf/ and the version of drawn images
(`data.shapes_cache`) need no hash: they are part of a trial's id, and another value makes another trial.
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
COUNTED = ("groie", "experiments/training", "experiments/data")  # of this repository; modules of users count too
NOT_COUNTED = ("analysis", "benchmarks", "experiments", "hydra_plugins", "tests", "run.py")
INSTALLED = ("site-packages", "dist-packages")
SITE = ("sitecustomize", "usercustomize")  # they set up the interpreter, for example for a coverage tool


class Loaded(BaseModel):
    """`sources/0001.json`, as every version has it."""

    after: Annotated[int, Field(ge=0)]  # complete epochs
    files: dict[str, str]  # name -> meaning
    operators: str | None = None  # the package of its NMS and RoIAlign; None in files of earlier versions


LOADED = TypeAdapter(Loaded)


def note(paths: TrialPaths, attempt: int, after: int, config: Any) -> None:
    """Records the files that this process has loaded, the package of its operators, and the epochs complete before it.

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
    noted = Loaded(after=after, files=loaded(named), operators=operators.backend())
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
    """Returns the files that can change a result, by the name that `_find` takes, with their `meaning`.

    These are files of this repository in `COUNTED`, the modules that are `named`, and files outside the repository that
    belong neither to Python nor to an installed package.
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
    """Returns whether a folder belongs to Python or to an installed package."""
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
    """Returns a text on which of these files have changed in meaning since, or are gone; "" if there are none."""
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
    """Returns the present path of a file of `loaded`: in this repository, else where Python would import it from."""
    if (ROOT / name).is_file():
        return ROOT / name
    top, _, rest = name.partition("/")
    module = top.removesuffix(".py")
    try:
        spec = find_spec(module) if module.isidentifier() else None  # to find a.b, Python would import a
    except (ImportError, ValueError):
        return None
    places = [Path(folder, rest) for folder in spec.submodule_search_locations or ()] if spec and rest else []
    places += [Path(spec.origin)] if spec and spec.origin and not rest else []
    return next((place.resolve() for place in places if place.is_file()), None)


def meaning(path: Path) -> str:
    """Returns a hash of a source file that does not depend on comments, docstrings, line breaks or Python's version."""
    facts = path.stat()
    return _meaning(path, facts.st_mtime_ns, facts.st_size)


@cache
def _meaning(path: Path, changed_at: int, size: int) -> str:
    content = path.read_bytes()
    parts: list[str] = []
    try:
        _serialise(ast.parse(content), parts)
    except (SyntaxError, ValueError, RecursionError):  # a compiled module, or a file that is being edited
        return hashlib.sha256(content).hexdigest()[:10]
    return hashlib.sha256("".join(parts).encode()).hexdigest()[:10]


def _serialise(node: object, parts: list[str]) -> None:
    """Adds the parts of a syntax tree except empty ones, which newer versions of Python add."""
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
    """Returns whether a part does nothing: `pass`, a docstring, an empty text within an f-string."""
    if isinstance(within, ast.JoinedStr):
        return isinstance(node, ast.Constant) and node.value == ""
    alone = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    return alone or isinstance(node, ast.Pass)
