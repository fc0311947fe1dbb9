"""Decision curves: is acting on the risk better than acting on everyone, or on no one?

Owns the net benefit. A threshold on a calibrated risk states how many needless
referrals one found melanoma is worth: at .05, nineteen. It must not read files or
choose a threshold.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nevus.assess.sections.section import Section
from nevus.assess.sections.shapes import estimated, known, number
from nevus.assess.statistics.metrics import Bools, Floats
from nevus.assess.statistics.uncertainty import Groups, linearised
from nevus.assess.statistics.undefined import undefined
from nevus.core.estimate import Estimate

THRESHOLDS: Floats = np.arange(1, 100) / 100

SHAPE = {
    "prevalence": known,
    "thresholds": [known],
    "model": [estimated],
    "treat_all": [number],
    "treat_none": [number],
    # Files of earlier versions lack it.
    "over_treat_all?": [estimated],
}


def net_benefit(labels: Bools, risk: Floats, groups: Groups, prevalence: float, thresholds: Floats) -> list[Estimate]:
    """Malignant people found, less those referred needlessly at the exchange rate of the threshold, a person [1].

    It is prevalence * sensitivity - (1 - prevalence) * (1 - specificity) * threshold / (1 - threshold): with
    the prevalence of the sample, true positives less weighted false positives, over the number of images.
    The prevalence is taken as known; the interval [2] is that of sensitivity and specificity.

    Args:
        labels: bool [N], True for malignant.
        risk: float64 [N] in [0, 1], calibrated for `prevalence`.
        groups: int64 [N].
        prevalence: in [0, 1].
        thresholds: float64 [T] in [0, 1).

    Returns:
        One for each threshold, at most the prevalence; NaN, with a warning, if a class is absent. Where no
        image is called malignant it is 0 without an interval.

    References:
        [1] Vickers & Elkin, Decision curve analysis: a novel method for evaluating prediction models, Medical
            Decision Making 26 (2006).
        [2] Pfeiffer & Gail, Estimating the decision curve and its precision from three study designs,
            Biometrical Journal 62 (2020).
    """
    if labels.all() or not labels.any():
        nan = undefined("net benefit", f"no image is {'benign' if labels.all() else 'malignant'}")
        return [Estimate(nan, nan, nan)] * thresholds.size
    found = []
    for threshold in thresholds:
        called = risk >= threshold
        sensitivity, false_positive_rate = called[labels].mean(), called[~labels].mean()
        harm = (1.0 - prevalence) * threshold / (1.0 - threshold)
        influence = np.where(
            labels,
            prevalence * (called - sensitivity) / labels.sum(),
            -harm * (called - false_positive_rate) / (~labels).sum(),
        )
        found.append(linearised(float(prevalence * sensitivity - harm * false_positive_rate), influence, groups))
    return found


def measure(
    labels: Bools, risk: Floats, groups: Groups, prevalence: float, thresholds: Floats = THRESHOLDS
) -> dict[str, Any]:
    """A decision curve as metrics.json holds it; arguments as in `net_benefit`.

    `over_treat_all` is the model's net benefit less that of acting on everyone. At a prevalence that is taken as known
    the latter has no error, so the interval of the difference is as wide as the model's.
    """
    model = net_benefit(labels, risk, groups, prevalence, thresholds)
    treat_all = prevalence - (1.0 - prevalence) * thresholds / (1.0 - thresholds)
    return {
        "prevalence": prevalence,
        "thresholds": thresholds.tolist(),
        "model": [one.to_json() for one in model],
        "treat_all": treat_all.tolist(),
        "treat_none": [0.0] * thresholds.size,
        "over_treat_all": [
            Estimate(one.value - other, one.low - other, one.high - other).to_json()
            for one, other in zip(model, treat_all.tolist(), strict=True)
        ],
    }


SECTION = Section(
    "decision_curve",
    SHAPE,
    lambda judged, sampling: measure(*judged.images, prevalence=float(judged.images.labels.mean())),
    is_optional=True,
)
