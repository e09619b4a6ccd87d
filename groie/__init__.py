"""RoI extractors that pool every FPN level, as modules of MMDetection.

Importing this package registers them, so a plain MMDetection config needs only
`custom_imports = dict(imports=["groie"])` and `bbox_roi_extractor=dict(type="SumLevels", ...)`, whose `roi_layer` is
MMDetection's or `dict(type="RoIAlignV1", output_size=7, sampling_ratio=2)`.
"""

import groie.operators  # isort: skip # noqa: F401 (before whatever imports mmcv.ops)
from groie.aggregation import ConcatLevels, RandomLevel, SingleLevel, SumLevels
from groie.attention import RoIAttention
from groie.extractor import AllLevels, OneLevel
from groie.fusion import GatedLevels, MaxLevels, MeanLevels, SoftLevels
from groie.light import RoIBottleneck, RoIChannelAttention, RoISeparable, RoIStacked
from groie.processing import RoIConv, RoINonLocal
from groie.roi_align import RoIAlignV1

__all__ = [
    "AllLevels",
    "ConcatLevels",
    "GatedLevels",
    "MaxLevels",
    "MeanLevels",
    "OneLevel",
    "RandomLevel",
    "RoIAlignV1",
    "RoIAttention",
    "RoIBottleneck",
    "RoIChannelAttention",
    "RoIConv",
    "RoINonLocal",
    "RoISeparable",
    "RoIStacked",
    "SingleLevel",
    "SoftLevels",
    "SumLevels",
]
