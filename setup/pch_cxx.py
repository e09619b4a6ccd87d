"""A C++ compiler that parses mmcv's common headers once: stands in for $CXX and calls the real one.

Every C++ file of mmcv includes the same two headers, which pull in all of torch and cost ten times the file itself.
Before the first file of each set of flags this wrapper precompiles them, and it puts them in front of every file.
Whatever it does not understand (linking, `-v`, several inputs) or cannot precompile goes to the real compiler as it is.
It reads PCH_REAL_CXX (the compiler's command) and PCH_DIR (a folder for its files).
"""

import fcntl
import hashlib
import os
import shlex
import subprocess
import sys
from pathlib import Path

PREFIX = '#include "pytorch_cpp_helper.hpp"\n#include "pytorch_device_registry.hpp"\n'
TAKES_A_PATH = {"-o", "-MF", "-MT", "-MQ"}  # followed by a path of this one file: not among the shared flags
ONE_FILE = {"-c", "-MD", "-MMD"}
SOURCES = (".cpp", ".cc", ".cxx")


def shared_flags(arguments: list[str]) -> list[str] | None:
    """Returns the flags that all files have in common, or None unless `arguments` compile exactly one C++ file."""
    flags, inputs = [], 0
    rest = iter(arguments)
    for argument in rest:
        if argument in TAKES_A_PATH:
            next(rest, None)
        elif argument.endswith(SOURCES) and not argument.startswith("-"):
            inputs += 1
        elif argument not in ONE_FILE:
            flags.append(argument)
    return flags if "-c" in arguments and inputs == 1 else None


def precompiled(compiler: list[str], flags: list[str], folder: Path) -> Path | None:
    """Returns the header to include, precompiled for these flags; None where it cannot be precompiled.

    Jobs run side by side: the first one builds while the others wait at the lock. A failure is remembered too.
    """
    folder = folder / hashlib.sha256("\0".join(compiler + flags).encode()).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    header, binary, failed = folder / "prefix.hpp", folder / "prefix.hpp.gch", folder / "failed"
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not binary.exists() and not failed.exists():
            header.write_text(PREFIX)
            unfinished = folder / "unfinished.gch"
            command = [*compiler, *flags, "-x", "c++-header", str(header), "-o", str(unfinished)]
            if subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0:
                unfinished.rename(binary)
            else:
                unfinished.unlink(missing_ok=True)
                failed.touch()
    return header if binary.exists() else None


def main(arguments: list[str]) -> int:
    """Returns the real compiler's exit code, or becomes the real compiler."""
    compiler = shlex.split(os.environ["PCH_REAL_CXX"])
    flags = shared_flags(arguments)
    if flags is not None:
        try:
            header = precompiled(compiler, flags, Path(os.environ["PCH_DIR"]))
        except OSError:  # a full disk, no locks on this file system: slower, not broken
            header = None
        if header and subprocess.run([*compiler, "-include", str(header), *arguments]).returncode == 0:
            return 0
    os.execvp(compiler[0], [*compiler, *arguments])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
