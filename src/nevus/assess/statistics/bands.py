"""How sure a curve is: pointwise 95 % bands of the ROC and the precision-recall curve.

Owns the curves under resampling of groups; the resampling itself is that of
`bootstrap`. It must not draw. A pointwise band holds each point of the true curve
with 95 %, and the whole curve at once with less.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nevus.assess.statistics.bootstrap import bootstrap
from nevus.assess.statistics.metrics import Bools, Floats
from nevus.assess.statistics.uncertainty import Groups
from nevus.assess.statistics.undefined import collected_notes

# Steps of half a per cent: finer than a metric shows.
GRID: Floats = np.arange(0, 201) / 200


@dataclass(frozen=True, slots=True)
class Band:
    """A band over `GRID`; NaN where the resamples agree, or too many of them lack a class.

    Attributes:
        low: float64 [G] in [0, 1].
        high: float64 [G] in [0, 1].
        resamples: how many it was made from.
    """

    low: Floats
    high: Floats
    resamples: int


def curve_bands(
    labels: Bools, risk: Floats, groups: Groups, *, resamples: int = 1000, seed: int = 0
) -> tuple[Band, Band]:
    """Bands of both curves from one set of resamples.

    Args:
        labels: bool [N], True for malignant.
        risk: float64 [N] in [0, 1].
        groups: int64 [N], the unit that is drawn.
        resamples: how many.
        seed: equal seeds give equal bands.

    Returns:
        The band of sensitivity over the false positive rate, interpolated linearly, and that of the positive
        predictive value over sensitivity, in steps as average precision takes it. `GRID` is the abscissa of both.

    Examples:
        >>> labels = np.array([True, True, True, False, False, False])
        >>> risk = np.array([0.9, 0.7, 0.3, 0.6, 0.2, 0.1])
        >>> band, _ = curve_bands(labels, risk, np.arange(6), resamples=50)
        >>> band.low.shape == band.high.shape
        True
    """
    order = np.argsort(-risk, kind="stable")
    sorted_labels = labels[order]
    # Images of equal risk pass the threshold together, so the curve has a corner only after the last of them.
    last = np.append(np.flatnonzero(np.diff(risk[order])), risk.size - 1)

    def curves(weights: Floats) -> Floats:
        sorted_weights = weights[:, order]
        found = np.cumsum(sorted_weights * sorted_labels, axis=1)[:, last]
        called = np.cumsum(sorted_weights, axis=1)[:, last]
        rows = [_both(found[row], called[row]) for row in range(weights.shape[0])]
        return np.stack(rows, axis=1)

    names = [f"{curve} {index}" for curve in ("ROC", "precision") for index in range(GRID.size)]
    with collected_notes():  # Where all resamples agree the band has no width, which is what a missing band shows.
        ends = bootstrap(curves, names, groups, resamples=resamples, seed=seed)
    both = np.array([ends[name] for name in names])
    roc, precision = both[: GRID.size], both[GRID.size :]
    return Band(roc[:, 0], roc[:, 1], resamples), Band(precision[:, 0], precision[:, 1], resamples)


def _both(found: Floats, called: Floats) -> Floats:
    """Sensitivity, then precision over `GRID`: float64 [2 G], NaN if a class is absent."""
    malignant, benign = found[-1], called[-1] - found[-1]
    if malignant == 0 or benign == 0:
        return np.full(2 * GRID.size, np.nan)
    sensitivity = found / malignant
    rates = np.append(0.0, (called - found) / benign)
    # At equal rates the highest sensitivity counts: np.interp takes the last, and the curve rises.
    roc = np.interp(GRID, rates, np.append(0.0, sensitivity))
    precision = np.divide(found, called, out=np.ones_like(found), where=called > 0)
    # Rounding must not push the full sensitivity past the end.
    corner = np.minimum(np.searchsorted(sensitivity, GRID - 1e-9), found.size - 1)
    return np.concatenate([roc, precision[corner]])
