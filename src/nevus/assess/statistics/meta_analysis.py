"""A metric of several sources as one: its mean over sources, how far sources differ, and what a new one may show.

Owns the random-effects model of the sources' metrics, and the scale on which each kind of metric is pooled. It must
not know what a metric means, nor read files.

Each source i has a true metric of its own, drawn from a normal distribution with mean mu and standard deviation tau;
what was measured there differs from it by the error of few images:

    y_i = mu + u_i + e_i,    u_i ~ N(0, tau^2),    e_i ~ N(0, s_i^2), s_i known

The interval of mu says how well the mean source is known, and gets narrow with many sources; the prediction interval
says what the next source may show, and never gets narrower than the sources differ [1, 2]. Metrics in [0, 1] are
pooled as log-odds, on which they are nearer to a normal distribution [3, 4].

References:
    [1] Higgins, Thompson & Spiegelhalter, A re-evaluation of random-effects meta-analysis, JRSS A 172 (2009).
    [2] Riley, Higgins & Deeks, Interpretation of random effects meta-analyses, BMJ 342:d549 (2011).
    [3] Debray, Damen, Snell et al., A guide to systematic review and meta-analysis of prediction model performance,
        BMJ 356:i6460 (2017).
    [4] Snell, Ensor, Debray, Moons & Riley, Meta-analysis of prediction model performance across multiple studies:
        which scale helps ensure between-study normality for the C-statistic and calibration measures?, Statistical
        Methods in Medical Research 27 (2018).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats
from scipy.optimize import brentq, minimize_scalar
from scipy.special import expit, logit, ndtr

from nevus.assess.statistics.metrics import Floats
from nevus.core.estimate import Estimate, value_text

METHOD = (
    "random effects over sources (REML; Viechtbauer 2005), for proportions and ROC-AUC on the logit scale (Snell et "
    "al. 2018); interval of the mean after Hartung and Knapp (2001), never narrower than without it; prediction "
    "interval from the confidence distribution of tau (Nagashima et al. 2019)"
)

# Two sources say nearly nothing of how far sources differ.
LEAST_SOURCES_TO_PREDICT = 3

# Points of the confidence distribution of tau.
_NUM_POINTS = 400

_Z = float(stats.norm.ppf(0.975))


@dataclass(frozen=True, slots=True)
class Pooled:
    """A metric over sources.

    Attributes:
        mean: of the sources' true metrics, with its 95 % interval; NaN ends for one source.
        prediction_low: lower end of the 95 % prediction interval for a new source; NaN with fewer than three sources.
        prediction_high: its upper end.
        tau: standard deviation of these true metrics, on the scale on which they are pooled; NaN for one source.
        num_sources: whose metric was pooled.
    """

    mean: Estimate
    prediction_low: float
    prediction_high: float
    tau: float
    num_sources: int

    def to_json(self) -> dict[str, float | int]:
        """The fields as JSON holds them."""
        return {
            **self.mean.to_json(),
            "prediction_low": self.prediction_low,
            "prediction_high": self.prediction_high,
            "tau": self.tau,
            "num_sources": self.num_sources,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Pooled:
        """Reads what `to_json` gave; null, as which JSON holds what cannot be known, becomes NaN.

        Raises:
            KeyError: a field is missing.
            TypeError: one is not a number.
        """
        mean, low, high, prediction_low, prediction_high, tau = (
            math.nan if data[name] is None else float(data[name])
            for name in ("value", "low", "high", "prediction_low", "prediction_high", "tau")
        )
        return cls(Estimate(mean, low, high), prediction_low, prediction_high, tau, int(data["num_sources"]))

    def predicted(self, sign: str = "") -> str:
        """The prediction interval as text, such as '0.612 to 0.894'; 'not known' where there is none.

        Args:
            sign: '+' for a difference, so that a positive end has its sign too.
        """
        if math.isnan(self.prediction_low):
            return "not known"
        return f"{value_text(self.prediction_low, sign)} to {value_text(self.prediction_high, sign)}"


def pool_shares(estimates: Sequence[Estimate]) -> Pooled:
    """Pools metrics in [0, 1], such as ROC-AUC and sensitivity, on the logit scale.

    Args:
        estimates: of each source, with intervals; one without an interval is left out.

    Returns:
        The metric back on its own scale, but for `tau`, which is of log-odds; NaN if no source has an interval.

    Examples:
        >>> areas = [Estimate(0.80, 0.75, 0.84), Estimate(0.90, 0.87, 0.92), Estimate(0.85, 0.80, 0.89)]
        >>> pooled = pool_shares(areas)
        >>> print(pooled.mean)
        0.855 (0.677 to 0.943)
        >>> print(f"{pooled.prediction_low:.2f} to {pooled.prediction_high:.2f}")
        0.44 to 0.98
    """
    usable = [_log_odds(one) for one in estimates if not math.isnan(one.low + one.high)]
    found = pool_effects(*np.array(usable, dtype=np.float64).reshape(-1, 2).T)
    mean = Estimate(*(float(expit(end)) for end in (found.mean.value, found.mean.low, found.mean.high)))
    low, high = (float(expit(end)) for end in (found.prediction_low, found.prediction_high))
    return Pooled(mean, low, high, found.tau, found.num_sources)


def pool_numbers(estimates: Sequence[Estimate]) -> Pooled:
    """Pools metrics without bounds, such as the calibration intercept, as they are; like `pool_shares` otherwise.

    Examples:
        >>> slopes = [Estimate(0.9, 0.7, 1.1), Estimate(1.1, 0.9, 1.3)]
        >>> print(pool_numbers(slopes).mean)
        1.000 (-0.271 to 2.271)
    """
    usable = [(one.value, (one.high - one.low) / (2.0 * _Z)) for one in estimates if not math.isnan(one.low + one.high)]
    return pool_effects(*np.array(usable, dtype=np.float64).reshape(-1, 2).T)


def p_value(pooled: Pooled) -> float:
    """The two-sided p-value of a mean of 0, by the same test as the interval of the mean (Hartung and Knapp).

    Args:
        pooled: from `pool_numbers`.

    Returns:
        NaN for fewer than two sources.

    Examples:
        >>> differences = [Estimate(0.02, 0.00, 0.04), Estimate(0.03, 0.01, 0.05), Estimate(0.04, 0.00, 0.08)]
        >>> round(p_value(pool_numbers(differences)), 3)
        0.059
    """
    if pooled.num_sources < 2:
        return math.nan
    student = stats.t(pooled.num_sources - 1)
    error = (pooled.mean.high - pooled.mean.low) / 2.0 / float(student.ppf(0.975))
    return float(2.0 * student.sf(abs(pooled.mean.value) / error))


def pool_effects(effects: Floats, errors: Floats) -> Pooled:
    """The random-effects model of K effects by restricted maximum likelihood [1].

    The interval of the mean is that of Hartung and Knapp [2] with Student's t of K - 1 degrees of freedom. Where the
    effects happen to lie closer together than their errors let expect, it would be narrower than one without random
    effects; its scale factor is then held at 1 [3].

    The prediction interval is not the usual mu +- t(K - 2) sqrt(tau^2 + error(mu)^2) [4], which takes tau as if it
    were known and, where sources differ about as much as their errors, holds 88 % of new sources instead of 95 %. It
    averages over the confidence distribution of tau [5, 6]: Cochran's Q at the true tau is chi-squared with K - 1
    degrees of freedom, so each quantile of it gives a tau, and given that tau a new source is normal around mu(tau)
    with variance tau^2 + error(mu(tau))^2. Without errors of measurement this is Student's t with K - 1 degrees of
    freedom, which is exact.

    Args:
        effects: float64 [K], what was measured in each source.
        errors: float64 [K] above 0, their standard errors.

    Returns:
        NaN throughout for K = 0; the effect alone for K = 1; no prediction interval for K = 2.

    References:
        [1] Viechtbauer, Bias and efficiency of meta-analytic variance estimators in the random-effects model, Journal
            of Educational and Behavioral Statistics 30 (2005).
        [2] Hartung & Knapp, On tests of the overall treatment effect in meta-analysis with normally distributed
            responses, Statistics in Medicine 20 (2001).
        [3] Roever, Knapp & Friede, Hartung-Knapp-Sidik-Jonkman approach and its modification for random-effects
            meta-analysis with few studies, BMC Medical Research Methodology 15:99 (2015).
        [4] Higgins, Thompson & Spiegelhalter, JRSS A 172 (2009), equation 12.
        [5] Nagashima, Noma & Furukawa, Prediction intervals for random-effects meta-analysis: a confidence
            distribution approach, Statistical Methods in Medical Research 28 (2019).
        [6] Viechtbauer, Confidence intervals for the amount of heterogeneity in meta-analysis, Statistics in
            Medicine 26 (2007).

    Examples:
        >>> found = pool_effects(np.array([0.0, 1.0, 2.0, 3.0]), np.full(4, 0.1))
        >>> print(found.mean, round(found.tau, 2))
        1.500 (-0.554 to 3.554) 1.29
        >>> print(f"{found.prediction_low:.2f} to {found.prediction_high:.2f}")
        -3.09 to 6.09
    """
    num_sources, nan = effects.size, math.nan
    if num_sources < 2:
        value = float(effects[0]) if num_sources else nan
        return Pooled(Estimate(value, nan, nan), nan, nan, nan, num_sources)
    tau = _between(effects, errors)
    weights = 1.0 / (tau**2 + errors**2)
    mean = float(weights @ effects / weights.sum())
    spread = float(weights @ (effects - mean) ** 2) / (num_sources - 1)
    error = math.sqrt(max(spread, 1.0) / weights.sum())
    half = float(stats.t.ppf(0.975, num_sources - 1)) * error
    low, high = _predict(effects, errors) if num_sources >= LEAST_SOURCES_TO_PREDICT else (nan, nan)
    return Pooled(Estimate(mean, mean - half, mean + half), low, high, tau, num_sources)


def _predict(effects: Floats, errors: Floats) -> tuple[float, float]:
    """The ends of the prediction interval, from the confidence distribution of tau."""

    def mean_at(taus: Floats) -> tuple[Floats, Floats, Floats]:
        weights = 1.0 / (taus[:, np.newaxis] ** 2 + errors**2)
        total = weights.sum(axis=1)
        means = weights @ effects / total
        return means, 1.0 / total, (weights * (effects - means[:, np.newaxis]) ** 2).sum(axis=1)

    quantiles = stats.chi2.ppf((np.arange(_NUM_POINTS) + 0.5) / _NUM_POINTS, effects.size - 1)
    # Beyond the last tau of the grid Q is below the least quantile.
    largest = math.sqrt(float(((effects - effects.mean()) ** 2).sum()) / quantiles[0]) + float(errors.max())
    grid = np.append(0.0, np.geomspace(1e-3 * float(errors.min()), largest, _NUM_POINTS))
    q = mean_at(grid)[2]
    # Q falls as tau grows; where even tau = 0 gives less than a quantile, that tau is 0.
    taus = np.interp(quantiles, q[::-1], grid[::-1], right=0.0)
    means, variances, _ = mean_at(taus)
    spreads = np.sqrt(taus**2 + variances)

    def end(share: float) -> float:
        ends = means + stats.norm.ppf(share) * spreads
        # The quantile of a mixture lies between the least and the highest of its parts.
        span = float(ends.min()) - 1e-9, float(ends.max()) + 1e-9
        return float(brentq(lambda at: float(ndtr((at - means) / spreads).mean()) - share, *span))

    return end(0.025), end(0.975)


def _between(effects: Floats, errors: Floats) -> float:
    """The tau of the highest restricted likelihood."""

    def loss(tau: Floats | float) -> Floats:
        variances = np.square(tau)[..., np.newaxis] + errors**2
        weights = 1.0 / variances
        total = weights.sum(axis=-1)
        mean = weights @ effects / total
        squares = (weights * (effects - np.expand_dims(mean, -1)) ** 2).sum(axis=-1)
        return np.asarray(np.log(variances).sum(axis=-1) + np.log(total) + squares)

    # No tau beyond the range of the effects is likelier than one within it. The likelihood may have two peaks: a
    # grid finds the higher one.
    grid = np.linspace(0.0, float(np.ptp(effects)) + float(errors.max()), 101)
    best = int(np.argmin(loss(grid)))
    bounds = grid[max(best - 1, 0)], grid[min(best + 1, grid.size - 1)]
    refined = float(minimize_scalar(lambda tau: float(loss(tau)), bounds=bounds, method="bounded").x)
    return refined if loss(refined) < loss(0.0) else 0.0


def _log_odds(share: Estimate) -> tuple[float, float]:
    """A share as log-odds, and the standard error that its interval says.

    Wilson's interval of a share p of n is logit(p) +- 2 asinh(z / (2 sqrt(n p (1 - p)))) [1], from which n follows;
    here it allows for groups. DeLong's on the logit scale is symmetric too. A share of 0 or 1 has no log-odds: half
    an image is added to both sides [2].

    References:
        [1] Newcombe, Logit confidence intervals and the inverse sinh transformation, American Statistician 55 (2001).
        [2] Haldane, The estimation and significance of the logarithm of a ratio of frequencies, Annals of Human
            Genetics 20 (1956).
    """
    value = share.value
    if 0.0 < value < 1.0:
        half = float(logit(share.high) - logit(share.low)) / 2.0
        information = (_Z / (2.0 * math.sinh(half / 2.0))) ** 2
        return float(logit(value)), 1.0 / math.sqrt(information)
    # Wilson: with all of n right the lower end is n / (n + z^2).
    other = share.low if value == 1.0 else 1.0 - share.high
    size = _Z**2 * other / (1.0 - other)
    effect = math.log((size + 0.5) / 0.5)
    return effect if value == 1.0 else -effect, math.sqrt(1.0 / (size + 0.5) + 1.0 / 0.5)
