"""All detections on a validation set in a small file, for later statistics: plain arrays, no pickles."""

import io
from pathlib import Path
from typing import Any

import numpy as np

from experiments import files

Records = list[dict[str, Any]]


def save(path: Path, found: dict[str, Records]) -> None:
    """Writes records in COCO's result format, by IoU type, as a compressed npz file, in one step."""
    arrays: dict[str, np.ndarray] = {}
    for iou_type, records in found.items():
        arrays[f"{iou_type}/image_id"] = np.array([one["image_id"] for one in records], np.int64)
        arrays[f"{iou_type}/category_id"] = np.array([one["category_id"] for one in records], np.int64)
        arrays[f"{iou_type}/score"] = np.array([one["score"] for one in records], np.float64)
        if iou_type == "bbox":
            arrays["bbox/bbox"] = np.array([one["bbox"] for one in records], np.float64).reshape(-1, 4)
        else:
            counts = [one["segmentation"]["counts"].encode() for one in records]
            arrays["segm/size"] = np.array([one["segmentation"]["size"] for one in records], np.int32).reshape(-1, 2)
            arrays["segm/length"] = np.array([len(one) for one in counts], np.int32)
            arrays["segm/counts"] = np.frombuffer(b"".join(counts), np.uint8)
    content = io.BytesIO()
    np.savez_compressed(content, allow_pickle=False, **arrays)
    files.write(path, content.getvalue())


def load(path: Path) -> dict[str, Records]:
    """Returns what was saved; refuses a file with pickled objects in it (ValueError)."""
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    found: dict[str, Records] = {}
    for iou_type in sorted({name.partition("/")[0] for name in arrays}):
        keys = ("image_id", "category_id", "score")
        columns = [arrays[f"{iou_type}/{key}"].tolist() for key in keys]
        records = [dict(zip(keys, values, strict=True)) for values in zip(*columns, strict=True)]
        for record, what in zip(records, _shapes(arrays, iou_type), strict=True):
            record |= what
        found[iou_type] = records
    return found


def _shapes(arrays: dict[str, np.ndarray], iou_type: str) -> list[dict[str, Any]]:
    if iou_type == "bbox":
        return [{"bbox": box} for box in arrays["bbox/bbox"].tolist()]
    ends = np.cumsum(arrays["segm/length"])
    text = arrays["segm/counts"].tobytes().decode()
    starts = ends - arrays["segm/length"]
    return [
        {"segmentation": {"size": size, "counts": text[start:end]}}
        for size, start, end in zip(arrays["segm/size"].tolist(), starts, ends, strict=True)
    ]
