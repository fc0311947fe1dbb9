"""Triage in three: low, uncertain and high risk, from a rule-out and a rule-in threshold.

Owns both thresholds, which are chosen on validation, and what becomes of the images
of a split under them. A risk below `rule_out` is low, one at or over `rule_in` is
high, all others are uncertain: for a person to look at. It must not read files.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nevus.assess.metrics import Bools, Floats, undefined
from nevus.assess.thresholds import cuts, sensitivity_at_least
from nevus.assess.uncertainty import Groups, proportion

RULE_OUT_SENSITIVITY = 0.98
RULE_IN_SPECIFICITY = 0.95

RULES = {
    "rule_out": f"highest threshold with a validation sensitivity of at least {RULE_OUT_SENSITIVITY}",
    "rule_in": f"lowest threshold with a validation specificity of at least {RULE_IN_SPECIFICITY}",
}


@dataclass(frozen=True, slots=True)
class Triage:
    """The two thresholds of a triage.

    Attributes:
        rule_out: in [0, 1]: a risk below it is low.
        rule_in: `rule_out` or more: a risk at or over it is high; NaN if no threshold is specific enough, when
            none is.
    """

    rule_out: float
    rule_in: float

    @property
    def has_uncertain_band(self) -> bool:
        """False if one threshold does for both rules."""
        return self.rule_in != self.rule_out

    def to_json(self) -> dict[str, float]:
        return {"rule_out": self.rule_out, "rule_in": self.rule_in}


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
    bands = {"low": low, "uncertain": ~low & ~high, "high": high}
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
