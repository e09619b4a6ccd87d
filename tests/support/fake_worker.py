"""Stands in for a trial's processes where a test is about what is around them: epochs without training, then a fate.

The output folder's fates.json says what becomes of each seed, or of trials with a part of their name; the default is
"finish". Its precisions.json has the last box AP of trials with a part of their name, by seed. It imports nothing of
the project: what a worker leaves in its folder, and what it looks for there, is part of what is tested.
"""

import json
import os
import re
import signal
import sys
import time
from pathlib import Path

folder, attempt = Path(sys.argv[1]), int(sys.argv[2])
EPOCHS = int(re.findall(r"^  epochs: (\d+)$", (folder / "config.yaml").read_text(), re.MULTILINE)[0])
journal = folder / "journal.jsonl"


def fate() -> str:
    found = re.search(r"-s(\d+)-", folder.name)
    assert found is not None
    fates = told("fates.json")
    by_name = [fate for part, fate in fates.items() if not part.isdigit() and part in folder.name]
    return fates.get(found[1], [*by_name, "finish"][0])


def told(name: str) -> dict:
    """Returns what a file of the output folder says."""
    file = folder.parent.parent / name
    return json.loads(file.read_text()) if file.exists() else {}


def precision(epoch: int) -> float:
    """Returns box AP after an epoch."""
    seed = int(re.findall(r"-s(\d+)-", folder.name)[0])
    for part, by_seed in told("precisions.json").items():
        if part in folder.name:
            return by_seed[seed] * epoch / EPOCHS
    return epoch / 10


def complete() -> int:
    """Returns how many epochs earlier attempts have recorded."""
    lines = journal.read_text().splitlines() if journal.exists() else []
    return len([line for line in lines if "metrics" in json.loads(line)])


def one_epoch() -> None:
    step = complete() + 1
    metrics = {f"bbox/{name}": precision(step) for name in ("AP", "AP50", "AP75", "APs", "APm", "APl")}
    metrics |= {"epoch/loss": 1 / 3, "epoch/train_seconds": 36.0, "epoch/val_seconds": 18.0}
    with journal.open("a") as file:
        file.write(json.dumps({"time": time.time_ns() // 1_000_000, "step": step, "metrics": metrics}) + "\n")


def end(status: str, reason: str | None = None, **more: bool | int | None) -> None:
    (folder / "ending.part").write_text(json.dumps({"status": status, "reason": reason, **more}))
    (folder / "ending.part").rename(folder / "ending.json")


def finish() -> None:
    while complete() < EPOCHS:
        one_epoch()
    end("FINISHED")


def go_on() -> None:
    """Until somebody asks for a stop after the epoch, or ends the process; the last epoch does not end."""
    while not (folder / "stop").exists():
        time.sleep(0.2)
        if complete() < EPOCHS - 1:
            one_epoch()
    end("KILLED", f"stopped as asked after epoch {complete()}")


def note_sources() -> None:
    path = folder / "sources" / f"{attempt:04d}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"after": complete(), "files": {}}))


# As long as torchrun takes to end its ranks.
signal.signal(signal.SIGTERM, lambda *_: (time.sleep(1), sys.exit(1)))
word, _, until = fate().partition(" until attempt ")  # "silent until attempt 2" finishes in its second
if until and attempt >= int(until):
    word = "finish"
with (folder / "began").open("a") as file:  # for tests: one line an attempt
    file.write(f"{attempt}\n")
note_sources()
if word == "finish":
    finish()
elif word == "forget":  # the first epoch's line is lost while the second runs
    one_epoch()
    one_epoch()
    journal.write_text(journal.read_text().splitlines(keepends=True)[1])
    end("FINISHED")
elif word == "go on":
    go_on()
else:
    if complete() < EPOCHS:
        one_epoch()
    if word == "silent":
        time.sleep(600)
    elif word == "error":
        print("\n".join(f"line {number}" for number in range(20)))
        print("ValueError: a mistake in the code")
        end("FAILED", "ValueError: a mistake in the code", transient=False)
        sys.exit(1)
    elif word == "half a record":
        with journal.open("a") as file:
            file.write('{"time": 12, "step": 2, "metr')
        sys.exit(1)
    elif word.startswith("memory"):  # "memory at 7": at that step; "memory later": at another in each attempt
        at = {"memory": None, "memory later": attempt}.get(word, word.rpartition(" ")[2])
        end("FAILED", "OutOfMemoryError: CUDA out of memory", transient=True, memory_at=at if at is None else int(at))
        sys.exit(1)
    else:
        os.kill(os.getpid(), getattr(signal, word))  # SIGKILL, SIGSEGV
        time.sleep(600)
