"""Reads the small files that a trial's folder holds: what is not as it was written is said by its name.

A damaged file costs its own trial alone, in whatever command meets it.
"""

import json
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import TypeAdapter, ValidationError

from experiments.errors import UserError

DEPTH = 50  # of lists and mappings in each other; a configuration has ten
REMEDY = "bring it back from a copy, or remove it and give the trial's command again"

Form = TypeVar("Form")


class DamagedError(UserError):
    """A file of a trial that cannot be used, and what helps."""

    def __init__(self, path: Path, flaw: str, remedy: str = REMEDY) -> None:
        super().__init__(f"{path} {flaw}; {remedy}")


def content(path: Path) -> bytes:
    """Returns what a file holds; DamagedError where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: OSError) -> DamagedError:
    """Returns the error for a file that the system does not give."""
    return DamagedError(path, f"cannot be read ({error.strerror})")


def of_json(path: Path, form: TypeAdapter[Form]) -> tuple[dict[str, Any], Form]:
    """Returns the object that a JSON file holds, and the same in its form; DamagedError where that is another."""
    text = content(path)
    try:
        # Two readers must take it: Python's own takes what the other does not, and the reverse.
        return json.loads(text), form.validate_json(text, strict=True)
    except ValidationError as error:
        raise DamagedError(path, f"is damaged ({first(error)})") from error
    except (ValueError, RecursionError) as error:
        raise DamagedError(path, f"is damaged ({reason_of(error)})") from error


def of_yaml(path: Path, form: TypeAdapter[Any]) -> dict[str, Any]:
    """Returns the mapping that a YAML file holds; DamagedError where it lacks what its form has."""
    text = content(path)
    try:
        check_shape(text)
        found: dict[str, Any] = yaml.load(text, Loader=yaml.CSafeLoader)
        form.validate_python(found, strict=True)
    except ValidationError as error:
        raise DamagedError(path, f"is damaged ({first(error)})") from error
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise DamagedError(path, f"is damaged ({reason_of(error)})") from error
    return found


def check_shape(text: bytes) -> None:
    """Raises ValueError for YAML by which few bytes become gigabytes, or that is too deep for its reader's stack."""
    depth = 0
    for event in yaml.parse(text, yaml.CSafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if isinstance(event, yaml.AliasEvent) or depth > DEPTH:
            raise ValueError("it repeats parts of itself, or holds them too deep in each other")


def first(error: ValidationError) -> str:
    """Returns the first thing that is wrong, in a line."""
    found = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place = ".".join(shown(str(part))[1:-1] for part in found["loc"])
    return f"{place}: {found['msg']}" if place else found["msg"]


def reason_of(error: Exception) -> str:
    """Returns what a reader says of a file, in a line that may be printed."""
    return shown(" ".join(str(error).split()))[1:-1]  # without its quotes


def shown(text: str) -> str:
    """Returns text of unknown origin as it may be printed."""
    return ascii(text if len(text) <= 100 else text[:100] + "...")
