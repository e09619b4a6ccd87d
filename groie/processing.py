"""The modules that run on RoI features, before or after aggregation (paper, Tables III and IV).

Each takes and returns (N, C, h, w) and is built with `channels=C`; the extractor sets C, a config never does. A module
with `each_roi_alone = True` promises that a RoI's result depends on no other RoI, as it does where there are no
statistics of a batch; then the RoIs of all levels may go through it in one call.
"""

import copy

import torch
from mmcv.cnn import ConvModule
from mmcv.cnn.bricks import NonLocal2d
from mmdet.registry import MODELS
from torch import Tensor, nn
from torch.nn import functional


@MODELS.register_module()
class RoIConv(ConvModule):
    """Convolution with bias, then ReLU; padded so that h and w stay (authors' configs v5-v7, v10-v12).

    Raises ValueError where kernel_size is not an odd positive integer.
    """

    each_roi_alone = True

    def __init__(self, channels: int, kernel_size: int = 3) -> None:
        require_odd(kernel_size)
        super().__init__(channels, channels, kernel_size, padding=kernel_size // 2, inplace=False)


@MODELS.register_module()
class RoINonLocal(NonLocal2d):
    """Embedded-Gaussian non-local block within a RoI, with C // reduction inner channels (authors' configs v8, v13).

    Starts as the identity: its last convolution is zero. Raises ValueError where reduction is not in 1..C.
    """

    each_roi_alone = True

    def __init__(self, channels: int, reduction: int = 2) -> None:
        if not isinstance(reduction, int) or not 1 <= reduction <= channels:
            raise ValueError(f"reduction={reduction!r} does not fit {channels} channels; choose 1 to {channels}")
        super().__init__(channels, reduction=reduction, use_scale=True)

    def forward(self, x: Tensor) -> Tensor:
        """Returns (N, C, h, w) from (N, C, h, w)."""
        query, key, value = (self._tokens(project(x)) for project in (self.theta, self.phi, self.g))
        mixed = functional.scaled_dot_product_attention(query, key, value)
        return x + self.conv_out(mixed.squeeze(1).unflatten(1, x.shape[2:]).permute(0, 3, 1, 2))

    @staticmethod
    def _tokens(x: Tensor) -> Tensor:
        """Returns (N, 1, cells, C) from (N, C, h, w)."""
        return x.flatten(2).transpose(1, 2).unsqueeze(1)


def require_odd(kernel_size: object) -> None:
    """Raises ValueError if a kernel size is not an odd positive integer: others do not keep h and w."""
    if type(kernel_size) is not int or kernel_size < 1 or kernel_size % 2 == 0:
        raise ValueError(f"kernel_size={kernel_size!r} is not an odd positive integer; choose 1, 3, 5, 7, ...")


def may_share_a_call(module: nn.Module) -> bool:
    """Returns whether RoIs of several levels may go through the module in one call; a subclass must say so itself."""
    return isinstance(module, nn.Identity) or vars(type(module)).get("each_roi_alone", False)


def build_processing(config: dict | None, channels: int) -> nn.Module:
    """Builds a module of the menu at the extractor's width; None builds the identity, which has no parameters.

    `config["type"]` is a registered name or a full path (`my_package.MyModule`); its other keys are arguments.
    Raises ValueError where the module, tried on one RoI without computing, does not keep the width.
    """
    if config is None:
        return nn.Identity()
    module = MODELS.build({**config, "channels": channels})
    trial = copy.deepcopy(module).to("meta")
    given = torch.empty(1, channels, 7, 7, device="meta")
    returned = tuple(trial(given).shape)
    if returned != tuple(given.shape):
        raise ValueError(
            f"{type(module).__name__} returns {returned} for {tuple(given.shape)}; it must keep channels and cells"
        )
    return module
