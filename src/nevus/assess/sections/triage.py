"""Triage in three: how its two thresholds are chosen on validation, and what becomes of a split's images under them.

It must not read files. What the thresholds mean stands in `nevus.core.triage`.
"""

from __future__ import annotations

from typing import Any

from nevus.assess.sections.thresholds import cuts, sensitivity_at_least
from nevus.assess.statistics.metrics import Bools, Floats, undefined
from nevus.assess.statistics.uncertainty import Groups, proportion
from nevus.core.triage import BANDS, Triage

RULE_OUT_SENSITIVITY = 0.98
RULE_IN_SPECIFICITY = 0.95

RULES = {
    "rule_out": (
        f"highest specificity at a validation sensitivity of at least {RULE_OUT_SENSITIVITY}, "
        "the most sensitive of equals"
    ),
    "rule_in": f"lowest threshold with a validation specificity of at least {RULE_IN_SPECIFICITY}",
}


def fit(labels: Bools, risk: Floats) -> Triage:
    """Chooses both thresholds. Where they would cross, the rule-out threshold is specific enough to rule in as well.

    Args:
        labels: bool [N], True for malignant, of validation, never of the test; both classes.
        risk: float64 [N] in [0, 1].
    """
    found = cuts(labels, risk)
    rule_out = float(found.thresholds[sensitivity_at_least(RULE_OUT_SENSITIVITY)(found)])
    specific = found.false_positives / found.false_positives[-1] <= 1.0 - RULE_IN_SPECIFICITY
    if not specific.any():
        reason = f"no threshold reaches a validation specificity of {RULE_IN_SPECIFICITY}"
        return Triage(rule_out, undefined("the rule-in threshold", reason))
    return Triage(rule_out, max(rule_out, float(found.thresholds[specific][-1])))


def measure(triage: Triage, labels: Bools, risk: Floats, groups: Groups) -> dict[str, Any]:
    """What becomes of the images of one split: counts and shares with intervals.

    Args:
        triage: the thresholds.
        labels: bool [N], True for malignant.
        risk: float64 [N] in [0, 1].
        groups: int64 [N].

    Returns:
        For each band the number of images by class, its share of all, and the share of it that is malignant;
        `sensitivity_of_rule_out`, the share of malignant images that is not called low, and
        `specificity_of_rule_in`, the share of benign images that is not called high.
    """
    low, high = risk < triage.rule_out, risk >= triage.rule_in
    bands = dict(zip(BANDS, (low, ~low & ~high, high), strict=True))
    return {
        **{
            name: {
                "num_benign": int((inside & ~labels).sum()),
                "num_malignant": int((inside & labels).sum()),
                "share": proportion(inside, groups).to_json(),
                "share_malignant": proportion(labels[inside], groups[inside]).to_json(),
            }
            for name, inside in bands.items()
        },
        "sensitivity_of_rule_out": proportion(~low[labels], groups[labels]).to_json(),
        "specificity_of_rule_in": proportion(~high[~labels], groups[~labels]).to_json(),
    }
