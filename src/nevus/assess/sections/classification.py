"""Which class is it? The figures of the class probabilities, class by class and over all, with intervals.

Owns which figures the classes get, by which method their intervals are made, and the
threshold that validation chooses for each class. The figures of the risk stand in
`split_figures`. Two classes take the same way: what would only repeat a figure of the
risk (a threshold a class) or is always 1 (top 2) is left out there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from nevus.assess.sections import thresholds
from nevus.assess.statistics import class_metrics, delong, metrics, uncertainty
from nevus.assess.statistics.class_metrics import Labels
from nevus.assess.statistics.metrics import Bools, Floats
from nevus.assess.statistics.uncertainty import Groups, group_codes
from nevus.core.estimate import Estimate
from nevus.core.operating_point import OperatingPoint
from nevus.core.predictions import Predictions

# By name, in the order in which they are shown: the figures over all classes.
RANKING = {
    "macro_roc_auc": "Macro ROC-AUC",
    "weighted_roc_auc": "Weighted ROC-AUC",
    "macro_average_precision": "Macro average precision",
    "weighted_average_precision": "Weighted average precision",
}
MOST_PROBABLE = {
    "balanced_accuracy": "Balanced accuracy",
    "kappa": "Cohen's kappa",
    "accuracy": "Accuracy",
    "top_2_accuracy": "Top-2 accuracy",
}
FIGURES = {**RANKING, **MOST_PROBABLE}


def shown_figures(num_classes: int) -> dict[str, str]:
    """The titles of `FIGURES` that tell something new: of two classes, the ranking is that of the risk."""
    return (
        FIGURES
        if num_classes > 2
        else {name: MOST_PROBABLE[name] for name in ("accuracy", "balanced_accuracy", "kappa")}
    )


def fit(predictions: Predictions, temperature: float, rule: str, *, fingerprint: str = "") -> dict[str, OperatingPoint]:
    """Chooses a threshold on the probability of each class against the rest, by one rule of `thresholds.RULES`.

    Args:
        predictions: of the validation split, never of the test.
        temperature: above 0; logits are divided by it.
        rule: the name of the rule.
        fingerprint: SHA-256 of the file the predictions were read from; empty if from none.

    Returns:
        A point by class name; sensitivity and specificity are those of finding the class. None for a class
        without images, with a warning. Empty for two classes, where a threshold on the risk is one on both.
    """
    names = predictions.classes.names
    if len(names) == 2:
        return {}
    probabilities, groups = predictions.probabilities(temperature), group_codes(predictions.groups)
    points = {}
    for index, name in enumerate(names):
        is_class = predictions.labels == index
        if not is_class.any() or is_class.all():
            metrics.undefined(
                f"the threshold of class '{name}'", f"{'all images are' if is_class.any() else 'no image is'} of it"
            )
            continue
        scores = _one_against_rest(probabilities, index)
        points[name] = thresholds.choose(rule, is_class, scores, groups, fingerprint=fingerprint)
    return points


def called(predictions: Predictions, temperature: float, points: Mapping[str, OperatingPoint]) -> dict[str, Bools]:
    """bool [N] by class name: whether an image is called that class, at its point. It may be several, or none."""
    probabilities = predictions.probabilities(temperature)
    return {
        name: _one_against_rest(probabilities, predictions.classes.names.index(name)) >= point.threshold
        for name, point in points.items()
    }


def measure(
    predictions: Predictions, temperature: float, called: Mapping[str, Bools], *, resamples: int, seed: int
) -> dict[str, Any]:
    """Every figure of the classes on one split, with intervals.

    Args:
        predictions: of the split.
        temperature: above 0; logits are divided by it.
        called: as from `called`, for the figures at the thresholds of the classes.
        resamples: of the bootstrap.
        seed: of the bootstrap.

    Returns:
        `FIGURES`, `confusion` and `classes`, as docs/evaluation.md describes them.
    """
    names, labels = predictions.classes.names, predictions.labels
    probabilities, groups = predictions.probabilities(temperature), group_codes(predictions.groups)
    named = class_metrics.most_probable(probabilities)
    counts = class_metrics.count_matrix(labels, named, len(names))
    for name, size in zip(names, counts.sum(axis=1), strict=True):
        if size == 0:
            metrics.undefined(f"what needs class '{name}'", "no image is of it")
    areas = [_roc_auc(labels == index, _one_against_rest(probabilities, index), groups) for index in range(len(names))]
    values = _bootstrapped(predictions, probabilities, named, np.ones((1, labels.size)))
    ends = _bootstrap(predictions, probabilities, named, values, resamples, seed)
    estimates = {name: Estimate(float(value[0]), *ends[name]).to_json() for name, value in values.items()}
    sensitivities = [_share(labels == index, named == index, groups) for index in range(len(names))]
    estimates["macro_roc_auc"] = delong.macro_roc_auc(labels, probabilities, groups).to_json()
    estimates["balanced_accuracy"] = uncertainty.mean_of_independent(sensitivities).to_json()
    result = {
        **{name: estimates[name] for name in FIGURES if name in estimates},
        "accuracy": uncertainty.proportion(labels == named, groups).to_json(),
    }
    if len(names) > 2:
        in_top = class_metrics.in_top(labels, probabilities)
        result["top_2_accuracy"] = uncertainty.proportion(in_top, groups).to_json()
    return {
        **result,
        "confusion": [
            {
                "counts": row.tolist(),
                "shares": [_share(labels == truth, named == column, groups).to_json() for column in range(len(names))],
            }
            for truth, row in enumerate(counts)
        ],
        "classes": [
            {
                "name": name,
                "num_images": int(counts[index].sum()),
                "num_groups": int(np.unique(groups[labels == index]).size),
                "roc_auc": areas[index].to_json(),
                "average_precision": estimates[_average_precision_of(name)],
                "sensitivity": sensitivities[index].to_json(),
                "ppv": _share(named == index, labels == index, groups).to_json(),
                "at_threshold": _at_threshold(labels == index, called[name], groups) if name in called else None,
            }
            for index, name in enumerate(names)
        ],
    }


def _one_against_rest(probabilities: Floats, index: int) -> Floats:
    """float64 [N]: the probability of a class; rounding can carry a softmax past 1."""
    return np.asarray(np.minimum(probabilities[:, index], 1.0))


def _average_precision_of(name: str) -> str:
    return f"average precision of class '{name}'"


def _roc_auc(is_class: Bools, scores: Floats, groups: Groups) -> Estimate:
    if is_class.all() or not is_class.any():
        return Estimate(np.nan, np.nan, np.nan)
    return delong.roc_auc(is_class, scores, groups)


def _share(counted: Bools, right: Bools, groups: Groups) -> Estimate:
    return uncertainty.proportion(right[counted], groups[counted])


def _at_threshold(is_class: Bools, decided: Bools, groups: Groups) -> dict[str, Any]:
    return {
        "sensitivity": _share(is_class, decided, groups).to_json(),
        "specificity": _share(~is_class, ~decided, groups).to_json(),
        "ppv": _share(decided, is_class, groups).to_json(),
    }


def _bootstrapped(predictions: Predictions, probabilities: Floats, named: Labels, weights: Floats) -> dict[str, Floats]:
    """The figures whose intervals need resampling, float64 [R] each, under weights float64 [R, N]."""
    labels, names = predictions.labels, predictions.classes.names
    areas = [metrics.weighted_areas(labels == index, probabilities[:, index], weights) for index in range(len(names))]
    roc_auc, average_precision = (np.stack(of_classes, axis=-1) for of_classes in zip(*areas, strict=True))
    matrices = class_metrics.weighted_matrices(labels, named, len(names), weights)
    return {
        "weighted_roc_auc": class_metrics.weighted_mean_of_classes(roc_auc, matrices),
        "macro_average_precision": class_metrics.mean_of_classes(average_precision),
        "weighted_average_precision": class_metrics.weighted_mean_of_classes(average_precision, matrices),
        "kappa": class_metrics.kappa(matrices),
        **{_average_precision_of(name): average_precision[:, index] for index, name in enumerate(names)},
    }


def _bootstrap(
    predictions: Predictions,
    probabilities: Floats,
    named: Labels,
    values: Mapping[str, Floats],
    resamples: int,
    seed: int,
) -> dict[str, tuple[float, float]]:
    """The intervals of `values`, from one set of resamples; what is not defined has none."""
    nowhere = dict.fromkeys(values, (np.nan, np.nan))
    defined = [name for name, value in values.items() if not np.isnan(value[0])]
    if not defined:
        return nowhere

    def figures(weights: Floats) -> Floats:
        found = _bootstrapped(predictions, probabilities, named, weights)
        return np.stack([found[name] for name in defined])

    groups = group_codes(predictions.groups)
    return {**nowhere, **uncertainty.bootstrap(figures, defined, groups, resamples=resamples, seed=seed)}
