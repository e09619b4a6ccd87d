"""Computes COCO's decision on every detection of a trial's last epoch, and its errors by kind.

pycocotools evaluates, because its decisions can be read. This takes about a minute on COCO, so it is done once for each
trial, after its last epoch is recorded: `python -m experiments.training.decisions FOLDER ATTEMPT`. It needs the trial's
folder and the annotations, but no GPU and no checkpoint.
"""

import contextlib
import io
import json
import sys
import time
from pathlib import Path
from typing import Any

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from experiments import files, names
from experiments.data import datasets
from experiments.paths import TrialPaths
from experiments.training import error_kinds
from experiments.trial import attempts, described, detections, journal, matches
from experiments.trial.detections import Records

TOLERANCE = 1e-9  # of AP: hotcoco's and pycocotools' AP are equal to the last bit for the same detections
SIGN_SECONDS = 10.0  # seconds between two signs of life


def make(paths: TrialPaths) -> None:
    """Writes `matches.npz` and `errors.json` of a trial whose last epoch is recorded."""
    annotations = datasets.locate(described.settings(paths))["val"].annotations
    complete = journal.complete_epochs(paths.journal)
    last = max(complete)
    errors = keep(paths, str(annotations), complete[last]["metrics"])
    # A second call keeps the time of the first: MLflow treats points with another time as new points.
    files.create(paths.errors, json.dumps(journal.stamped(step=last, metrics=errors), indent=1))


def keep(paths: TrialPaths, annotations: str, recorded: dict[str, float]) -> dict[str, float]:
    """Writes `matches.npz` of the trial's kept detections; returns `bbox_errors/Cls` ... for each IoU type.

    Args:
        paths: of the trial.
        annotations: path of the validation set's annotation file, in the normal form.
        recorded: the metrics of the trial's last epoch, among them `bbox/AP`.

    Raises ValueError if the detections have another AP: they are of another epoch or of other annotations.
    """
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress
        truth = COCO(annotations)
    metrics: dict[str, float] = {}
    decided: dict[str, matches.Matches] = {}
    for iou_type, records in detections.load(paths.detections).items():
        evaluation = evaluate(truth, records, iou_type)
        found, expected = average_precision(evaluation), recorded[names.coco_metric(iou_type, "AP")]
        if not abs(found - expected) <= TOLERANCE:
            raise ValueError(
                f"the detections in {paths.detections} have {iou_type}/AP {found} on {annotations}, but the journal "
                f"has {expected}; restore the files of the last epoch, or train the trial again with rerun=true"
            )
        decided[iou_type] = matches.decided(evaluation)
        metrics |= {names.error_metric(iou_type, kind): cost for kind, cost in error_kinds.costs(evaluation).items()}
    matches.save(paths.matches, decided)
    return metrics


class Heard(COCOeval):
    """pycocotools' evaluation, which regularly prints its progress as a sign of life."""

    heard = 0.0

    def computeIoU(self, image: int, category: int) -> Any:  # noqa: N802 (pycocotools' name)
        self._tell(image, category)
        return super().computeIoU(image, category)

    def evaluateImg(self, image: int, category: int, *more: Any) -> Any:  # noqa: N802 (pycocotools' name)
        self._tell(image, category)
        return super().evaluateImg(image, category, *more)

    def _tell(self, image: int, category: int) -> None:
        if time.monotonic() - self.heard > SIGN_SECONDS:
            self.heard = time.monotonic()
            print(f"deciding on {self.params.iouType}: image {image}, class {category}", file=sys.stderr, flush=True)


def evaluate(truth: COCO, found: Records, iou_type: str) -> COCOeval:
    """Returns pycocotools' evaluation of detections, with its decisions on every image."""
    with contextlib.redirect_stdout(io.StringIO()):
        results = truth.loadRes(found) if found else _nothing(truth)  # loadRes refuses an empty list
        evaluation = Heard(truth, results, iou_type)
        evaluation.evaluate()
    return evaluation


def average_precision(evaluation: COCOeval) -> float:
    """Returns AP of an evaluation after its `evaluate()`, a fraction; -1 if there is no object."""
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation.accumulate()
        evaluation.summarize()
    return float(evaluation.stats[0])


def _nothing(truth: COCO) -> COCO:
    empty = COCO()
    dataset: dict[str, Any] = {**truth.dataset, "annotations": []}
    empty.dataset = dataset
    empty.createIndex()
    return empty


def main() -> None:
    paths = TrialPaths(Path(sys.argv[1]))
    attempts.end_with(paths.root, int(sys.argv[2]))
    try:
        make(paths)
    except Exception as error:
        lines = str(error).strip().splitlines() or [""]
        files.write(paths.unmatched, f"{type(error).__name__}: {lines[0]}")
        raise


if __name__ == "__main__":
    main()
