"""Addresses of MLflow stores that are a file: whole paths, with the signs escaped that would end or change them."""

from pathlib import Path
from urllib.parse import quote, unquote

START = "sqlite:///"
SAFE = " /;&=+@:,~!$'()*[]{}<>|^`\"\\"  # all but % ? #, which SQLAlchemy and MLflow read as more than letters


def of(file: Path) -> str:
    """Returns the address of a file."""
    return START + quote(str(file), safe=SAFE)


def file(uri: str) -> Path | None:
    """Returns the file at an address, None for one that names no file."""
    path = unquote(uri.removeprefix(START).partition("?")[0])
    return Path(path) if uri.startswith(START) and Path(path).name else None


def of_typed(uri: str, outputs: Path) -> str:
    """Returns an address in which `${output_dir}` may have put a path as it is: this part is escaped."""
    own = f"{START}{outputs}/"
    return f"{of(outputs)}/{uri.removeprefix(own)}" if uri.startswith(own) else uri


def whole(uri: str, folder: Path) -> str:
    """Returns an address with the whole path of its file, a relative one starting from a folder; others as they are."""
    path = file(uri)
    if path is None:
        return uri
    _, sign, settings = uri.partition("?")
    return of((folder / path.expanduser()).resolve()) + sign + settings
