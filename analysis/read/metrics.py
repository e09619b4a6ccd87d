"""The metrics of tables and figures: their names, units and which direction is better."""

from dataclasses import dataclass
from typing import Literal

from experiments import names

POINTS = 100.0  # AP is stored as a fraction and shown times this
KINDS = {"bbox": "box", "segm": "mask"}  # the paper's words for the IoU types


@dataclass(frozen=True)
class Metric:
    """An MLflow metric and its label; `scale` times the recorded value is the number in `unit`."""

    name: str
    label: str
    unit: str
    scale: float
    better: Literal["higher", "lower"]

    @property
    def axis(self) -> str:
        """Returns the text for an axis: `box AP (x100)`."""
        return f"{self.label} ({self.unit})" if self.unit else self.label


METRICS = {
    metric.name: metric
    for metric in (
        *(
            Metric(names.coco_metric(iou_type, short), f"{KINDS[iou_type]} {short}", "x100", POINTS, "higher")
            for iou_type in names.IOU_TYPES
            for short in names.COCO_METRICS
        ),
        Metric(names.EPOCH_LOSS, "training loss", "", 1.0, "lower"),
        Metric(names.EPOCH_SECONDS, "training time per epoch", "s", 1.0, "lower"),
    )
}

COSTS = (
    Metric(names.PARAMETERS, "parameters", "M", 1e-6, "lower"),
    Metric(names.EXTRACTOR_PARAMETERS, "of the extractors", "M", 1e-6, "lower"),
    Metric(names.GMACS, "multiply-adds an image", "G", 1.0, "lower"),
    Metric(names.EXTRACTOR_GMACS, "of the extractors", "G", 1.0, "lower"),
    Metric(names.SECONDS_PER_IMAGE, "latency an image", "ms", 1e3, "lower"),
    Metric(names.SECONDS_PER_ITERATION, "training step", "ms", 1e3, "lower"),
    Metric(names.TRAINING_MEMORY, "training memory", "GiB", 1.0, "lower"),
    Metric(names.DEVICE_SECONDS, "device time a trial", "h", 1 / 3600, "lower"),
)


def coco_block(iou_type: str) -> tuple[str, ...]:
    """Returns the MLflow names of the six COCO metrics of one IoU type, in the paper's order."""
    return tuple(names.coco_metric(iou_type, short) for short in names.COCO_METRICS)


COCO_NAMES = tuple(name for iou_type in names.IOU_TYPES for name in coco_block(iou_type))
