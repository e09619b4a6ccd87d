"""Passwords in addresses of stores: whether there is one, and the address without it."""

import re

# USER:PASSWORD@ after the scheme. A password should have its `@` and `/` escaped; where it has not, all up to the last
# `@` may belong to it. HOST:PORT/ is no password.
_IN_ADDRESS = re.compile(r"(://[^/@:]*):(?!\d*/).+@", re.DOTALL)
_IN_TEXT = re.compile(rb"(://)[^/\s@'\"]+@")


def given(address: str) -> bool:
    """Returns whether an address holds a password."""
    return _IN_ADDRESS.search(address) is not None


def hidden(address: str) -> str:
    """Returns an address as it may be printed: `postgresql://me:***@host/runs`."""
    if "://" not in address:  # mistyped: what stands before the host may be a password
        return address.rpartition("@")[2]
    return _IN_ADDRESS.sub(r"\1:***@", address)


def removed(content: bytes) -> bytes:
    """Returns a file's content without the user and password of each address in it."""
    return _IN_TEXT.sub(rb"\1", content)
