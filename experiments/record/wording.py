"""What a person reads on a run's page in MLflow: who the trial is, what it serves, how to get it again (Markdown)."""

import json
import shlex
from typing import Any

from experiments import names


def note(description: dict[str, Any]) -> str:
    """Returns the text of a run's description from what its folder says of the trial."""
    factors = description["factors"]
    setting = ", ".join(f"{group} {factors[group]}" for group in ("profile", "dataset", "recipe", "schedule"))
    lines = [f"**{description[names.VARIANT]}**, seed {description[names.SEED]} ({setting})", ""]
    lines += [f"- {served}" for served in _served(description["sweeps"])]
    command = shlex.join(["python", "run.py", *description[names.OVERRIDES]])
    exact = f"python -m experiments reproduce {description[names.TRIAL_ID]}"
    return "\n".join([*lines, "", "Again, and with the commit, packages and data of then:", "", *_code(command, exact)])


def _served(tags: dict[str, str]) -> list[str]:
    """Returns a sentence a sweep that the trial belongs to."""
    sentences = []
    for tag, sweep in sorted(tags.items()):
        if tag.startswith(names.SWEEP):
            rows = json.loads(tags.get(names.ROWS + tag.removeprefix(names.SWEEP), "[]"))
            sentences.append(f"sweep {sweep}" + (f": {', '.join(rows)}" if rows else ""))
    return sentences


def _code(*commands: str) -> list[str]:
    return ["```", *commands, "```"]
