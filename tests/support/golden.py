"""Makes golden.npz with mmcv's compiled operators: what NMS keeps, and RoIAlign's features and gradients.

    python -m tests.groie.golden

It needs an mmcv with compiled operators; the tests that read the file do not.
"""

from pathlib import Path

import numpy as np
import torch
from mmcv.ops import RoIAlign, nms
from torch import Tensor

from groie import operators
from tests.support.inputs import OBLONG, STRIDES, on_borders, random_regions

FILE = Path(__file__).with_suffix(".npz")
THRESHOLDS = (0.3, 0.5, 0.7)
OFFSETS = (0, 1)
RATIOS = (0, 1, 2, 3)
LEVEL = (3, 4, 24, 40)  # images, channels, height and width of a level of stride 4


def boxes(count: int, tied: bool) -> tuple[Tensor, Tensor]:
    """Returns random boxes (count, 4), float32 on whole pixels, and scores."""
    corner = torch.randint(0, 120, (count, 2)).float()
    size = torch.randint(1, 60, (count, 2)).float()
    scores = torch.rand(count)
    return torch.cat([corner, corner + size], dim=1), (scores * 20).round() / 20 if tied else scores


def main() -> None:
    """Writes the file."""
    assert operators.backend().endswith("compiled"), f"{operators.backend()} is no compiled mmcv"
    torch.manual_seed(0)
    arrays: dict[str, Tensor] = {}
    for tied in (False, True):
        found, scores = boxes(700, tied)
        arrays |= {f"nms/{tied}/boxes": found, f"nms/{tied}/scores": scores}
        for threshold in THRESHOLDS:
            for offset in OFFSETS:
                arrays[f"nms/{tied}/{threshold}/{offset}"] = nms(found, scores, threshold, offset)[1]
    rois = torch.cat([torch.tensor(on_borders()), random_regions(30)]).float()
    level, weight = torch.randn(LEVEL), torch.randn(len(rois), LEVEL[1], *OBLONG)
    arrays |= {"align/level": level, "align/rois": rois, "align/weight": weight}
    for ratio in RATIOS:
        for aligned in (False, True):
            given = level.clone().requires_grad_()
            features = RoIAlign(OBLONG, 1 / STRIDES[0], ratio, "avg", aligned)(given, rois)
            (gradient,) = torch.autograd.grad(features, given, weight)
            arrays |= {f"align/{ratio}/{aligned}/features": features, f"align/{ratio}/{aligned}/gradient": gradient}
    np.savez_compressed(FILE, **{name: array.detach().numpy() for name, array in arrays.items()})


if __name__ == "__main__":
    main()
