"""Every name that MLflow sees, spelled only here: written by `mlflow_store`, read by `analysis.read`."""

import hashlib
import os
import re

EXPERIMENT = "groie"  # the MLflow experiment of all runs, unless tracking.experiment gives another
DEFAULT_TRACKING_URI = "sqlite:///outputs/mlflow.db"  # relative to the folder of the command

# Run status as MLflow spells it.
RUNNING, FINISHED, FAILED, KILLED = "RUNNING", "FINISHED", "FAILED", "KILLED"

# Params: one for each factor (`factors.FACTORS`), the name of the chosen Hydra option; the seed is a replica.
SEED = "seed"

KERNEL_SIZES = ("pre.kernel_size", "post.kernel_size")  # if the module has one

# Tags.
TRIAL_ID = "trial_id"  # one variant with one seed
VARIANT_ID = "variant_id"  # the same without the seed
VARIANT = "variant"  # the variant's label: "sum pre=conv5 post=attention"
OVERRIDES = "overrides"  # the words after `python run.py` that give this trial again, with a shell's quotes
RECORD = "record"  # id of a trial's folder, which finds its run
SETTLED = "settled"  # attempt, its state, and sizes of the files that the run has; empty while an attempt runs
WRITTEN = "written."  # WRITTEN + the tag of a text that a person may change -> SHA-256 of what we wrote there last
COMMIT = "commit"  # of the source, 12 digits; -dirty if files differed from it; of several, with the epochs of each
CODE = "code"  # files that the training had loaded -> what each means (trial.sources), JSON; of several sources, "a,b"
OPERATORS = "operators"  # whose NMS and RoIAlign trained it: "groie", "torchvision 0.28.0", "mmcv 2.3.6, compiled"
NOT_RECORDED = "not_recorded"  # why the newest attempt's commit, or more of its provenance, is unknown; else absent
HOST = "host"  # where that attempt ran
GPU = "gpu"
VERSION = "version."  # VERSION + a package -> its version
REASON = "reason"  # why a run is FAILED or KILLED, one line
UNMATCHED = "unmatched"  # why a FINISHED run has no matches.npz, one line
# A run may belong to several sweeps. KEY is `sweep_key(name)`: MLflow's tag keys allow few characters.
SWEEP = "sweep."  # SWEEP + KEY -> name of the sweep
PLANNED = (
    "planned."  # PLANNED + KEY -> when this sweep was last asked for, ISO 8601 with time zone; absent: part of another
)
PLACE = "place."  # PLACE + KEY -> the place of the run's variant among those that were asked for, from 0
ASKED = "asked."  # ASKED + KEY -> when this trial was first asked for in this sweep, ISO 8601 with time zone
ROWS = "rows."  # ROWS + KEY -> the rows of this declared sweep that the run serves, a JSON list of names
RULES = "rules."  # RULES + KEY -> the rules by which seed=auto chose seeds, JSON (experiments.seeds); else absent

# Metrics: IOU_TYPE/METRIC at step = epoch, counted from 1; fractions in full precision, -1 where COCO has no objects.
IOU_TYPES = ("bbox", "segm")
COCO_METRICS = ("AP", "AP50", "AP75", "APs", "APm", "APl")
# IOU_TYPE_errors/KIND at step = epoch: by how much AP50 would rise without these errors (training.error_kinds).
ERROR_KINDS = ("Cls", "Loc", "Both", "Dupe", "Bkg", "Miss")
ERROR_SIDES = ("FalsePos", "FalseNeg")  # all false detections; all objects not found
EPOCH_LOSS = "epoch/loss"  # mean total loss of an epoch's training, step = epoch
EPOCH_SECONDS = "epoch/train_seconds"  # wall seconds of an epoch's training, step = epoch
VALIDATION_SECONDS = "epoch/val_seconds"  # wall seconds of an epoch's evaluation, step = epoch
# Samples of single training steps, step = iteration, counted from 1 over the whole training.
TRAIN = "train/"  # TRAIN + the name of a loss of MMDetection: loss, loss_cls, loss_rpn_bbox, ...
LEARNING_RATE = "train/lr"
IMAGES_PER_SECOND = "train/images_per_second"  # of all ranks
MEMORY = "system/memory_gib"  # resident, of the first rank's process
GPU_MEMORY = "system/gpu_memory_gib"  # highest since the step before, of the first rank's GPU
# What the variant costs, counted before training (experiments.training.cost: COST + a field of Cost), step 0; and what
# was measured in it, step = epoch, each the first rank's.
COST = "cost/"
PARAMETERS = "cost/parameters"
EXTRACTOR_PARAMETERS = "cost/extractor_parameters"
GMACS = "cost/gmacs"  # 10^9 multiply-adds for one image in test
EXTRACTOR_GMACS = "cost/extractor_gmacs"
SECONDS_PER_IMAGE = "cost/seconds_per_image"  # of the detector in evaluation, one image a batch
SECONDS_PER_ITERATION = "cost/seconds_per_iteration"  # forward, backward and optimizer
TRAINING_MEMORY = "cost/gpu_memory_gib"  # highest of an epoch's training; only on a GPU
# What the trial took. Step = attempt, counted from 1; each figure is of all attempts until then.
ATTEMPTS = "cost/attempts"  # more than one if it was interrupted or failed
WALL_SECONDS = "cost/wall_seconds"
DEVICE_SECONDS = "cost/device_seconds"  # the same times ranks


def stated(uri: str | None) -> str | None:
    """Returns the URI of a store, or None if it is empty."""
    return uri if uri is not None and str(uri).strip() else None


def tracking_uri(given: str | None, otherwise: str) -> str:
    """Returns the URI of the MLflow store: the given one, else MLFLOW_TRACKING_URI, else `otherwise`."""
    return stated(given) or stated(os.environ.get("MLFLOW_TRACKING_URI")) or otherwise


def coco_metric(iou_type: str, metric: str) -> str:
    """Returns the MLflow name of a COCO metric: `coco_metric("bbox", "AP50") == "bbox/AP50"`."""
    return f"{iou_type}/{metric}"


def error_metric(iou_type: str, kind: str) -> str:
    """Returns the MLflow name of what a kind of error costs: `error_metric("bbox", "Cls") == "bbox_errors/Cls"`."""
    return f"{iou_type}_errors/{kind}"


def sweep_key(name: str) -> str:
    """Returns a short name for tags and files: readable, valid in MLflow, and different for each sweep."""
    readable = re.sub(r"[^\w.\- ]", "_", name)[:80]
    return readable if readable == name else f"{readable}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
