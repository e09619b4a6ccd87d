"""Finds, hides and removes passwords in addresses of stores."""

import re

# USER:PASSWORD@ after the scheme. `@` and `/` in a password should be escaped; if they are not, the text up to the last
# `@` may belong to the password. HOST:PORT/ is not a password.
_IN_ADDRESS = re.compile(r"(://[^/@:]*):(?!\d*/).+@", re.DOTALL)
_IN_TEXT = re.compile(rb"(://)[^/\s@'\"]+@")


def given(address: str) -> bool:
    """Returns whether an address holds a password."""
    return _IN_ADDRESS.search(address) is not None


def hidden(address: str) -> str:
    """Returns an address for printing: `postgresql://me:***@host/runs`."""
    if "://" not in address:  # mistyped: the text before the host may be a password
        return address.rpartition("@")[2]
    return _IN_ADDRESS.sub(r"\1:***@", address)


def removed(content: bytes) -> bytes:
    """Returns a file's content without the user and password of each address in it."""
    return _IN_TEXT.sub(rb"\1", content)
