"""The files that an archive may hold, and the largest size of each."""

import re
from pathlib import Path

from experiments.paths import TrialPaths

MIB = 2**20
TRIAL_ID = r"\w[\w.]*(?:-\w[\w.]*)*-s[0-9]+-[0-9a-f]{10}"


def travels(file: str) -> bool:
    """Returns whether an export includes the file with this path in its trial's folder."""
    return any(re.fullmatch(pattern, file) for pattern in _FILES)


def largest(name: str) -> int | None:
    """Returns the largest size in bytes of a file with this name in an archive, None for an unknown name."""
    return next((size for pattern, size in _NAMES.items() if re.fullmatch(pattern, name)), None)


def _files() -> dict[str, int]:
    """Returns the largest size of each file of a trial in an archive, by a pattern of its path."""
    paths = TrialPaths(Path())
    known = dict.fromkeys(paths.kept, 2048 * MIB)
    small = (paths.config, paths.description, paths.record, paths.cost, paths.errors, paths.unmatched)
    known |= dict.fromkeys(small, MIB // 4)
    known |= {paths.journal: 128 * MIB, paths.by_class: 16 * MIB, paths.detector_config: 16 * MIB}
    numbered = {
        r"attempts/[0-9]{4}\.json": MIB,
        r"provenance/[0-9]{4}\.(json|diff)": 32 * MIB,
        r"sources/[0-9]{4}\.json": MIB,
        r"log\.node[0-9]+\.txt": 2048 * MIB,
    }
    return {re.escape(str(path)): size for path, size in known.items()} | numbered


_FILES = _files()
_NAMES = {f"trials/{TRIAL_ID}/{file}": size for file, size in _FILES.items()} | {r"plans/\w[\w.\- ]*\.json": 64 * MIB}
