"""Passwords in addresses: found, not printed, not exported; and a plain address stays as it is."""

import pytest

from experiments import passwords

PLAIN = (
    "sqlite:////srv/a:b@c/mlflow.db",
    "http://127.0.0.1:5000",
    "http://host:5000/a@b",
    "postgresql+psycopg://me@host/runs",
    "file:///a@b",
)


@pytest.mark.parametrize("secret", ["hush", "h%40%2Fsh", "h/u@s:h", "hu sh", "'hush'", "5000"])
def test_password_is_found_and_hidden(secret: str) -> None:
    address = f"postgresql+psycopg://me:{secret}@host:5432/runs"
    assert passwords.given(address)
    assert passwords.hidden(address) == "postgresql+psycopg://me:***@host:5432/runs"
    assert passwords.hidden(f"me:{secret}@host") == "host"


@pytest.mark.parametrize("address", PLAIN)
def test_address_without_one_stays(address: str) -> None:
    assert not passwords.given(address)
    assert passwords.hidden(address) == address


def test_files_lose_those_of_all_addresses() -> None:
    text = b'writing to http://me:hush@host:5000/api, "postgresql://you:hush@h/runs"; mail me@host\n'
    assert passwords.removed(text) == b'writing to http://host:5000/api, "postgresql://h/runs"; mail me@host\n'
