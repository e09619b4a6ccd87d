"""Faults in the process that makes a trial's matches: in a folder on PYTHONPATH, for as long as it is there.

Python imports the folder's `sitecustomize.py` at each start. It does nothing in any other process.
"""

from pathlib import Path

START = """
import os, signal, sys, time
from pathlib import Path

HERE = Path(__file__).parent
del __file__  # else a training counts it among the code that made its result
if "experiments.training.decisions" in sys.orig_argv:
    from experiments import files
    from pycocotools.cocoeval import COCOeval

    def begun():
        (HERE / "begun").touch()

    def raising(*_):
        raise ValueError("boom\\nand more of it")

    def crashing(*_):
        os.kill(os.getpid(), signal.SIGSEGV)

    def hanging(*_):
        begun()
        time.sleep(600)

    def deaf(*_):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        hanging()

    def waiting(*arguments):
        begun()
        while not (HERE / "go").exists():
            time.sleep(0.05)
        real(*arguments)

    def shot(*_):
        os.kill(os.getpid(), signal.SIGKILL)

    real = COCOeval.evaluate
"""
FAULTS = {
    "error": "COCOeval.evaluate = raising",
    "crash": "COCOeval.evaluate = crashing",
    "hang": "COCOeval.evaluate = hanging",
    "deaf hang": "COCOeval.evaluate = deaf",
    "slow": "COCOeval.evaluate = waiting",
    "shot before the errors": "files.create = shot",
    "shot before the matches": "files.write = shot",
}


def make(folder: Path, fault: str) -> dict[str, str]:
    """Makes a fault, in an empty folder; returns the environment of a command that has it."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(f"{START}    {FAULTS[fault]}\n")
    return {"PYTHONPATH": str(folder)}
