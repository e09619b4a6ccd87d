"""Stands in for the training where a test is about what is around it: one epoch's metrics, then what the seed says.

An even seed finishes at once; an odd one goes on until somebody ends it, which takes as long as with torchrun. It
imports nothing of the project: the journal's format is part of what is tested.
"""

import json
import re
import signal
import sys
import time
from pathlib import Path

folder = Path(sys.argv[1])
found = re.search(r"-s(\d+)-", folder.name)
assert found is not None
metrics = {f"bbox/{name}": 0.1 for name in ("AP", "AP50", "AP75", "APs", "APm", "APl")}
signal.signal(signal.SIGTERM, lambda *_: (time.sleep(1), sys.exit(1)))
with (folder / "journal.jsonl").open("a") as journal:
    record = {"time": time.time_ns() // 1_000_000, "step": 1, "metrics": {"train/loss": 1 / 3, **metrics}}
    journal.write(json.dumps(record) + "\n")
if int(found[1]) % 2:
    time.sleep(600)
