"""The lock is complete, agrees with what is installed, and pins what requirements.in asks for."""

import re
from importlib import metadata

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from setup.environment import FIRST, LOCK, read_lock

SOURCE = LOCK.with_name("requirements.in").read_text()
PINS = {canonicalize_name(name): version for name, version in read_lock().items()}
LEFT_OUT = {canonicalize_name(name) for name in re.findall(r"^# left out: (\S+) - \S+", SOURCE, re.MULTILINE)}
WANTED = [Requirement(line.split("#")[0]) for line in SOURCE.splitlines() if line.split("#")[0].strip()]


def test_every_pin_is_what_is_installed() -> None:
    installed = {name: Version(metadata.version(name)).public for name in PINS}
    assert installed == PINS


def test_every_requirement_of_every_package_is_met_or_left_out_with_a_reason() -> None:
    unmet = []
    for name in PINS:
        for requirement in map(Requirement, metadata.requires(name) or []):
            if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
                continue
            needed = canonicalize_name(requirement.name)
            if needed in LEFT_OUT:
                continue
            if needed not in PINS or not requirement.specifier.contains(PINS[needed], prereleases=True):
                unmet.append(f"{name} needs {requirement}, the lock has {PINS.get(needed)}")
    assert not unmet


def test_the_lock_pins_what_requirements_in_asks_for() -> None:
    for requirement in WANTED:
        assert PINS[canonicalize_name(requirement.name)] in requirement.specifier


def test_every_direct_requirement_says_why_it_is_there() -> None:
    lines = [line for line in SOURCE.splitlines() if line.strip() and not line.startswith("#")]
    assert all(re.search(r"\s# \S+", line) for line in lines)


def test_nothing_that_is_left_out_is_pinned() -> None:
    assert "opencv-python" in LEFT_OUT
    assert not LEFT_OUT & set(PINS)


def test_every_line_of_the_lock_is_one_exact_version() -> None:
    lines = [line for line in LOCK.read_text().splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in lines), "no URLs, ranges or local versions"
    assert len(lines) == len(PINS)
    assert set(FIRST) <= set(PINS)
