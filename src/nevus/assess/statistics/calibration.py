"""Calibration: does a risk of 20 % mean one malignant image in five? Measured, and corrected by one temperature.

Owns the temperature, the isotonic map and the metrics of calibration. Both are fitted on
validation and applied to the test; the metrics are for either. It must not know
files or thresholds. The tables of metrics.json are made of it in `calibration_figures`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq, minimize
from scipy.special import expit, logit, softmax
from sklearn.isotonic import IsotonicRegression

from nevus.assess.statistics.metrics import Bools, Floats, check_risk
from nevus.assess.statistics.uncertainty import Groups, linearised
from nevus.assess.statistics.undefined import say, undefined
from nevus.core.estimate import Estimate
from nevus.core.predictions import Predictions

# A best temperature outside this range means that the logits say nothing, or the truth without a doubt.
TEMPERATURES = (0.05, 20.0)
UNCALIBRATED = 1.0

# A risk of exactly 0 or 1 has no logit; float32 models saturate at about this distance from the ends.
_SMALLEST_RISK = 1e-7


def fit_temperature(predictions: Predictions) -> float:
    """The temperature that makes validation most likely: the mean negative log-likelihood at its least [1].

    The likelihood is that of `Predictions.probabilities`, with the class weights undone. It is convex in
    1 / temperature, so the least is the only one.

    Args:
        predictions: of the validation split, never of the test.

    Returns:
        Above 1 for a network that is too sure, below 1 for one that is not sure enough. 1, with a warning, if
        the likelihood has no least within `TEMPERATURES`: the logits do not rise with the truth, differ by next to
        nothing, or tell the classes apart without an error. The end of the range would then carry risks to 0 and 1,
        and lose their order.

    References:
        [1] Guo, Pleiss, Sun & Weinberger, On calibration of modern neural networks, ICML 2017.

    Examples:
        >>> from nevus.core.labels import Classes
        >>> labels = np.array([0, 0, 0, 0, 1, 1, 1, 1])
        >>> scores = np.array([-4.0, -4.0, -4.0, 4.0, 4.0, 4.0, 4.0, -4.0])
        >>> names = [str(index) for index in range(8)]
        >>> logits = np.stack([np.zeros(8), scores], axis=1)
        >>> classes = Classes(("benign", "malignant"), ("malignant",))
        >>> too_sure = Predictions(classes, names, names, names, labels, logits)
        >>> round(fit_temperature(too_sure), 2)
        3.64
    """
    logits = predictions.logits
    offset = 0.0 if predictions.log_weights is None else predictions.log_weights
    true_logits = logits[np.arange(predictions.labels.size), predictions.labels]

    def slope(inverse_temperature: float) -> float:
        """Of the mean negative log-likelihood; it rises with the inverse temperature."""
        expected = (softmax(logits * inverse_temperature - offset, axis=1) * logits).sum(axis=1)
        return float((expected - true_logits).mean())

    coldest, hottest = TEMPERATURES
    # Where the logits of each image are equal, both slopes are 0 but for rounding.
    says_nothing = not np.ptp(logits, axis=1).any()
    is_too_cold = not says_nothing and slope(1.0 / coldest) <= 0.0
    if says_nothing or is_too_cold or slope(1.0 / hottest) >= 0.0:
        if not is_too_cold:
            reason = "do not rise with the truth"
        elif (true_logits == logits.max(axis=1)).all():
            reason = "tell the classes apart without error"
        else:
            reason = "differ too little between the classes"
        say(
            f"the risks are not calibrated: no temperature fits the {true_logits.size} validation images, whose logits "
            f"{reason}. Expected a best one between {coldest:g} and {hottest:g}; it stays at {UNCALIBRATED:g}. "
            "Validate on more images, or train for longer.",
        )
        return UNCALIBRATED
    return 1.0 / float(brentq(slope, 1.0 / hottest, 1.0 / coldest))


@dataclass(frozen=True, slots=True)
class Isotonic:
    """A rising map from risks to corrected ones; both arrays are float64 [K], rising, in [0, 1].

    Attributes:
        risk: the knots.
        calibrated: what becomes of a risk at each knot; between two it is interpolated, outside the nearest holds.
    """

    risk: Floats
    calibrated: Floats

    def __call__(self, risk: Floats) -> Floats:
        """Mends risks, float64 [M] in [0, 1]."""
        return np.asarray(np.interp(risk, self.risk, self.calibrated))

    def to_json(self) -> dict[str, list[float]]:
        """The fields as JSON holds them."""
        return {"risk": self.risk.tolist(), "calibrated": self.calibrated.tolist()}


def fit_isotonic(labels: ArrayLike, risk: ArrayLike) -> Isotonic:
    """The rising map that brings risks nearest to the labels [1]: more freedom than a temperature.

    Args:
        labels: bool [N], of validation, never of the test.
        risk: float [N] in [0, 1], of validation.

    References:
        [1] Zadrozny & Elkan, Transforming classifier scores into accurate multiclass probability estimates, KDD 2002.

    Examples:
        >>> isotonic = fit_isotonic([False, True, False, True], [0.1, 0.2, 0.3, 0.4])
        >>> isotonic(np.array([0.1, 0.25, 0.4])).tolist()
        [0.0, 0.5, 1.0]
    """
    labels, risk = check_risk(labels, risk)
    model = IsotonicRegression(y_min=0.0, y_max=1.0).fit(risk, labels)
    return Isotonic(np.asarray(model.X_thresholds_), np.asarray(model.y_thresholds_))


@dataclass(frozen=True, slots=True)
class Reliability:
    """A reliability diagram: images sorted by risk and cut into bins of nearly equal size; arrays have length B.

    Attributes:
        mean_risk: float64 [B], rising: what was said.
        share_malignant: float64 [B]: what was so.
        counts: int64 [B], images in the bin.
    """

    mean_risk: Floats
    share_malignant: Floats
    counts: NDArray[np.int64]


def reliability(labels: ArrayLike, risk: ArrayLike, num_bins: int = 15) -> Reliability:
    """Sorts images by risk into bins of equal mass [1]; equal risks are never split, so bins may be fewer.

    Args:
        labels: bool [N], True for malignant.
        risk: float [N] in [0, 1].
        num_bins: at most this many.

    References:
        [1] Nguyen & O'Connor, Posterior calibration and exploratory analysis for natural language processing
            models, EMNLP 2015.

    Examples:
        >>> found = reliability([False, True, True, True], [0.1, 0.3, 0.6, 0.8], num_bins=2)
        >>> found.share_malignant.tolist()
        [0.5, 1.0]
    """
    labels, risk = check_risk(labels, risk)
    bins = equal_mass_bins(risk, num_bins)
    counts = np.bincount(bins)
    return Reliability(np.bincount(bins, weights=risk) / counts, np.bincount(bins, weights=labels) / counts, counts)


def equal_mass_bins(risk: Floats, num_bins: int = 15) -> NDArray[np.int64]:
    """The bin of each image in `reliability`: int64 [N] from 0, without a gap, rising with the risk.

    Examples:
        >>> equal_mass_bins(np.array([0.1, 0.9, 0.3, 0.6]), num_bins=2).tolist()
        [0, 1, 0, 1]
    """
    if num_bins < 1:
        raise ValueError(f"num_bins must be 1 or more. Received: num_bins={num_bins}.")
    _, codes, sizes = np.unique(risk, return_inverse=True, return_counts=True)
    # A distinct risk goes to the bin in which the middle of its images falls.
    middle = np.cumsum(sizes) - sizes / 2
    return np.unique((middle * num_bins / risk.size).astype(np.int64), return_inverse=True)[1][codes].astype(np.int64)


def expected_calibration_error(labels: ArrayLike, risk: ArrayLike, num_bins: int = 15) -> float:
    """Mean distance of mean risk and share malignant over the bins of `reliability`, each counting by its size [1].

    Noise alone keeps it above 0: about .8 sqrt(share (1 - share) / images in a bin) for perfect risks.

    References:
        [1] Naeini, Cooper & Hauskrecht, Obtaining well calibrated probabilities using Bayesian binning, AAAI 2015.

    Examples:
        >>> round(expected_calibration_error([False, True, True, True], [0.1, 0.3, 0.6, 0.8], num_bins=2), 3)
        0.3
    """
    bins = reliability(labels, risk, num_bins)
    return float(np.average(np.abs(bins.mean_risk - bins.share_malignant), weights=bins.counts))


@dataclass(frozen=True, slots=True)
class BrierParts:
    """The Brier score taken apart (Murphy 1973): score = reliability - resolution + uncertainty + within.

    Attributes:
        reliability: how far what was said lies from what was so; 0 is best.
        resolution: how far the bins' shares lie from the prevalence; more is better.
        uncertainty: prevalence times one less prevalence: the score of the prevalence as everyone's risk.
        within: what binning hides, from risks that differ within a bin; 0 if each bin has one risk
            (Stephenson, Coelho & Jolliffe 2008).
    """

    reliability: float
    resolution: float
    uncertainty: float
    within: float


def brier_parts(labels: ArrayLike, risk: ArrayLike, num_bins: int = 15) -> BrierParts:
    """Takes the Brier score apart over the bins of `reliability` [1].

    References:
        [1] Murphy, A new vector partition of the probability score, Journal of Applied Meteorology 12 (1973).
        [2] Stephenson, Coelho & Jolliffe, Two extra components in the Brier score decomposition, Weather and
            Forecasting 23 (2008).

    Examples:
        >>> parts = brier_parts([False, True, True, True], [0.2, 0.2, 0.8, 0.8], num_bins=2)
        >>> round(parts.reliability - parts.resolution + parts.uncertainty, 3)
        0.19
    """
    labels, risk = check_risk(labels, risk)
    bins = reliability(labels, risk, num_bins)
    prevalence = float(labels.mean())
    between = float(np.average((bins.mean_risk - bins.share_malignant) ** 2, weights=bins.counts))
    resolution = float(np.average((bins.share_malignant - prevalence) ** 2, weights=bins.counts))
    uncertainty = prevalence * (1.0 - prevalence)
    within = float(np.mean((risk - labels) ** 2)) - (between - resolution + uncertainty)
    return BrierParts(between, resolution, uncertainty, within)


@dataclass(frozen=True, slots=True)
class CalibrationLine:
    """Two checks of a risk by logistic regression on its logit (Cox 1958).

    Attributes:
        slope: 1 is right; below 1 the risks are too extreme, above 1 not extreme enough.
        intercept: with the slope held at 1, so the shift of all log-odds: 0 is right, below 0 the risks are too high.
    """

    slope: Estimate
    intercept: Estimate


def calibration_line(labels: ArrayLike, risk: ArrayLike, groups: Groups) -> CalibrationLine:
    """Calibration slope, and intercept in the large, after Cox [1] as Van Calster et al. [2] recommend them.

    Risks are held 1e-7 away from 0 and 1, which have no logit.

    Args:
        labels: bool [N], True for malignant.
        risk: float [N] in [0, 1].
        groups: int64 [N].

    Returns:
        NaN, with a warning: both if a class is absent; the slope if all risks are equal, or if they
        tell the classes apart without an error, when it would be infinite.

    References:
        [1] Cox, Two further applications of a model for binary regression, Biometrika 45 (1958).
        [2] Van Calster et al., Calibration: the Achilles heel of predictive analytics, BMC Medicine 17 (2019).

    Examples:
        >>> labels = np.array([True, False, True, True, False, False])
        >>> risk = np.array([0.9, 0.7, 0.3, 0.6, 0.2, 0.1])
        >>> line = calibration_line(labels, risk, np.arange(6))
        >>> round(float(line.slope.value), 2)
        0.84
    """
    labels, risk = check_risk(labels, risk)
    if labels.all() or not labels.any():
        nan = undefined("calibration slope and intercept", f"no image is {'benign' if labels.all() else 'malignant'}")
        return CalibrationLine(Estimate(nan, nan, nan), Estimate(nan, nan, nan))
    scores = logit(np.clip(risk, _SMALLEST_RISK, 1.0 - _SMALLEST_RISK))
    ones = np.ones((labels.size, 1))
    intercept = _logistic_fit(ones, labels, scores, groups)
    reason = ""
    if np.ptp(scores) == 0.0:
        reason = "all risks are equal"
    elif scores[labels].min() >= scores[~labels].max() or scores[labels].max() <= scores[~labels].min():
        reason = "the risks separate the classes"
    if reason:
        nan = undefined("calibration slope", reason)
        return CalibrationLine(Estimate(nan, nan, nan), intercept)
    # Standardised, so that the search takes even steps in both directions; the slope is scaled back.
    spread = scores.std()
    columns = np.column_stack([(scores - scores.mean()) / spread, ones])
    slope = _logistic_fit(columns, labels, np.zeros_like(scores), groups)
    return CalibrationLine(Estimate(slope.value / spread, slope.low / spread, slope.high / spread), intercept)


def _logistic_fit(columns: Floats, labels: Bools, offset: Floats, groups: Groups) -> Estimate:
    """The first coefficient of an unpenalised logistic regression on columns [N, K] with a fixed offset [N]."""
    signs = np.where(labels, 1.0, -1.0)

    def loss(coefficients: Floats) -> tuple[float, Floats]:
        margins = signs * (columns @ coefficients + offset)
        slopes = -signs * expit(-margins)
        return float(np.logaddexp(0.0, -margins).mean()), columns.T @ slopes / labels.size

    coefficients = minimize(loss, np.zeros(columns.shape[1]), jac=True, method="BFGS", options={"gtol": 1e-10}).x
    fitted = expit(columns @ coefficients + offset)
    information = (columns.T * (fitted * (1.0 - fitted))) @ columns
    influence = np.linalg.solve(information, columns.T * (labels - fitted))[0]
    return linearised(float(coefficients[0]), influence, groups)
