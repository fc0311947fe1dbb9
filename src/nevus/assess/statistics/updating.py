"""Which update a model's risks need at another place: none, an intercept, or intercept and slope.

Owns the fits and the closed test that chooses among them. It must not know thresholds, models or files.

References:
    [1] Vergouwe, Nieboer, Oostenbrink et al., A closed testing procedure to select an appropriate method for updating
        prediction models, Statistics in Medicine 36:4529 (2017).
    [2] Steyerberg, Borsboom, van Houwelingen et al., Validation and updating of predictive logistic regression models,
        Statistics in Medicine 23:2567 (2004): the updates.
    [3] Rao & Scott, On chi-squared tests for multiway contingency tables with cell proportions estimated from survey
        data, Annals of Statistics 12:46 (1984): a likelihood ratio divided by the mean design effect.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy import stats
from scipy.special import expit

from nevus.assess.statistics.metrics import Bools, Floats
from nevus.assess.statistics.uncertainty import Groups
from nevus.core.risk_update import RiskUpdate

NONE, INTERCEPT, LINE = "none", "intercept", "intercept and slope"
LEVEL = 0.05

_MOST_STEPS = 100


@dataclass(frozen=True, slots=True)
class RatioTest:
    """A likelihood ratio test of one update against a smaller one.

    Attributes:
        update: the name of the larger update.
        against: the name of the smaller one.
        statistic: twice the difference of the log-likelihoods, divided by the design effect.
        degrees: of freedom: the coefficients that the larger update has more.
        design_effect: 1 or more; by how much groups raise the variance of these coefficients.
        p_value: of the chi-squared distribution.
    """

    update: str
    against: str
    statistic: float
    degrees: int
    design_effect: float
    p_value: float

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON holds them."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Chosen:
    """What the closed test chose: the name of the update, its coefficients, and the tests in their order."""

    name: str
    update: RiskUpdate
    tests: tuple[RatioTest, ...]


def choose_update(labels: Bools, log_odds: Floats, groups: Groups, *, with_slope: bool = True) -> Chosen:
    """Chooses an update by the closed testing procedure [1], each test at a level of 5 %.

    The largest update, intercept and slope, is tested against no update, with 2 degrees of freedom; if that is not
    significant, there is no update. Then it is tested against the intercept alone, with 1 degree; if that is not
    significant, the intercept is enough. The level of the whole is 5 %, because a smaller update is only kept when
    the larger one is not shown to be better. (A third test, against new coefficients of every predictor, is for models
    of several predictors; here there is one, the log-odds.)

    Images of a group are not independent: each statistic is divided by the design effect [3] of the coefficients that
    it tests, their sandwich variance summed over groups over the same for single images. It is 1, and the test the
    textbook's, where every group is one image.

    Args:
        labels: bool [N], True for malignant; both values occur.
        log_odds: float64 [N], of the risks as they are.
        groups: int64 [N].
        with_slope: whether intercept and slope are among the updates; otherwise the intercept is tested against
            no update, with 1 degree.

    Examples:
        >>> random = np.random.default_rng(1)
        >>> log_odds = random.normal(0.0, 2.0, 500)
        >>> labels = random.random(500) < expit(log_odds - 1.5)  # the risks are too high
        >>> chosen = choose_update(labels, log_odds, np.arange(500))
        >>> chosen.name, round(chosen.update.intercept, 1)
        ('intercept', -1.6)
    """
    shifted = RiskUpdate(fit_intercept(labels, log_odds))
    if not with_slope:
        residuals = labels - shifted.of_risk(log_odds)
        effect = float((np.bincount(groups, weights=residuals) ** 2).sum() / (residuals**2).sum())
        test = _ratio_test(labels, log_odds, (INTERCEPT, shifted), (NONE, RiskUpdate()), 1, effect)
        is_needed = test.p_value < LEVEL
        return Chosen(INTERCEPT, shifted, (test,)) if is_needed else Chosen(NONE, RiskUpdate(), (test,))
    line = fit_line(labels, log_odds)
    of_both, of_slope = _design_effects(labels, log_odds, groups, line)
    first = _ratio_test(labels, log_odds, (LINE, line), (NONE, RiskUpdate()), 2, of_both)
    if first.p_value >= LEVEL:
        return Chosen(NONE, RiskUpdate(), (first,))
    second = _ratio_test(labels, log_odds, (LINE, line), (INTERCEPT, shifted), 1, of_slope)
    if second.p_value >= LEVEL:
        return Chosen(INTERCEPT, shifted, (first, second))
    return Chosen(LINE, line, (first, second))


def fit_intercept(labels: Bools, log_odds: Floats) -> float:
    """The intercept that makes the risks add up to the malignant images, with the slope held at 1 [2].

    Args:
        labels: bool [N], True for malignant; both values occur.
        log_odds: float64 [N].

    Examples:
        >>> round(fit_intercept(np.array([True, False, False, False]), np.zeros(4)), 3)  # the logit of 1/4
        -1.099
    """
    (intercept,) = _fit(np.ones((labels.size, 1)), labels, log_odds)
    return float(intercept)


def fit_line(labels: Bools, log_odds: Floats) -> RiskUpdate:
    """Intercept and slope by logistic regression on the log-odds [2].

    Args:
        labels: bool [N], True for malignant; the log-odds must not separate the two kinds, see `separates`.
        log_odds: float64 [N], not all equal.

    Examples:
        >>> line = fit_line(np.array([True, False, True, False]), np.array([2.0, 1.0, -1.0, -2.0]))
        >>> round(line.slope, 2)
        0.42
    """
    # Standardised, so that the search takes even steps; the coefficients are scaled back.
    centre, spread = log_odds.mean(), log_odds.std()
    columns = np.column_stack([np.ones(labels.size), (log_odds - centre) / spread])
    intercept, slope = _fit(columns, labels, np.zeros(labels.size))
    return RiskUpdate(float(intercept - slope * centre / spread), float(slope / spread))


def separates(labels: Bools, log_odds: Floats) -> bool:
    """Whether one threshold tells all malignant images from all benign ones, or all log-odds are equal.

    No slope can be fitted then.
    """
    malignant, benign = log_odds[labels], log_odds[~labels]
    return bool(np.ptp(log_odds) == 0.0 or malignant.min() >= benign.max() or benign.min() >= malignant.max())


def _fit(columns: Floats, labels: Bools, offset: Floats) -> Floats:
    """The coefficients, float64 [K], of a logistic regression on columns [N, K], by Newton's method."""
    coefficients = np.zeros(columns.shape[1])
    loss = _loss(labels, offset)
    for _ in range(_MOST_STEPS):
        risk = expit(columns @ coefficients + offset)
        step = np.linalg.solve((columns.T * (risk * (1.0 - risk))) @ columns, columns.T @ (labels - risk))
        # A full step may overshoot where most risks are near 0 or 1.
        while (tried := _loss(labels, columns @ (coefficients + step) + offset)) > loss and np.abs(step).max() > 1e-12:
            step = step / 2.0
        coefficients, loss = coefficients + step, tried
        if np.abs(step).max() < 1e-9:
            break
    return coefficients


def _loss(labels: Bools, log_odds: Floats) -> float:
    """The negative log-likelihood."""
    return float(np.logaddexp(0.0, np.where(labels, -log_odds, log_odds)).sum())


def _ratio_test(
    labels: Bools,
    log_odds: Floats,
    larger: tuple[str, RiskUpdate],
    smaller: tuple[str, RiskUpdate],
    degrees: int,
    effect: float,
) -> RatioTest:
    losses = [_loss(labels, update.of_log_odds(log_odds)) for _, update in (smaller, larger)]
    effect = max(effect, 1.0)
    statistic = max(2.0 * (losses[0] - losses[1]), 0.0) / effect
    p_value = float(stats.chi2.sf(statistic, degrees))
    return RatioTest(larger[0], smaller[0], statistic, degrees, effect, p_value)


def _design_effects(labels: Bools, log_odds: Floats, groups: Groups, line: RiskUpdate) -> tuple[float, float]:
    """By how much groups raise the variance of intercept and slope, on average, and of the slope alone."""
    columns = np.column_stack([np.ones(labels.size), log_odds - log_odds.mean()])
    risk = line.of_risk(log_odds)
    scores = columns * (labels - risk)[:, np.newaxis]
    summed = np.stack([np.bincount(groups, weights=column) for column in scores.T], axis=1)
    of_images, of_groups = scores.T @ scores, summed.T @ summed
    bread = np.linalg.inv((columns.T * (risk * (1.0 - risk))) @ columns)
    both = float(np.trace(np.linalg.solve(of_images, of_groups))) / 2.0
    slope = float((bread @ of_groups @ bread)[1, 1] / (bread @ of_images @ bread)[1, 1])
    return both, slope
