"""Reads and checks the small files of a trial's folder; an error names the damaged file.

A damaged file affects only its own trial, in every command.
"""

import json
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import TypeAdapter, ValidationError

from experiments.errors import UserError

DEPTH = 50  # of nested lists and mappings; a configuration has ten
REMEDY = "restore it from a copy, or remove it and give the trial's command again"

Form = TypeVar("Form")


class DamagedError(UserError):
    """A file of a trial cannot be used; the message has the remedy."""

    def __init__(self, path: Path, flaw: str, remedy: str = REMEDY) -> None:
        super().__init__(f"{path} {flaw}; {remedy}")


def content(path: Path) -> bytes:
    """Returns the content of a file; DamagedError if it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: OSError) -> DamagedError:
    """Returns the error for a file that the system cannot read."""
    return DamagedError(path, f"cannot be read ({error.strerror})")


def of_json(path: Path, form: TypeAdapter[Form]) -> tuple[dict[str, Any], Form]:
    """Returns the object of a JSON file, raw and validated; DamagedError if it is not valid."""
    text = content(path)
    try:
        # Two readers must accept it, because each accepts some input that the other refuses.
        return json.loads(text), form.validate_json(text, strict=True)
    except ValidationError as error:
        raise DamagedError(path, f"is damaged ({first(error)})") from error
    except (ValueError, RecursionError) as error:
        raise DamagedError(path, f"is damaged ({reason_of(error)})") from error


def of_yaml(path: Path, form: TypeAdapter[Any]) -> dict[str, Any]:
    """Returns the mapping of a YAML file; DamagedError if it is not valid."""
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
    """Raises ValueError for YAML that expands to gigabytes, or is nested too deeply for its reader."""
    depth = 0
    for event in yaml.parse(text, yaml.CSafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if isinstance(event, yaml.AliasEvent) or depth > DEPTH:
            raise ValueError("it repeats parts of itself, or is nested too deeply")


def first(error: ValidationError) -> str:
    """Returns the first error in one line."""
    found = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place = ".".join(shown(str(part))[1:-1] for part in found["loc"])
    return f"{place}: {found['msg']}" if place else found["msg"]


def reason_of(error: Exception) -> str:
    """Returns a reader's error message as one printable line."""
    return shown(" ".join(str(error).split()))[1:-1]  # without its quotes


def shown(text: str) -> str:
    """Returns text of unknown origin in a printable form."""
    return ascii(text if len(text) <= 100 else text[:100] + "...")
