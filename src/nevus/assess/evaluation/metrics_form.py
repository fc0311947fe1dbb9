"""The form of metrics.json, as the report relies on it: a shape, in the words of `shapes`, for each section.

Owns which fields must be there. The full form stands in docs/evaluation.md.
"""

from __future__ import annotations

from typing import Any

from nevus.assess.evaluation.shapes import count, figure, flag, known, number, positive, text
from nevus.assess.sections import classification
from nevus.core.split_names import WITHOUT_LEAKS

DECISION_FIGURES = ("sensitivity", "specificity", "ppv", "npv", "f1", "accuracy", "balanced_accuracy", "kappa")

SPLIT = {
    **dict.fromkeys(("num_images", "num_groups", "num_malignant"), count),
    "prevalence": number,
    **dict.fromkeys(("roc_auc", "average_precision", "brier"), figure),
}
AT_POINT = {
    **dict.fromkeys(("true_positives", "false_positives", "true_negatives", "false_negatives"), count),
    **dict.fromkeys(DECISION_FIGURES, figure),
}
_SHARES = dict.fromkeys(("sensitivity", "specificity", "ppv"), figure)
CLASSIFICATION = {
    **{name if name != "top_2_accuracy" else f"{name}?": figure for name in classification.FIGURES},
    "confusion": [{"counts": [count], "shares": [figure]}],
    "classes": [
        {
            "name": text,
            **dict.fromkeys(("num_images", "num_groups"), count),
            **dict.fromkeys(("roc_auc", "average_precision", "sensitivity", "ppv"), figure),
            "at_threshold?": _SHARES,
        }
    ],
}
CLASS_POINTS = {"*": {"name": text, "rule": text, "threshold": known}}
CALIBRATION = {
    **dict.fromkeys(("brier", "ece", "slope", "intercept"), figure),
    **dict.fromkeys(
        ("brier_reliability", "brier_resolution", "brier_uncertainty", "ece_of_perfect_risks"),
        number,
    ),
    "reliability": [{"mean_risk": known, "observed": figure, "num_images": count}],
}
DECISION_CURVE = {
    "prevalence": known,
    "thresholds": [known],
    "model": [figure],
    "treat_all": [number],
    "treat_none": [number],
}
_BAND = {"num_benign": count, "num_malignant": count, "share": figure, "share_malignant": figure}
TRIAGE = {
    **dict.fromkeys(("low", "uncertain", "high"), _BAND),
    "sensitivity_of_rule_out": figure,
    "specificity_of_rule_in": figure,
}
SCREENED = {
    "name": text,
    "risk_at_threshold": number,
    **dict.fromkeys(("ppv", "npv", "number_needed_to_refer"), figure),
}
_CONFORMAL = {
    "coverage": {"*": figure},
    "coverage_all": figure,
    "mean_set_size": number,
    "set_sizes": [{"size": count, "num_images": count, "share": figure}],
}
GAP = {**dict.fromkeys(("column", "figure", "lowest", "highest"), text), "gap": figure}
SUBGROUP = {
    **dict.fromkeys(("column", "value"), text),
    "too_small": flag,
    **dict.fromkeys(("num_images", "num_malignant", "num_benign"), count),
    **dict.fromkeys(("roc_auc", "sensitivity", "specificity", "ppv"), figure),
}


def _of_tests(shape: Any) -> dict[str, Any]:
    """A section that the test has as published and, where it leaks, without the leaked images."""
    return {"test": shape, f"{WITHOUT_LEAKS}?": shape}


METRICS = {
    "generated": flag,
    "classes": {"names": [text], "malignant": [text]},
    "temperature": positive,
    "interval_methods": {"*": text},
    "fingerprints": {"dataset": text, "predictions": {"*": text}},
    "splits": {"val": SPLIT, **_of_tests(SPLIT)},
    "leak?": {"num_images": count, "num_groups": count, "also_in": {"*": count}},
    "operating_points": [
        {
            "name": text,
            "rule": text,
            "threshold": known,
            "val": AT_POINT,
            **_of_tests(AT_POINT),
        }
    ],
    "classification": {
        "operating_points": CLASS_POINTS,
        "val": CLASSIFICATION,
        **_of_tests(CLASSIFICATION),
    },
    "calibration?": {
        "val": {"before": CALIBRATION, "after": CALIBRATION},
        **_of_tests({"before": CALIBRATION, "after": CALIBRATION, "isotonic?": CALIBRATION}),
    },
    "screening?": {
        "prevalence": known,
        "assumed_prevalence": number,
        **_of_tests({"operating_points": [SCREENED], "decision_curve": DECISION_CURVE}),
    },
    "decision_curve?": _of_tests(DECISION_CURVE),
    "triage?": {
        "rule_out": number,
        "rule_in": number,
        "rules": {"rule_out": text, "rule_in": text},
        "has_uncertain_band": flag,
        "val": TRIAGE,
        **_of_tests(TRIAGE),
    },
    "conformal?": [{"alpha": number, **_of_tests(_CONFORMAL)}],
    "subgroups?": _of_tests([SUBGROUP]),
    "subgroup_gaps?": _of_tests([GAP]),
    "warnings": [text],
}
