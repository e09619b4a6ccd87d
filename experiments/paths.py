"""Every path that the harness writes, from one output folder."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class OutputPaths:
    """What all trials of an output folder share."""

    root: Path

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def artifacts(self) -> Path:
        return self.root / "artifacts"

    @property
    def store_lock(self) -> Path:
        return self.root / "store.lock"

    def trial(self, trial_id: str) -> "TrialPaths":
        return TrialPaths(self.root / "trials" / trial_id)


@dataclass(frozen=True)
class TrialPaths:
    """Every file of one trial, all under its own folder."""

    root: Path

    @property
    def config(self) -> Path:
        """The resolved Hydra config that the trial runs from."""
        return self.root / "config.yaml"

    @property
    def description(self) -> Path:
        """Who the trial is: ids, readable name, overrides, sweeps (JSON)."""
        return self.root / "trial.json"

    @property
    def detector_config(self) -> Path:
        """The MMDetection config built from it, runnable by MMDetection's own tools."""
        return self.root / "detector.py"

    @property
    def journal(self) -> Path:
        """What the trial measured, one JSON record a line, appended as it happens."""
        return self.root / "journal.jsonl"

    @property
    def outcome(self) -> Path:
        """How the last attempt ended (JSON); absent while it has not."""
        return self.root / "outcome.json"

    @property
    def error(self) -> Path:
        """The exception that ended the last attempt, one line."""
        return self.root / "error.txt"

    @property
    def log(self) -> Path:
        """Everything that the trial's processes printed."""
        return self.root / "log.txt"

    @property
    def lock(self) -> Path:
        """Held by whoever runs the trial."""
        return self.root / "lock"

    @property
    def work(self) -> Path:
        """MMEngine's own folder: checkpoints and its log."""
        return self.root / "work"
