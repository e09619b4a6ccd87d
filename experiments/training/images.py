"""The loading step of training and evaluation, which compares every image with its annotation file."""

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
    """MMDetection's loading step, but it refuses an image that differs from its annotation file.

    Args:
        exif: formats whose EXIF tags are known to match the boxes (`experiments.data.images.flaw`).
    """

    def __init__(self, *args: Any, exif: Collection[str] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.exif = exif

    def transform(self, results: dict) -> dict:
        """Returns `results` with the image; UserError if it cannot be read or differs from its annotation file."""
        path, stated = Path(results["img_path"]), (results["width"], results["height"])
        try:
            loaded = super().transform(results)
        except (AssertionError, cv2.error) as error:
            raise UserError(images.unreadable(path)) from error
        if reason := images.flaw(path, stated, loaded["img"], self.exif):
            raise UserError(reason)
        return loaded
