"""Addresses of MLflow stores in a file: absolute paths with special characters escaped."""

from pathlib import Path
from urllib.parse import quote, unquote

START = "sqlite:///"
SAFE = " /;&=+@:,~!$'()*[]{}<>|^`\"\\"  # all except % ? #, which have a meaning for SQLAlchemy and MLflow


def of(file: Path) -> str:
    """Returns the address of a file."""
    return START + quote(str(file), safe=SAFE)


def file(uri: str) -> Path | None:
    """Returns the file at an address, None if the address names no file."""
    path = unquote(uri.removeprefix(START).partition("?")[0])
    return Path(path) if uri.startswith(START) and Path(path).name else None


def of_typed(uri: str, outputs: Path) -> str:
    """Returns an address in which a path from `${output_dir}` is escaped."""
    own = f"{START}{outputs}/"
    return f"{of(outputs)}/{uri.removeprefix(own)}" if uri.startswith(own) else uri


def whole(uri: str, folder: Path) -> str:
    """Returns an address with the absolute path of its file, relative to a folder; other addresses unchanged."""
    path = file(uri)
    if path is None:
        return uri
    _, sign, settings = uri.partition("?")
    return of((folder / path.expanduser()).resolve()) + sign + settings
