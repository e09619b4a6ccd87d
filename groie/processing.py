"""The menu of modules that run on RoI features, before or after aggregation (paper, Tables III and IV).

Each takes and returns (N, C, h, w) and is built with `channels=C`; the extractor sets C, a config never does.
"""

from mmcv.cnn import ConvModule
from mmcv.cnn.bricks import GeneralizedAttention, NonLocal2d
from mmdet.registry import MODELS
from torch import nn


@MODELS.register_module()
class RoIConv(ConvModule):
    """Convolution with bias, then ReLU; padded so that h and w stay (authors' configs v5-v7, v10-v12).

    Raises ValueError where kernel_size is not an odd positive integer.
    """

    def __init__(self, channels: int, kernel_size: int = 3) -> None:
        if not isinstance(kernel_size, int) or kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(f"kernel_size={kernel_size!r} is not an odd positive integer; choose 1, 3, 5, 7, ...")
        super().__init__(channels, channels, kernel_size, padding=kernel_size // 2, inplace=False)


@MODELS.register_module()
class RoINonLocal(NonLocal2d):
    """Embedded-Gaussian non-local block within a RoI, with C // reduction inner channels (authors' configs v8, v13).

    Starts as the identity: its last convolution is zero.
    """

    def __init__(self, channels: int, reduction: int = 2) -> None:
        super().__init__(channels, reduction=reduction, use_scale=True)


@MODELS.register_module()
class RoIAttention(GeneralizedAttention):
    """Attention within a RoI from query content and relative position (authors' configs v9, v14; attention type 0100).

    Keys and values are every kv_stride-th cell. Starts as the identity: its gain gamma is zero.
    Raises ValueError where num_heads is not in 1..C; C // num_heads channels go to each head.
    """

    def __init__(self, channels: int, num_heads: int = 6, kv_stride: int = 2) -> None:
        if not 1 <= num_heads <= channels:
            raise ValueError(f"num_heads={num_heads} does not fit {channels} channels; choose 1 to {channels}")
        super().__init__(channels, num_heads=num_heads, kv_stride=kv_stride, attention_type="0100")


def build_processing(config: dict | None, channels: int) -> nn.Module:
    """Builds a module of the menu at the extractor's width; None builds the identity, which has no parameters.

    `config["type"]` is a registered name or a full path (`my_package.MyModule`); its other keys are arguments.
    """
    if config is None:
        return nn.Identity()
    return MODELS.build({**config, "channels": channels})
