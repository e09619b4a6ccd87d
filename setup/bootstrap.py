"""Makes sure that `.venv` exists and is what setup/requirements.lock says; silent and quick when it is.

Old Pythons must be able to read this file, so that they end in a sentence and not in a SyntaxError: no syntax and no
imports above Python 3.6 here. Everything else lives in `setup.environment`, which may use all of 3.11.
"""

import sys

SUPPORTED = ((3, 11), (3, 12))


def wrong_python(version: tuple) -> "str | None":
    """Returns the sentence for a Python `version` (major, minor) that cannot be used, else None."""
    if version in SUPPORTED:
        return None
    return (
        f"Python {version[0]}.{version[1]} ({sys.executable}) cannot be used: the pinned packages need 3.11 or 3.12; "
        "install one (Debian, Ubuntu: apt-get install python3.11 python3.11-venv python3.11-dev) or name one that is "
        "there: make PYTHON=/path/to/python3.11 ..."
    )


def main() -> int:
    """Returns the exit code: 0 when `.venv` is ready, 2 when something the user can mend is in the way."""
    sentence = wrong_python(tuple(sys.version_info[:2]))
    if sentence:
        sys.stderr.write(f"error: {sentence}\n")
        return 2
    from setup import environment

    return environment.ensure()


if __name__ == "__main__":
    sys.exit(main())
