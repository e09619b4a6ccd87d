"""Texts for people: a run's description in MLflow (Markdown), and a store's trouble."""

import json
import re
import shlex
import textwrap
from pathlib import Path
from typing import Any

from experiments import names
from experiments.commands import ROOT

TROUBLE = 200  # characters of a store's error that are shown
SETTING = ("profile", "dataset", "recipe", "schedule")  # factors that all rows of a study usually share
LOST = re.compile("Connection refused|timed out|Name or service not known|No route to host|HTTP error [0-9]+")


def trouble(error: Exception) -> str:
    """Returns a store's error as one line: MLflow's message without SQL and details of a lost connection."""
    text = " ".join(str(error).split()) or type(error).__name__
    if " failed with exception " in text:
        found = LOST.search(re.sub("too many ([0-9]+) error responses", r"HTTP error \1", text))
        return found[0] if found else "Connection lost"
    return textwrap.shorten(text.partition(" [SQL:")[0], TROUBLE, placeholder=" ...")


def note(description: dict[str, Any], outputs: Path) -> str:
    """Returns a run's description, from the trial's own description and the output folder."""
    factors = description["factors"]
    setting = ", ".join(f"{group} {factors[group]}" for group in SETTING if group in factors)
    lines = [f"**{description[names.VARIANT]}**, seed {description[names.SEED]} ({setting})", ""]
    lines += [f"- {sentence}" for sentence in _of_sweeps(description["sweeps"])]
    command = shlex.join(["python", "run.py", *description[names.OVERRIDES]])
    place = [] if outputs == ROOT / "outputs" else ["--output-dir", str(outputs)]
    exact = shlex.join(["python", "-m", "experiments", "reproduce", description[names.TRIAL_ID], *place])
    return "\n".join([*lines, "", "Again, and with the commit, packages and data of then:", "", *_code(command, exact)])


def _of_sweeps(tags: dict[str, str]) -> list[str]:
    """Returns a sentence for each sweep that the trial belongs to."""
    sentences = []
    for tag, sweep in sorted(tags.items()):
        if tag.startswith(names.SWEEP):
            rows = json.loads(tags.get(names.ROWS + tag.removeprefix(names.SWEEP), "[]"))
            sentences.append(f"sweep {sweep}" + (f": {', '.join(rows)}" if rows else ""))
    return sentences


def _code(*commands: str) -> list[str]:
    return ["```", *commands, "```"]
