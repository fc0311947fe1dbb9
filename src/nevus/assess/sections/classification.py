"""Which class is it? The metrics of the class probabilities, class by class and over all, with intervals.

Owns which metrics the classes get, by which method their intervals are made, and the
threshold that validation chooses for each class. The metrics of the risk are in
`scores` and `decisions`. Two classes take the same path: what would only repeat a metric of the
risk (a threshold a class) or is always 1 (top 2) is left out there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from nevus.assess.sections import thresholds
from nevus.assess.sections.classified import CLASSIFICATION, MOST_PROBABLE, RANKING, TOP_2, Classified, resampled
from nevus.assess.sections.metric import Bootstrapped, Part, Sampling, estimate
from nevus.assess.sections.section import Section
from nevus.assess.sections.shapes import count, estimated, known, text
from nevus.assess.statistics import class_metrics, delong, uncertainty
from nevus.assess.statistics.metrics import Bools, Floats
from nevus.assess.statistics.uncertainty import Groups, group_codes
from nevus.assess.statistics.undefined import undefined
from nevus.core.estimate import Estimate
from nevus.core.operating_point import OperatingPoint
from nevus.core.predictions import Predictions


def fit(
    predictions: Predictions,
    temperature: float,
    rule: str,
    *,
    fingerprint: str = "",
    weights: Floats | None = None,
) -> dict[str, OperatingPoint]:
    """Chooses a threshold on the probability of each class against the rest, by one rule of `thresholds.RULES`.

    Args:
        predictions: of the validation split, never of the test.
        temperature: above 0; logits are divided by it.
        rule: the name of the rule.
        fingerprint: SHA-256 of the file the predictions were read from; empty if from none.
        weights: float64 [N] above 0, how much each image counts; None for all alike.

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
            undefined(
                f"the threshold of class '{name}'", f"{'all images are' if is_class.any() else 'no image is'} of it"
            )
            continue
        scores = _one_against_rest(probabilities, index)
        points[name] = thresholds.choose(rule, is_class, scores, groups, fingerprint=fingerprint, weights=weights)
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
    """Every metric of the classes on one split, with intervals.

    Args:
        predictions: of the split.
        temperature: above 0; logits are divided by it.
        called: as from `called`, for the metrics at the thresholds of the classes.
        resamples: of the bootstrap.
        seed: of the bootstrap.

    Returns:
        `CLASSIFICATION`, `confusion` and `classes`, as docs/evaluation.md describes them.
    """
    classified = Classified(predictions, temperature)
    names, labels, named, groups = classified.names, classified.labels, classified.named, classified.groups
    counts = class_metrics.count_matrix(labels, named, len(names))
    for name, size in zip(names, counts.sum(axis=1), strict=True):
        if size == 0:
            undefined(f"what needs class '{name}'", "no image is of it")
    rows = CLASSIFICATION if len(names) > 2 else (*RANKING, *MOST_PROBABLE)
    hows = {metric.name: metric.how for metric in rows}
    hows |= {_average_precision_of(name): _average_precision(index) for index, name in enumerate(names)}
    part = Part(hows, classified, classified.weigh)
    estimates = estimate({"": part}, groups, Sampling(resamples, seed), labels)[""]
    return {
        **{metric.name: estimates[metric.name].to_json() for metric in rows},
        "confusion": [
            {
                "counts": row.tolist(),
                "shares": [
                    uncertainty.share(labels == truth, named == column, groups).to_json()
                    for column in range(len(names))
                ],
            }
            for truth, row in enumerate(counts)
        ],
        "classes": [
            {
                "name": name,
                "num_images": int(counts[index].sum()),
                "num_groups": int(np.unique(groups[labels == index]).size),
                "roc_auc": _roc_auc(
                    labels == index, _one_against_rest(classified.probabilities, index), groups
                ).to_json(),
                "average_precision": estimates[_average_precision_of(name)].to_json(),
                "sensitivity": classified.sensitivities[index].to_json(),
                "ppv": uncertainty.share(named == index, labels == index, groups).to_json(),
                "at_threshold": _at_threshold(labels == index, called[name], groups) if name in called else None,
            }
            for index, name in enumerate(names)
        ],
    }


def _average_precision(index: int) -> Bootstrapped:
    return resampled(lambda under: under.average_precision[:, index])


def _one_against_rest(probabilities: Floats, index: int) -> Floats:
    """float64 [N]: the probability of a class; rounding can carry a softmax past 1."""
    return np.asarray(np.minimum(probabilities[:, index], 1.0))


def _average_precision_of(name: str) -> str:
    return f"average precision of class '{name}'"


def _roc_auc(is_class: Bools, scores: Floats, groups: Groups) -> Estimate:
    if is_class.all() or not is_class.any():
        return Estimate(np.nan, np.nan, np.nan)
    return delong.roc_auc(is_class, scores, groups)


def _at_threshold(is_class: Bools, decided: Bools, groups: Groups) -> dict[str, Any]:
    return {
        "sensitivity": uncertainty.share(is_class, decided, groups).to_json(),
        "specificity": uncertainty.share(~is_class, ~decided, groups).to_json(),
        "ppv": uncertainty.share(decided, is_class, groups).to_json(),
    }


_SHARES = dict.fromkeys(("sensitivity", "specificity", "ppv"), estimated)

SHAPE = {
    **{metric.name: estimated for metric in (*RANKING, *MOST_PROBABLE)},
    f"{TOP_2.name}?": estimated,
    "confusion": [{"counts": [count], "shares": [estimated]}],
    "classes": [
        {
            "name": text,
            **dict.fromkeys(("num_images", "num_groups"), count),
            **dict.fromkeys(("roc_auc", "average_precision", "sensitivity", "ppv"), estimated),
            "at_threshold?": _SHARES,
        }
    ],
}

SECTION = Section(
    "classification",
    SHAPE,
    lambda judged, sampling: measure(judged.predictions, judged.temperature, judged.called, **sampling._asdict()),
    fit=lambda validation: fit(
        validation.predictions,
        validation.temperature,
        validation.default_point,
        fingerprint=validation.fingerprint,
        weights=validation.weights,
    ),
    to_json=lambda points, splits: {
        "classification": {"operating_points": {name: point.to_json() for name, point in points.items()}, **splits}
    },
    form=lambda of_splits: {
        "classification": {"operating_points": {"*": {"name": text, "rule": text, "threshold": known}}, **of_splits}
    },
    on_validation=True,
)
