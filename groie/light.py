"""Modules for RoI features that cost less than a 5x5 convolution: separable, bottleneck, stacked, channel attention.

Each takes and returns (N, C, h, w), keeps h and w by zero padding, and works on each RoI alone.
"""

import math

from mmdet.registry import MODELS
from torch import Tensor, nn

from groie.processing import RoIConv, require_odd


@MODELS.register_module()
class RoISeparable(nn.Sequential):
    """A convolution of each channel alone, then a 1x1 convolution and ReLU (Xception, arXiv 1610.02357).

    Raises ValueError if kernel_size is not an odd positive integer.
    """

    each_roi_alone = True

    def __init__(self, channels: int, kernel_size: int = 5) -> None:
        require_odd(kernel_size)
        alone = nn.Conv2d(channels, channels, kernel_size, padding=kernel_size // 2, groups=channels, bias=False)
        super().__init__(alone, nn.Conv2d(channels, channels, 1), nn.ReLU())


@MODELS.register_module()
class RoIBottleneck(nn.Sequential):
    """A 1x1 convolution to C // reduction channels, a larger one, and a 1x1 back to C, each with ReLU (ResNet).

    Raises ValueError if kernel_size is not an odd positive integer, or reduction is not in 1..C.
    """

    each_roi_alone = True

    def __init__(self, channels: int, kernel_size: int = 5, reduction: int = 4) -> None:
        require_odd(kernel_size)
        if type(reduction) is not int or not 1 <= reduction <= channels:
            raise ValueError(f"reduction={reduction!r} does not fit {channels} channels; choose 1 to {channels}")
        inner = channels // reduction
        larger = nn.Conv2d(inner, inner, kernel_size, padding=kernel_size // 2)
        narrow, wide = nn.Conv2d(channels, inner, 1), nn.Conv2d(inner, channels, 1)
        super().__init__(narrow, nn.ReLU(), larger, nn.ReLU(), wide, nn.ReLU())


@MODELS.register_module()
class RoIStacked(nn.Sequential):
    """Several convolutions, each with ReLU: two of 3x3 see as many cells as one of 5x5 (VGG, arXiv 1409.1556).

    Raises ValueError if count is not a positive integer, or kernel_size is not an odd one.
    """

    each_roi_alone = True

    def __init__(self, channels: int, count: int = 2, kernel_size: int = 3) -> None:
        if type(count) is not int or count < 1:
            raise ValueError(f"count={count!r} is not a positive integer; choose 1, 2, 3, ...")
        super().__init__(*(RoIConv(channels, kernel_size) for _ in range(count)))


@MODELS.register_module()
class RoIChannelAttention(nn.Module):
    """Scales each channel by a weight computed from the means of its neighbours (ECA-Net, arXiv 1910.03151).

    The number of neighbours grows with the logarithm of C, by the paper's rule with gamma 2 and b 1.
    """

    each_roi_alone = True

    def __init__(self, channels: int) -> None:
        super().__init__()
        near = int(abs(math.log2(channels) + 1) / 2)
        size = near if near % 2 else near + 1
        self.mix = nn.Conv1d(1, 1, size, padding=size // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Returns (N, C, h, w) from (N, C, h, w)."""
        weights = self.mix(x.mean(dim=(2, 3)).unsqueeze(1)).sigmoid()
        return x * weights.squeeze(1)[:, :, None, None]
