"""Numbers as tables, figures and sentences show them."""

import numpy as np
import pandas as pd

from analysis.read.metrics import POINTS
from analysis.statistics.means import Interval


def points(fraction: float, sign: str = "") -> str:
    """Returns AP x 100 with one decimal, "-" for NaN."""
    return "-" if pd.isna(fraction) else f"{POINTS * fraction:{sign}.1f}"


def interval(found: Interval, sign: str = "") -> str:
    """Returns "[36.1, 37.4]", "" if there is no interval."""
    return "" if np.isnan(found.low) else f"[{points(found.low, sign)}, {points(found.high, sign)}]"


def difference(found: Interval) -> str:
    """Returns "+1.2 [+0.4, +2.0]"."""
    return f"{points(found.estimate, '+')} {interval(found, '+')}".strip()


def p_value(p: float) -> str:
    """Returns ".041", "< .001" for less; "" for NaN."""
    if np.isnan(p):
        return ""
    return "< .001" if p < 0.001 else f"{p:.3f}".removeprefix("0")


def equals(p: float) -> str:
    """Returns "= .041", "< .001"."""
    text = p_value(p)
    return text if text.startswith("<") else f"= {text}"


def chance(share: float) -> str:
    """Returns "87 %", but at most "> 99 %" and at least "< 1 %", because few seeds cannot show more; "" for NaN."""
    if np.isnan(share):
        return ""
    return "> 99 %" if share > 0.99 else "< 1 %" if share < 0.01 else f"{100 * share:.0f} %"
