"""Errors for the user's mistakes: one sentence each, exit code 2."""

from collections.abc import Iterable

from experiments.sentences import choose_from, shown


class UserError(Exception):
    """A mistake of the user: shown as one sentence, exit code 2."""


def unknown(what: str, value: object, valid: Iterable[object]) -> UserError:
    """Returns the error for a name that is not in `valid`, with the nearest one suggested."""
    return UserError(f"{what} {shown(value)!r} is unknown{choose_from(value, valid)}")


def of_system(error: OSError) -> UserError:
    """Returns the error for a file that cannot be used (no permission, no space); raises `error` if it has no name."""
    if error.filename is None:
        raise error
    return UserError(f"{error.filename} cannot be used ({error.strerror}); correct that, or give another path")
