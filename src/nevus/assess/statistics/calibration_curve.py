"""A smooth calibration curve: what share is malignant at each risk, without bins, and how far it is from the diagonal.

The truth is regressed on a restricted cubic spline of the logit of the risk [1]. It must not know files or thresholds.

References:
    [1] Austin, Harrell & van Klaveren, Graphical calibration curves and the integrated calibration index (ICI) for
        survival models, Statistics in Medicine 39 (2020): the spline; and Harrell, Regression Modeling Strategies
        (2015), section 2.4.5, for its basis and knots.
    [2] Austin & Steyerberg, The Integrated Calibration Index (ICI) and related metrics for quantifying the calibration
        of logistic regression models, Statistics in Medicine 38 (2019).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from scipy.special import expit, logit

from nevus.assess.statistics.metrics import Bools, Floats, check_risk
from nevus.assess.statistics.uncertainty import Groups
from nevus.core.estimate import Estimate

# Of the distribution of log-odds; Harrell's quantiles for four knots.
_KNOTS = (0.05, 0.35, 0.65, 0.95)

# A risk of exactly 0 or 1 has no logit.
_SMALLEST_RISK = 1e-7

# Keeps the search finite where the risks tell the classes apart without an error; of no weight elsewhere.
_RIDGE = 1e-5

# Under weights the distances are taken at so many quantiles of the risk, not at each image.
_NUM_CELLS = 100

# Points at which a curve is drawn.
_NUM_POINTS = 50


class Distances(NamedTuple):
    """How far the curve is from the diagonal, over the images [2]: mean, median and 90th percentile."""

    ici: Floats
    e50: Floats
    e90: Floats


@dataclass(frozen=True)
class CalibrationCurve:
    """A fitted curve.

    Attributes:
        risk: float64 [N] in [0, 1], of the images that it is fitted on.
        columns: float64 [N, K], the basis at these.
        coefficients: float64 [K].
        influence: float64 [N, K], by how much each image moved them.
        knots: float64 of log-odds; empty for a line.
        centre: of the log-odds, and `scale` their spread: the basis is of standardised ones.
        scale: see above.
    """

    risk: Floats
    columns: Floats
    coefficients: Floats
    influence: Floats
    knots: Floats
    centre: float
    scale: float

    @property
    def observed(self) -> Floats:
        """float64 [N]: the height of the curve at each image."""
        return np.asarray(expit(self.columns @ self.coefficients))

    def distances(self) -> Distances:
        """The distances from the diagonal, each a float64 array of no dimension."""
        gaps = np.abs(self.observed - self.risk)
        return Distances(gaps.mean(), np.quantile(gaps, 0.5), np.quantile(gaps, 0.9))

    def weighted_distances(self, weights: Floats) -> Distances:
        """The distances under weights float64 [R, N], each float64 [R]; the curve moves by a Newton step."""
        middle, inside = self._cells
        # In one product, because the weights are by far the largest array.
        counted, moves = np.split(weights @ inside, [middle.size], axis=1)
        moved = self.coefficients + moves * (self.risk.size / weights.sum(axis=1, keepdims=True))
        gaps = np.abs(expit(moved @ self.columns[middle].T) - self.risk[middle])
        return Distances((gaps * counted).sum(axis=1) / counted.sum(axis=1), *_quantiles(gaps, counted, (0.5, 0.9)))

    @cached_property
    def _cells(self) -> tuple[NDArray[np.intp], Floats]:
        """The middle image of each of C cells of equal size; float64 [N, C + K], who is in it, then the influence."""
        cells = np.array_split(np.argsort(self.risk, kind="stable"), min(_NUM_CELLS, self.risk.size))
        inside = np.zeros((self.risk.size, len(cells)))
        for place, cell in enumerate(cells):
            inside[cell, place] = 1.0
        return np.array([cell[cell.size // 2] for cell in cells]), np.hstack([inside, self.influence])

    def drawn(self, groups: Groups) -> tuple[Floats, list[Estimate]]:
        """Points of the curve with 95 % intervals, each for itself, that allow for groups.

        Args:
            groups: int64 [N].

        Returns:
            Risks, float64 [P] rising, within the range of the images; and the height at each.
        """
        low, high = np.quantile(self.risk, [0.005, 0.995])
        at = np.unique(np.linspace(low, high, _NUM_POINTS))
        columns = _basis(_standardised(at, self.centre, self.scale), self.knots)
        sums = np.stack([np.bincount(groups, weights=column) for column in self.influence.T], axis=1)
        num_groups = int(np.unique(groups).size)
        covariance = sums.T @ sums * (num_groups / max(num_groups - 1, 1))
        errors = np.sqrt(np.einsum("pk,kl,pl->p", columns, covariance, columns))
        half = errors * (stats.t.ppf(0.975, num_groups - 1) if num_groups > 1 else np.nan)
        middle = columns @ self.coefficients
        ends = [expit(middle), expit(middle - half), expit(middle + half)]
        return at, [Estimate(*map(float, point)) for point in zip(*ends, strict=True)]


def fit_curve(labels: ArrayLike, risk: ArrayLike) -> CalibrationCurve | None:
    """Fits a curve; a straight line on the logit scale where the risks have too few values for the spline.

    Args:
        labels: bool [N], True for malignant.
        risk: float [N] in [0, 1].

    Returns:
        None if a class is absent or all risks are equal.

    Examples:
        >>> random = np.random.default_rng(0)
        >>> risk = random.uniform(0.05, 0.95, 20_000)
        >>> curve = fit_curve(random.random(20_000) < risk**2, risk)
        >>> bool(abs(curve.distances().ici - (risk - risk**2).mean()) < 0.01)
        True
    """
    labels, risk = check_risk(labels, risk)
    scores = logit(np.clip(risk, _SMALLEST_RISK, 1.0 - _SMALLEST_RISK))
    if labels.all() or not labels.any() or np.ptp(scores) == 0.0:
        return None
    centre, scale = float(scores.mean()), float(scores.std())
    standard = (scores - centre) / scale
    knots = np.unique(np.quantile(standard, _KNOTS))
    knots = knots if knots.size == len(_KNOTS) else np.empty(0)
    columns = _basis(standard, knots)
    coefficients, influence = _logistic(columns, labels)
    return CalibrationCurve(risk, columns, coefficients, influence, knots, centre, scale)


def _standardised(risk: Floats, centre: float, scale: float) -> Floats:
    return np.asarray((logit(np.clip(risk, _SMALLEST_RISK, 1.0 - _SMALLEST_RISK)) - centre) / scale)


def _basis(x: Floats, knots: Floats) -> Floats:
    """A constant, x, and for four knots the two cubic terms that are straight beyond the outer ones."""
    columns = [np.ones_like(x), x]
    if knots.size:
        *inner, before, last = knots

        def cubed(knot: float) -> Floats:
            return np.maximum(x - knot, 0.0) ** 3

        columns += [
            (
                cubed(knot)
                - cubed(before) * (last - knot) / (last - before)
                + cubed(last) * (before - knot) / (last - before)
            )
            / (last - knots[0]) ** 2
            for knot in inner
        ]
    return np.stack(columns, axis=1)


def _logistic(columns: Floats, labels: Bools) -> tuple[Floats, Floats]:
    """Coefficients float64 [K] of a logistic regression by Newton's method, and their influence float64 [N, K]."""
    penalty = _RIDGE * np.eye(columns.shape[1])
    penalty[0, 0] = 0.0
    coefficients = np.zeros(columns.shape[1])

    def loss(at: Floats) -> float:
        logits = columns @ at
        return float(np.mean(np.logaddexp(0.0, logits) - labels * logits) + at @ penalty @ at / 2.0)

    for _ in range(100):
        fitted = expit(columns @ coefficients)
        slope = columns.T @ (labels - fitted) / labels.size - penalty @ coefficients
        curvature = (columns.T * (fitted * (1.0 - fitted))) @ columns / labels.size + penalty
        step = np.linalg.solve(curvature + 1e-12 * np.eye(slope.size), slope)
        length, before = 1.0, loss(coefficients)
        while length > 1e-6 and loss(coefficients + length * step) > before:
            length /= 2.0
        coefficients = coefficients + length * step
        if np.abs(step).max() < 1e-9:
            break
    moves = columns * (labels - expit(columns @ coefficients))[:, np.newaxis] - penalty @ coefficients
    influence = np.linalg.solve(curvature + 1e-12 * np.eye(coefficients.size), moves.T).T / labels.size
    return coefficients, influence


def _quantiles(values: Floats, weights: Floats, shares: tuple[float, ...]) -> list[Floats]:
    """Weighted quantiles of each row of float64 [R, C]: the least value that a share of the weights is at or below."""
    order = np.argsort(values, axis=1)
    ordered = np.take_along_axis(values, order, axis=1)
    summed = np.cumsum(np.take_along_axis(weights, order, axis=1), axis=1)
    found = []
    for share in shares:
        place = (summed < share * summed[:, -1:]).sum(axis=1)
        found.append(ordered[np.arange(values.shape[0]), np.minimum(place, values.shape[1] - 1)])
    return found
