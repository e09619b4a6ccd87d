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
    def checked(self) -> Path:
        """Annotation files that passed, in the form that training and evaluation read."""
        return self.data / "checked"

    @property
    def artifacts(self) -> Path:
        return self.root / "artifacts"

    @property
    def record_lock(self) -> Path:
        """Locked while a command gives trials their records."""
        return self.root / "record.lock"

    @property
    def trials(self) -> Path:
        return self.root / "trials"

    @property
    def replaced(self) -> Path:
        """Folders of finished trials that were done again."""
        return self.root / "replaced"

    @property
    def importing(self) -> Path:
        """Where an import unpacks: a folder of this layout, of which nothing counts yet."""
        return self.root / ".import"

    @property
    def import_lock(self) -> Path:
        return self.root / ".import.lock"

    @property
    def launches(self) -> Path:
        return self.root / "launches"

    def plan(self, name: str) -> Path:
        return self.root / "plans" / f"{name}.json"

    def rounds(self, name: str) -> Path:
        """What `seed=auto` has decided of sweeps and does next (JSON); made again by its command."""
        return self.root / "rounds" / f"{name}.json"

    def trial(self, trial_id: str) -> "TrialPaths":
        return TrialPaths(self.trials / trial_id)


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
    def record(self) -> Path:
        """By what the trial's MLflow run is found again: another in each folder, made once."""
        return self.root / "record"

    @property
    def detector_config(self) -> Path:
        """The MMDetection config built from it, runnable by MMDetection's own tools."""
        return self.root / "detector.py"

    @property
    def journal(self) -> Path:
        """What the trial measured, one JSON record a line, appended as it happens."""
        return self.root / "journal.jsonl"

    @property
    def kept(self) -> tuple[Path, ...]:
        """The files that MLflow keeps of a trial that has ended."""
        measured = (self.journal, self.cost, self.detections, self.matches, self.errors, self.by_class)
        return (self.config, self.detector_config, self.log, *measured)

    def provenance(self, attempt: int) -> Path:
        """Source, packages and machine of an attempt (JSON)."""
        return self.root / "provenance" / f"{attempt:04d}.json"

    def difference(self, attempt: int) -> Path:
        """What differed from the commit in the source that an attempt ran, as git tells it; absent where nothing."""
        return self.root / "provenance" / f"{attempt:04d}.diff"

    def sources(self, attempt: int) -> Path:
        """Which source files an attempt's training loaded, and what each means (JSON)."""
        return self.root / "sources" / f"{attempt:04d}.json"

    @property
    def ending(self) -> Path:
        """How the last attempt's processes say that they ended (JSON); absent where they could not."""
        return self.root / "ending.json"

    @property
    def imported(self) -> Path:
        """Which file an imported trial came from (JSON); absent where the trial was run here."""
        return self.root / "imported.json"

    @property
    def stop(self) -> Path:
        """A wish that the trial stop: `drain`, after this epoch, or `now`."""
        return self.root / "stop"

    @property
    def detections(self) -> Path:
        """What the evaluation of the last epoch recorded detected (`experiments.trial.detections`)."""
        return self.root / "detections.npz"

    @property
    def evaluated(self) -> tuple[Path, ...]:
        """The files that an evaluation makes."""
        return (self.detections, self.by_class)

    def fresh(self, file: Path) -> Path:
        """Returns where an evaluation leaves such a file until its epoch is saved and recorded."""
        return self.work / file.name

    @property
    def matches(self) -> Path:
        """What COCO's evaluation decided about each of them (`experiments.trial.matches`)."""
        return self.root / "matches.npz"

    @property
    def errors(self) -> Path:
        """What each kind of error costs in AP50, a record like the journal's (JSON)."""
        return self.root / "errors.json"

    @property
    def unmatched(self) -> Path:
        """Why matches and errors could not be made, in a line; absent where nobody tried or they were made."""
        return self.root / "unmatched.txt"

    @property
    def matching_lock(self) -> Path:
        """Locked while a command makes matches and errors."""
        return self.work / "matching.lock"

    @property
    def cost(self) -> Path:
        """Parameters and multiply-adds of the detector, a record like the journal's (JSON)."""
        return self.root / "cost.json"

    @property
    def by_class(self) -> Path:
        """COCO's figures of the last epoch recorded for each class (JSON, by IoU type)."""
        return self.root / "by_class.json"

    @property
    def log(self) -> Path:
        """Everything that the trial's processes printed."""
        return self.root / "log.txt"

    def node_log(self, node: str) -> Path:
        """The same of another machine that lends its devices."""
        return self.root / f"log.node{node}.txt"

    @property
    def work(self) -> Path:
        """MMEngine's own folder: checkpoints and its log."""
        return self.root / "work"

    @property
    def collected(self) -> Path:
        """Where several ranks put their detections together; there while they do."""
        return self.work / "collected"
