"""Installs what tests/engines needs, quick when it is there.

That is Debian's Slurm with its database, PostgreSQL, Chromium and TeX, and the packages of pyproject.toml's extras.

    .venv/bin/python -m setup.engines

The extras' packages go into the environment it runs in; the Debian packages need root.
"""

import os
import shutil
import subprocess
import sys
from importlib import metadata

from setup.environment import LOCK, VENV, read_lock
from setup.jobs import Job, run
from setup.preconditions import SetupError

DEBIAN = (
    *("slurm-wlm", "slurm-wlm-basic-plugins", "slurmdbd", "munge", "mariadb-server"),
    *("postgresql", "chromium", "chromium-driver"),
    *("texlive-latex-base", "texlive-latex-recommended", "poppler-utils"),
)
ENGINES = LOCK.with_name("engines.lock")


def missing_packages() -> list[str]:
    """Returns which of the Debian packages are not installed; SetupError on another system."""
    if shutil.which("dpkg-query") is None or shutil.which("apt-get") is None:
        raise SetupError(
            "make test-engines starts servers of its own from Debian's packages and there is no apt-get here: run it "
            "in a Debian 12 container; make test needs none."
        )
    command = ["dpkg-query", "--show", "--showformat=${Package} ${db:Status-Status}\n", *DEBIAN]
    found = subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()
    return [package for package in DEBIAN if f"{package} installed" not in found]


def check_root(missing: list[str]) -> None:
    """Raises SetupError unless this is root, who alone installs packages and runs servers as other users."""
    if os.getuid():
        need = f"installs {' '.join(missing)} and " if missing else ""
        raise SetupError(
            f"make test-engines {need}starts servers of its own, for which it must be root: run it in a Debian 12 "
            "container or as root; make test needs none."
        )


def is_current() -> bool:
    """Returns whether this environment has what setup/engines.lock says."""
    try:
        return all(metadata.version(name) == version for name, version in read_lock(ENGINES).items())
    except metadata.PackageNotFoundError:
        return False


def install() -> None:
    """Installs what is missing; raises SetupError where that cannot be."""
    missing = missing_packages()
    check_root(missing)
    logs = VENV / "setup"
    if missing:
        environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        update = ["apt-get", "update", "--quiet=2"]
        add = ["apt-get", "install", "--quiet=2", "--yes", "--no-install-recommends", *missing]
        run(Job("Debian's list of packages", update, logs / "apt-update.log", environment=environment))
        run(Job(f"Debian packages {' '.join(missing)}", add, logs / "apt-install.log", environment=environment))
    if not is_current():
        pip = [sys.executable, "-m", "pip", "install", "--no-compile", "--no-user", "--no-input", "--progress-bar=off"]
        run(Job("packages of the extras", [*pip, "--no-deps", "-r", str(ENGINES)], logs / "engines.log"))


def main() -> int:
    """Returns the exit code: 0 when all is there, 2 when something the user can mend is in the way."""
    try:
        install()
    except SetupError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
