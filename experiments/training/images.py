"""The loading step of both pipelines: every image is compared with its annotation file, in training and evaluation."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import cv2

import groie  # noqa: F401 (it stands in for the operators that mmcv lacks)

# isort: split
from mmcv.transforms import LoadImageFromFile
from mmdet.registry import TRANSFORMS

from experiments.data import images
from experiments.errors import UserError


@TRANSFORMS.register_module()
class LoadImageAsStated(LoadImageFromFile):
    """MMDetection's own loading step, which refuses an image that is not what its annotation file says.

    Args:
        exif: formats whose EXIF tags the boxes are known to agree with (`experiments.data.images.flaw`).
    """

    def __init__(self, *args: Any, exif: Collection[str] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.exif = exif

    def transform(self, results: dict) -> dict:
        """Returns `results` with the image; UserError where it cannot be read or is another than stated."""
        path, stated = Path(results["img_path"]), (results["width"], results["height"])
        try:
            loaded = super().transform(results)
        except (AssertionError, cv2.error) as error:
            raise UserError(images.unreadable(path)) from error
        if reason := images.flaw(path, stated, loaded["img"], self.exif):
            raise UserError(reason)
        return loaded
