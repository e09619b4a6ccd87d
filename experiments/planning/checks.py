"""What is refused of a composed configuration: keys that nobody reads, other kinds of values, values out of range."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments import names, seeds
from experiments.data import datasets
from experiments.declared import key_of
from experiments.errors import UserError, unknown
from experiments.sentences import shown

# Below these, keys are handed on to a constructor or to MMDetection, which refuse what they do not know.
OPEN = (
    *("aggregation.", "pre.", "post.", "schedule.optimizer.", "profile.model.", "profile.by_architecture.", "hydra."),
)

# Least and largest value of each whole number: beyond, it is a slip of the hand, or no machine can do it.
WHOLE_NUMBERS = {
    "seed": (0, 2**32 - 1),  # NumPy's limit
    "schedule.epochs": (1, 100_000),
    "schedule.batch_size": (1, 1_000_000),
    "schedule.lr_batch_size": (1, 1_000_000),
    "schedule.warmup_iters": (0, 100_000_000),
    "profile.channels": (1, 65_536),
    "recipe.sampling_ratio": (0, 64),
    "recipe.single_sampling_ratio": (0, 64),
    "recipe.gcnet_bbox_heads": (1, 65_536),
    "recipe.proposals": (1, 1_000_000),
    "aggregation.sampling_ratio": (0, 64),
    "resources.nodes": (1, 10_000),
    "resources.cpu_processes": (1, 1024),
    "resources.loader_workers": (0, 256),
    "resources.patience": (1, 10_000_000),  # seconds; months
    "retry.attempts": (1, 1000),
    "seeds.first": (2, seeds.MOST),
    "seeds.most": (2, seeds.MOST),
}
# Each other number is above 0; this is the largest.
NUMBERS = {
    "schedule.optimizer.lr": 1e6,
    "recipe.grad_clip": 1e9,
    "recipe.warmup_ratio": 1,
    "architecture.grad_clip": 1e9,
    "aggregation.finest_scale": 1e5,
    "profile.finest_scale": 1e5,
    "profile.proposals": 1000,
    "resources.gmacs_per_second": 1e9,
    "resources.free_gib": 1e6,
    "seeds.budget": 1e9,
    "seeds.alpha": 1,
}
MAY_BE_ZERO = ("resources.free_gib",)
# What may be null: MMDetection's own, or nothing.
NULLABLE = (
    *("sweep", "trial_dir", "launch_dir", "dataset.root", "architecture.grad_clip"),
    *(f"recipe.{key}" for key in ("gcnet_bbox_heads", "boxes", "box_loss", "proposals", "match_low_quality")),
    *("recipe.grad_clip", "recipe.warmup_ratio", "resources.gmacs_per_second", "seeds.budget"),
)
LEAST_SIDE = 32  # pixels of an image after resizing: below, the coarsest level pooled from has no cell
MOST_SIDE = 20_000
MOST_CELLS = 1024  # a side of a pooled RoI
MOST_GPUS = 1024
CHOICES = {
    "recipe.roi_align": ("v1", "legacy", "aligned"),
    "recipe.boxes": ("legacy", None),
    "recipe.box_loss": ("smooth_l1", None),
}
RERUN = (False, True, "stale")


def additions(overrides: Sequence[str], config: dict[str, Any]) -> None:
    """Raises UserError for a `+key=value` that no part of the program would read, and for a `~key` that one needs.

    `++key=value` may set what is in `config`, the same choice of options, too.
    """
    for override in overrides:
        key = key_of(override)
        if override.startswith("~"):
            needed = "every trial needs it" if _has(config, key) else "there is no such key"
            raise UserError(f"{override} takes away {key}: {needed}; leave it out")
        if override.startswith("+") and not key.startswith(OPEN):
            if override.startswith("++") and _has(config, key):
                continue
            places = ", ".join(place.rstrip(".") for place in OPEN)
            raise UserError(f"{override} adds a key that nothing reads; keys may be added below {places}")


def _has(config: dict[str, Any], key: str) -> bool:
    node: Any = config
    for part in key.split("."):
        if not isinstance(node, dict) or part not in node:
            return False
        node = node[part]
    return True


def form(config: dict[str, Any], reference: dict[str, Any], where: str = "") -> None:
    """Raises UserError where a configuration lacks a key of the reference or has another kind of value there.

    The reference is the same choice of options with nothing else set.
    """
    for key, expected in reference.items():
        path = f"{where}{key}"
        if key not in config:
            raise UserError(f"{path} was taken away; every trial needs it")
        value = config[key]
        if path == "rerun":  # of two kinds; judged below
            continue
        if isinstance(expected, dict) and isinstance(value, dict):
            form(value, expected, f"{path}.")
        elif value == [] and expected and path.startswith("profile."):
            raise UserError(f"{path}=[] is empty; give one or more, as in {path}={_shown(expected)}")
        elif value is None or expected is None:
            if value != expected and expected is not None and not _may_be_null(path):
                raise UserError(f"{path}=null is refused; give {_kind(expected)}, as in {path}={_shown(expected)}")
        elif path not in (*WHOLE_NUMBERS, *NUMBERS, "resources.gpus") and _kind(value) != _kind(expected):
            raise UserError(f"{path}={value} is refused; give {_kind(expected)}, as in {path}={_shown(expected)}")


def _may_be_null(path: str) -> bool:
    return path in NULLABLE or path.startswith(OPEN) or path.endswith(".attention_heads")


def _kind(value: object) -> str:
    kinds = {bool: "true or false", int: "a number", float: "a number", str: "a word", list: "a list", dict: "settings"}
    return kinds.get(type(value), "nothing")


def _shown(value: object) -> str:
    text = json.dumps(value).replace('"', "").replace(" ", "")
    return text if len(text) <= 60 else f"{text[:57]}..."


def wants_number(path: str, expected: object) -> bool:
    """Returns whether a number is wanted at a key, where `expected` is what stands there with nothing set."""
    if path in (*WHOLE_NUMBERS, *NUMBERS, "resources.gpus") or (expected is None and path.startswith(OPEN)):
        return True
    return isinstance(expected, int | float) and not isinstance(expected, bool)


def values(config: dict[str, Any]) -> None:
    """Raises UserError for a value out of range, and for an argument where there is no module to take it."""
    for key, (least, most) in WHOLE_NUMBERS.items():
        if _has(config, key) and (_at(config, key) is not None or key not in NULLABLE):
            _require_whole(key, _at(config, key), least, most, ", or auto" if key == "seed" else "")
    for key, largest in NUMBERS.items():
        if _has(config, key) and (_at(config, key) is not None or key not in NULLABLE):
            _require_number(key, _at(config, key), largest)
    _require_lists(config)
    _require_extractors(config["architecture"]["extractors"])
    for group in names.FACTORS:
        name = config[group]["name"]
        if not isinstance(name, str) or not re.fullmatch(r"\w[\w.+-]{0,39}", name):
            raise UserError(f"{group}.name={name} is refused; give up to 40 letters, digits and . _ + -")
    _require_data(config["dataset"])
    if config["calibrate"] and not config["dry_run"]:
        raise UserError(
            "calibrate=true goes with dry_run=true: it measures what a plan will cost; add that or leave it out"
        )
    for key, valid in CHOICES.items():
        if _at(config, key) not in valid:
            raise unknown(key, _at(config, key), ["null" if choice is None else choice for choice in valid])
    if config["rerun"] not in RERUN or not isinstance(config["rerun"], bool | str):
        raise unknown("rerun", _shown(config["rerun"]), map(_shown, RERUN))
    for place in ("pre", "post"):
        for key in config[place].keys() - {"name", "type"}:
            if config[place]["type"] is None:
                raise UserError(f"{place}.{key} is set, but {place}=none is no module; choose one with {place}=...")
    if re.search("://[^/@:]*:[^/@]+@", config["tracking"]["uri"]):
        raise UserError(
            "tracking.uri holds a password, which every trial would record; leave it out and give a server's in "
            "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, PostgreSQL's in PGPASSWORD or ~/.pgpass"
        )
    _require_weights(config["profile"]["model"].get("backbone") or {})
    gpus = config["resources"]["gpus"]
    if gpus != "auto":
        _require_whole("resources.gpus", gpus, 0, MOST_GPUS, ", or auto")
    for kind in config["resources"]["keep_checkpoints"]:
        if kind not in ("last", "best"):
            raise unknown("resources.keep_checkpoints:", kind, ("last", "best"))


def _require_weights(backbone: dict[str, Any]) -> None:
    wanted = backbone.get("init_cfg")
    if isinstance(wanted, dict) and wanted.get("type") == "Pretrained":
        file = wanted.get("checkpoint")
        if not isinstance(file, str) or not (re.match(r"\w+://", file) or Path(file).is_file()):
            raise UserError(
                f"profile.model.backbone.init_cfg.checkpoint={_shown(file)} is no file; give one with the backbone's "
                f"weights under the keys of MMDetection's {backbone.get('type', 'backbone')}"
            )


def _require_data(dataset: dict[str, Any]) -> None:
    """Raises UserError for a kind of data that there is not, or for which the option lacks keys."""
    kind = dataset["kind"]
    if kind not in datasets.KINDS:
        raise unknown("dataset.kind", kind, datasets.KINDS)
    lacks = [key for key in datasets.KINDS[kind] if key not in dataset]
    if lacks:
        raise UserError(
            f"dataset.kind={kind} needs {', '.join(f'dataset.{key}' for key in lacks)}; choose dataset={kind}"
        )
    if kind == "shapes":
        datasets.shapes_of(dataset)


def _require_whole(key: str, value: object, least: int, most: int, other: str = "") -> None:
    if type(value) is not int or not least <= value <= most:
        given = f"{key}={shown(_shown(value))}"
        raise UserError(f"{given} is refused; give a whole number, {least} or more and at most {most}{other}")


def _require_number(key: str, value: Any, most: float) -> None:
    zero = key in MAY_BE_ZERO
    if type(value) not in (int, float) or not 0 <= value <= most or (value == 0 and not zero):
        limit = f"{'0 or more' if zero else 'above 0'} and at most {most:.0f}"
        raise UserError(f"{key}={_shown(value)} is refused; give a number {limit}")


def _require_lists(config: dict[str, Any]) -> None:
    scale = config["profile"]["image_scale"]
    if len(scale) != 2 or not all(type(side) is int and LEAST_SIDE <= side <= MOST_SIDE for side in scale):
        raise UserError(
            f"profile.image_scale={_shown(scale)} is refused; "
            f"give width and height, whole numbers of {LEAST_SIDE} or more and at most {MOST_SIDE}"
        )
    milestones = config["schedule"]["milestones"]
    last = WHOLE_NUMBERS["schedule.epochs"][1]
    if not all(type(epoch) is int and 1 <= epoch <= last for epoch in milestones):
        raise UserError(
            f"schedule.milestones={_shown(milestones)} is refused; "
            f"give epochs, whole numbers of 1 or more and at most {last}"
        )
    wanted = config["architecture"]["iou_types"]
    if "bbox" not in wanted or any(kind not in names.IOU_TYPES for kind in wanted):
        raise UserError(f"architecture.iou_types={_shown(wanted)} is refused; give [bbox] or [bbox,segm]")


def _require_extractors(extractors: dict[str, dict[str, Any]]) -> None:
    for place, settings in extractors.items():
        for key, value in settings.items():
            if key == "output_size" or value is not None:
                _require_whole(f"architecture.extractors.{place}.{key}", value, 1, MOST_CELLS)


def _at(config: dict[str, Any], key: str) -> Any:
    node: Any = config
    for part in key.split("."):
        node = node[part]
    return node
