"""What tests of `seed=auto` share: a sweep of fake trainings whose precision is given, by module and seed."""

import json
import random
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments import names
from experiments.trial import attempts
from tests.support import harness
from tests.support.running import Command, Fake

MODULES = ("none", "conv5", "conv1")  # before aggregation; the first is the baseline
_draws = random.Random(5)
# conv5 is far above the baseline; conv1 and conv3 are as far from it as chance has it.
PRECISIONS = {
    f"-{module}-none-": [level + _draws.gauss(0, 0.01) for _ in range(10)]
    for module, level in {"none": 0.2, "conv5": 0.8, "conv1": 0.2, "conv3": 0.2}.items()
}


@dataclass
class Automatic:
    """A typed sweep of fake trainings with `seed=auto`."""

    fake: Fake

    @property
    def outputs(self) -> Path:
        return self.fake.outputs

    def start(self, *more: str, modules: Iterable[str] = MODULES, fates: dict[str, str] | None = None) -> Command:
        """Starts the command; `fates` are of trials with a part of their name."""
        (self.outputs / "precisions.json").write_text(json.dumps(PRECISIONS))
        (self.outputs / "fates.json").write_text(json.dumps(fates or {}))
        seeds = () if any(word.startswith("seed=") for word in more) else ("seed=auto",)
        arguments = (*harness.TINY, f"pre={','.join(modules)}", *seeds, f"output_dir={self.outputs}", *more)
        self.fake.commands.append(self.fake.preloaded.start("-m", *arguments, fake_training=True))
        return self.fake.commands[-1]

    def run(self, *more: str, **options: Any) -> Command:
        return self.start(*more, **options).wait()

    def folder(self, module: str, seed: int) -> Path | None:
        """Returns the folder of a trial, None where it has none."""
        return next(iter(self.outputs.glob(f"trials/*-{module}-none-s{seed}-*")), None)

    def began(self, module: str, seed: int) -> bool:
        folder = self.folder(module, seed)
        return folder is not None and (folder / "began").exists() and (folder / "journal.jsonl").exists()

    def in_state(self, *states: str) -> set[tuple[str, int]]:
        """Returns module and seed of each trial that is in one of these states."""
        found = [path for path in self.outputs.glob("trials/*") if attempts.state(path) in states]
        parts = [path.name.split("-") for path in found]
        return {(part[2], int(part[4][1:])) for part in parts}

    def finished(self) -> set[tuple[str, int]]:
        return self.in_state(names.FINISHED)

    def descriptions(self) -> dict[str, dict[str, Any]]:
        """Returns what each trial's folder says of it, by its id."""
        return {path.parent.name: json.loads(path.read_text()) for path in self.outputs.glob("trials/*/trial.json")}

    def assert_whole(self) -> None:
        """Each trial has one run, which has each of its epochs once."""
        runs = harness.runs(self.outputs)
        folders = sorted(path.name for path in self.outputs.glob("trials/*"))
        assert sorted(run.data.tags[names.TRIAL_ID] for run in runs) == folders
        for run in runs:
            points = harness.mlflow_metrics(self.outputs, run)
            assert points == harness.journal_metrics(harness.trial_folder(self.outputs, run))
            assert run.info.status == names.FINISHED


def rules_of(tags: dict[str, str]) -> list[dict[str, Any]]:
    """Returns the rules that tags hold."""
    return [json.loads(text) for tag, text in tags.items() if tag.startswith(names.RULES)]


def seeds_of(**counts: int) -> set[tuple[str, int]]:
    """Returns module and seed of so many seeds of each."""
    return {(module, seed) for module, count in counts.items() for seed in range(count)}
