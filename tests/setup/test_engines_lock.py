"""The extras only add packages to the lock, and their own lock pins what they ask for."""

import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from setup.environment import LOCK, ROOT, read_lock

ENGINES = LOCK.with_name("engines.lock")
ADDED = {canonicalize_name(name): version for name, version in read_lock(ENGINES).items()}
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]


@pytest.mark.parametrize("extra", EXTRAS)
def test_lock_of_the_engines_pins_what_the_extra_asks_for(extra: str) -> None:
    for requirement in map(Requirement, EXTRAS[extra]):
        assert str(requirement.specifier) == f"=={ADDED[canonicalize_name(requirement.name)]}"


def test_extras_change_nothing_that_the_lock_pins() -> None:
    assert ADDED
    assert not set(ADDED) & {canonicalize_name(name) for name in read_lock()}


def test_every_line_is_one_exact_version() -> None:
    lines = [line for line in ENGINES.read_text().splitlines() if not line.startswith("#")]
    assert len(lines) == len(ADDED)
