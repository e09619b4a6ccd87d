"""Every path that the program writes, from one output folder."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class OutputPaths:
    """The paths that all trials of an output folder share."""

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
        """Earlier folders of trials that were trained again."""
        return self.root / "replaced"

    @property
    def importing(self) -> Path:
        """Where an import unpacks: a folder of the same layout, which no command reads."""
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
        """The decisions of `seed=auto` and its next step (JSON); its command writes the file again."""
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
        """The trial's description: ids, readable name, overrides, sweeps (JSON)."""
        return self.root / "trial.json"

    @property
    def record(self) -> Path:
        """The id that finds the trial's MLflow run; each folder has its own, which is created once."""
        return self.root / "record"

    @property
    def detector_config(self) -> Path:
        """The MMDetection config built from it, runnable by MMDetection's own tools."""
        return self.root / "detector.py"

    @property
    def journal(self) -> Path:
        """The trial's measurements, one JSON record per line, appended during the training."""
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
        """The uncommitted changes of an attempt's source, as git's patch; absent if there are none."""
        return self.root / "provenance" / f"{attempt:04d}.diff"

    def sources(self, attempt: int) -> Path:
        """The source files that an attempt's training loaded, with a hash of each file's meaning (JSON)."""
        return self.root / "sources" / f"{attempt:04d}.json"

    @property
    def ending(self) -> Path:
        """How the last attempt's processes ended, by their own report (JSON); absent if they could not write it."""
        return self.root / "ending.json"

    @property
    def imported(self) -> Path:
        """The file that an imported trial came from (JSON); absent if the trial ran here."""
        return self.root / "imported.json"

    @property
    def stop(self) -> Path:
        """A request to stop the trial: `drain`, after this epoch, or `now`."""
        return self.root / "stop"

    @property
    def detections(self) -> Path:
        """The detections of the last recorded epoch (`experiments.trial.detections`)."""
        return self.root / "detections.npz"

    @property
    def evaluated(self) -> tuple[Path, ...]:
        """The files that an evaluation makes."""
        return (self.detections, self.by_class)

    def fresh(self, file: Path) -> Path:
        """Returns where an evaluation keeps such a file until its epoch is saved and recorded."""
        return self.work / file.name

    @property
    def matches(self) -> Path:
        """COCO's decision about each detection (`experiments.trial.matches`)."""
        return self.root / "matches.npz"

    @property
    def errors(self) -> Path:
        """The cost of each kind of error in AP50, a record like the journal's (JSON)."""
        return self.root / "errors.json"

    @property
    def unmatched(self) -> Path:
        """Why matches and errors could not be made, in one line; absent if they were made or not tried."""
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
        """The output of the trial's processes."""
        return self.root / "log.txt"

    def node_log(self, node: str) -> Path:
        """The output on another machine that lends its devices."""
        return self.root / f"log.node{node}.txt"

    @property
    def work(self) -> Path:
        """MMEngine's own folder: checkpoints and its log."""
        return self.root / "work"

    @property
    def collected(self) -> Path:
        """Where several ranks collect their detections; it exists only during the collection."""
        return self.work / "collected"
