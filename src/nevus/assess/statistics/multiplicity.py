"""p-values of several tests at once, so that one small value among many is not taken for a finding."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values [1]: rejecting those up to .05 keeps the chance of any false rejection at or below .05.

    Holds whatever the dependence of the tests, and rejects all that Bonferroni's correction does.

    Args:
        p_values: in [0, 1], of tests of one family; NaN for a test that could not be made, which is not counted.

    Returns:
        In the same order; NaN stays NaN.

    References:
        [1] Holm, A simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics 6 (1979).

    Examples:
        >>> [round(value, 3) for value in holm([0.01, 0.04, 0.03])]
        [0.03, 0.06, 0.06]
    """
    adjusted = np.full(len(p_values), math.nan)
    made = np.flatnonzero(~np.isnan(np.asarray(p_values, dtype=np.float64)))
    order = made[np.argsort(np.asarray(p_values, dtype=np.float64)[made], kind="stable")]
    steps = [(order.size - rank) * p_values[index] for rank, index in enumerate(order)]
    # A test is rejected only if all with smaller p-values are.
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0) if steps else []
    return [float(value) for value in adjusted]
