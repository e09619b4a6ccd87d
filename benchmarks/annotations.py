"""What the check of an annotation file as large as COCO's takes, next to pycocotools, which only reads it.

Takes some minutes, one of them to draw the file, and 2 GB of disk space for a while.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.coco_set import write_train_set
from benchmarks.figure import Figure

IMAGES, OBJECTS = 118_287, 860_001  # as train2017 has
WHAT, PEER = f"check of {IMAGES:,} images, {OBJECTS:,} objects", "pycocotools"
ROOT = Path(__file__).parents[1]

MEASURED = """
import json, re, sys, time
from pathlib import Path
{what}
most = re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())
print(json.dumps([time.process_time(), int(most[1]) * 1024 / 1e9]))
"""
CHECK = """
from experiments.data import annotations
annotations.check(Path(sys.argv[1]), "train", {masks}, Path(sys.argv[1]).parent / "checked").keep()
"""
READ = """
from pycocotools.coco import COCO
COCO(sys.argv[1])
"""


def figures(images: int = IMAGES, objects: int = OBJECTS) -> Iterator[Figure]:
    """Yields seconds of one core, imports included, and the most memory of a process, in GB."""
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "train.json"
        write_train_set(np.random.default_rng(0), file, images, objects)
        seconds, memory = _measured(READ, file)
        for name, masks in (("masks", True), ("boxes", False)):
            ours = _measured(CHECK.format(masks=masks), file)
            yield Figure(f"{name}: the first time", ours[0], seconds)
            yield Figure(f"{name}: the first time, memory", ours[1], memory, "GB")
            yield Figure(f"{name}: after that", _measured(CHECK.format(masks=masks), file)[0], seconds)


def _measured(what: str, file: Path) -> tuple[float, float]:
    command = [sys.executable, "-c", MEASURED.format(what=what), str(file)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    seconds, memory = json.loads(done.stdout.splitlines()[-1])
    return seconds, memory
