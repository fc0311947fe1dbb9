"""Triage in three: how its two thresholds are chosen on validation, and what becomes of a split's images under them.

It must not read files. What the thresholds mean is in `nevus.core.triage`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nevus.assess.sections.section import Section
from nevus.assess.sections.shapes import count, estimated, flag, number, text
from nevus.assess.sections.thresholds import cuts, sensitivity_at_least
from nevus.assess.statistics.metrics import Bools, Floats
from nevus.assess.statistics.uncertainty import Groups, proportion
from nevus.assess.statistics.undefined import undefined
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


def fit(labels: Bools, risk: Floats, weights: Floats | None = None) -> Triage:
    """Chooses both thresholds. Where they would cross, the rule-out threshold is specific enough to rule in as well.

    Args:
        labels: bool [N], True for malignant, of validation, never of the test; both classes.
        risk: float64 [N] in [0, 1].
        weights: float64 [N] above 0, how much each image counts; None for all alike.
    """
    found = cuts(labels, risk, weights)
    rule_out = float(found.thresholds[sensitivity_at_least(RULE_OUT_SENSITIVITY)(found)])
    specific = found.false_positives / found.false_positives[-1] <= 1.0 - RULE_IN_SPECIFICITY
    if not specific.any():
        reason = f"no threshold reaches a validation specificity of {RULE_IN_SPECIFICITY}"
        return Triage(rule_out, undefined("the rule-in threshold", reason))
    return Triage(rule_out, max(rule_out, float(found.thresholds[specific][-1])))


def count_bands(low: Bools, high: Bools, labels: Bools, groups: Groups) -> dict[str, Any]:
    """What becomes of the images of one split: counts and shares with intervals.

    Args:
        low: bool [N], True for images that are ruled out.
        high: bool [N], True for images that are ruled in.
        labels: bool [N], True for malignant.
        groups: int64 [N].

    Returns:
        For each band the number of images by class, its share of all, and the share of it that is malignant;
        `sensitivity_of_rule_out`, the share of malignant images that is not called low, and
        `specificity_of_rule_in`, the share of benign images that is not called high.
    """
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


def measure(triage: Triage, labels: Bools, risk: Floats, groups: Groups) -> dict[str, Any]:
    """`count_bands` of risks, float64 [N] in [0, 1], at the thresholds of a triage."""
    return count_bands(risk < triage.rule_out, risk >= triage.rule_in, labels, groups)


def _to_json(triage: Triage, splits: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "triage": {
            **triage.to_json(),
            "rules": RULES,
            "has_uncertain_band": triage.has_uncertain_band,
            **splits,
        }
    }


_BAND = {"num_benign": count, "num_malignant": count, "share": estimated, "share_malignant": estimated}

SECTION = Section(
    "triage",
    {
        **dict.fromkeys(BANDS, _BAND),
        "sensitivity_of_rule_out": estimated,
        "specificity_of_rule_in": estimated,
    },
    lambda judged, sampling: count_bands(judged.low, judged.high, judged.images.labels, judged.images.groups),
    fit=lambda validation: fit(validation.images.labels, validation.images.risk, validation.weights),
    to_json=_to_json,
    form=lambda of_splits: {
        "triage?": {
            "rule_out": number,
            "rule_in": number,
            "rules": {"rule_out": text, "rule_in": text},
            "has_uncertain_band": flag,
            **of_splits,
        }
    },
    on_validation=True,
    is_optional=True,
)
