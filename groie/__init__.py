"""RoI extractors that pool every FPN level, as modules of MMDetection.

Importing this package registers them, so a plain MMDetection config needs only
`custom_imports = dict(imports=["groie"])` and `bbox_roi_extractor=dict(type="SumLevels", ...)`.
"""

from groie import operators  # isort: skip (before whatever imports mmcv.ops)
from groie.aggregation import ConcatLevels, RandomLevel, SingleLevel, SumLevels
from groie.attention import RoIAttention
from groie.extractor import AllLevels, OneLevel
from groie.processing import RoIConv, RoINonLocal

__all__ = [
    "AllLevels",
    "ConcatLevels",
    "OneLevel",
    "RandomLevel",
    "RoIAttention",
    "RoIConv",
    "RoINonLocal",
    "SingleLevel",
    "SumLevels",
]
