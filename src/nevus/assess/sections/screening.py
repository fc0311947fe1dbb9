"""What sensitivity, specificity and risk mean where malignant lesions are rarer than in the dataset.

Owns the step from a dataset to a named prevalence, by Bayes' theorem: predictive
values, the number needed to refer, and the prevalence that a model's risks assume.
Risks themselves are re-based by `nevus.core.prevalence`, under the assumption named
there. It must not choose thresholds or read files.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from nevus.assess.sections import decision_curve
from nevus.assess.sections.metric import Sampling
from nevus.assess.sections.section import Judged, Section, Validation
from nevus.assess.sections.shapes import estimated, known, number, text
from nevus.assess.statistics import calibration
from nevus.assess.statistics.metrics import Bools, Floats
from nevus.assess.statistics.uncertainty import Groups, proportion
from nevus.assess.statistics.undefined import undefined
from nevus.core.estimate import Estimate
from nevus.core.prevalence import odds

# The decision curve of a screening is drawn to this multiple of the prevalence: higher risks are not weighed there.
_MOST_TIMES_PREVALENCE = 5.0


def ppv_at(prevalence: float, sensitivity: Estimate, specificity: Estimate) -> Estimate:
    """The share of malignant among those called malignant, at a prevalence, by Bayes' theorem [1].

    The odds of being malignant are the prior odds times sensitivity / (1 - specificity). The interval
    is that of this ratio, by `ratio`; the prevalence is taken as known.

    Args:
        prevalence: in (0, 1).
        sensitivity: with its interval.
        specificity: with its interval.

    Returns:
        NaN where a class is absent or nobody is called malignant.

    References:
        [1] Altman & Bland, Diagnostic tests 2: predictive values, BMJ 309 (1994).
    """
    return _from_odds(odds(prevalence), ratio(sensitivity, _complement(specificity)))


def npv_at(prevalence: float, sensitivity: Estimate, specificity: Estimate) -> Estimate:
    """The share of benign among those called benign, at a prevalence; as `ppv_at`, with the classes exchanged."""
    return _from_odds(1.0 / odds(prevalence), ratio(specificity, _complement(sensitivity)))


def number_needed_to_refer(ppv: Estimate) -> Estimate:
    """How many are called malignant for each one that is: 1 / PPV; infinite where the PPV is 0."""
    value, low, high = (math.inf if share == 0.0 else 1.0 / share for share in (ppv.value, ppv.high, ppv.low))
    return Estimate(value, low, high)


def ratio(above: Estimate, below: Estimate) -> Estimate:
    """The ratio of two independent proportions; its interval recovers their variances from their own intervals [1, 2].

    So the ratio inherits what those intervals allow for: small numbers, shares of 0 and 1, groups.

    Returns:
        An infinite value or upper end where `below` or its lower end is 0; NaN where both proportions are 0 or
        one of them is NaN.

    References:
        [1] Donner & Zou, Closed-form confidence intervals for functions of the normal mean and standard
            deviation, Statistical Methods in Medical Research 21 (2012).
        [2] Newcombe, MOVER-R confidence intervals for ratios and products of two independently estimated
            quantities, Statistical Methods in Medical Research 25 (2016).
    """
    if math.isnan(above.value) or math.isnan(below.value) or above.value == below.value == 0.0:
        return Estimate(math.nan, math.nan, math.nan)
    product = above.value * below.value

    def part(share: float, end: float) -> float:
        return end * (2.0 * share - end)

    def root(above_end: float, below_end: float) -> float:
        parts = part(above.value, above_end) * part(below.value, below_end)
        return math.sqrt(max(product**2 - parts, 0.0))  # Rounding can carry it a hair below 0.

    # The ends solve a quadratic; of the two forms of a solution each end takes the one that does not divide 0 by 0.
    low = part(above.value, above.low) / (product + root(above.low, below.high)) if above.value > 0.0 else 0.0
    high = _divided(product + root(above.high, below.low), part(below.value, below.low))
    return Estimate(_divided(above.value, below.value), low, high)


def assumed_prevalence(labels: Bools, risk: Floats, groups: Groups) -> float:
    """The share of malignant lesions for which the risks of a model are right, as far as one shift can make them so.

    It is the prevalence here, its odds divided by those of the shift that makes the risks add up to the number
    of malignant images here (the calibration intercept [1]). The shift matters: class weights in training make
    risks that belong to another prevalence than the dataset's, and a temperature does not undo it.

    Args:
        labels: bool [N], True for malignant, of validation, never of the test.
        risk: float64 [N] in [0, 1].
        groups: int64 [N].

    Returns:
        In (0, 1); NaN, with a warning, if a class is absent.

    References:
        [1] Steyerberg et al., Validation and updating of predictive logistic regression models, Statistics in
            Medicine 23 (2004).
    """
    intercept = calibration.calibration_line(labels, risk, groups).intercept.value
    if math.isnan(intercept):
        return undefined("the prevalence that the risks assume", "a class is absent from validation")
    there = odds(float(labels.mean())) * math.exp(-intercept)
    return there / (1.0 + there)


def measure(
    prevalence: float,
    at_points: Mapping[str, tuple[Estimate, Estimate]],
    risk_at_thresholds: Mapping[str, float | list[float]],
    images: tuple[Bools, Floats, Groups],
) -> dict[str, Any]:
    """What a screening would mean, by the images of one version of the test.

    Args:
        prevalence: in (0, 1).
        at_points: sensitivity and specificity on these images by operating point.
        risk_at_thresholds: by operating point what its threshold, or that of each fold, means at `prevalence`.
        images: labels bool [N], risk float64 [N] in [0, 1], re-based to `prevalence`, and groups int64 [N].
    """
    labels, risk, groups = images
    rows = []
    for name, risk_at_threshold in risk_at_thresholds.items():
        sensitivity, specificity = at_points[name]
        ppv = ppv_at(prevalence, sensitivity, specificity)
        rows.append(
            {
                "name": name,
                "risk_at_threshold": risk_at_threshold,
                "ppv": ppv.to_json(),
                "npv": npv_at(prevalence, sensitivity, specificity).to_json(),
                "number_needed_to_refer": number_needed_to_refer(ppv).to_json(),
            }
        )
    highest = min(1.0, _MOST_TIMES_PREVALENCE * prevalence)
    return {
        "operating_points": rows,
        "decision_curve": decision_curve.measure(labels, risk, groups, prevalence, decision_curve.THRESHOLDS * highest),
    }


def _from_odds(prior: float, likelihood: Estimate) -> Estimate:
    def share(likelihood_ratio: float) -> float:
        posterior = prior * likelihood_ratio
        return 1.0 if math.isinf(posterior) else posterior / (1.0 + posterior)

    return Estimate(share(likelihood.value), share(likelihood.low), share(likelihood.high))


def _complement(share: Estimate) -> Estimate:
    return Estimate(1.0 - share.value, 1.0 - share.high, 1.0 - share.low)


def _divided(above: float, below: float) -> float:
    return math.inf if below == 0.0 else above / below


def _fit(validation: Validation) -> float:
    return assumed_prevalence(*validation.images)


def _measure(judged: Judged, sampling: Sampling) -> dict[str, Any] | None:
    if judged.elsewhere is None:
        return None
    labels, _, groups = judged.images
    at_points = {
        name: (proportion(decided[labels], groups[labels]), proportion(~decided[~labels], groups[~labels]))
        for name, decided in judged.decisions.items()
    }
    there = judged.elsewhere
    return measure(there.prevalence, at_points, there.risk_at_thresholds, (labels, there.risk, groups))


def _to_json(assumed: float, splits: Mapping[str, Any]) -> dict[str, Any]:
    if not splits:
        return {"screening": None}
    prevalence = next(iter(splits.values()))["decision_curve"]["prevalence"]
    return {"screening": {"prevalence": prevalence, "assumed_prevalence": assumed, **splits}}


SCREENED = {
    "name": text,
    "risk_at_threshold": number,
    **dict.fromkeys(("ppv", "npv", "number_needed_to_refer"), estimated),
}

SECTION = Section(
    "screening",
    {"operating_points": [SCREENED], "decision_curve": decision_curve.SHAPE},
    _measure,
    fit=_fit,
    to_json=_to_json,
    form=lambda of_splits: {"screening?": {"prevalence": known, "assumed_prevalence": number, **of_splits}},
    is_optional=True,
)
