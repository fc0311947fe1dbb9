"""Decisions at operating points: what thresholds that validation chose make of a split, with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from nevus.assess.sections import thresholds
from nevus.assess.sections.inputs import Scored
from nevus.assess.sections.metric import Bootstrapped, Metric, Part, Sampling, Share, Surface, estimate
from nevus.assess.sections.section import Section, Validation
from nevus.assess.sections.shapes import count, estimated, known, text
from nevus.assess.statistics import metrics
from nevus.assess.statistics.metrics import Bools
from nevus.core.operating_point import OperatingPoint


class Decided(NamedTuple):
    """What is judged: the truth, bool [N], True for malignant; and the decision, bool [N], True for called so."""

    labels: Bools
    decided: Bools


_ALTMAN_1 = "Altman and Bland, BMJ 308:1552 (1994)"
_ALTMAN_2 = "Altman and Bland, BMJ 309:102 (1994)"
_COMPARED = frozenset({Surface.COMPARISON, Surface.DIFFERENCE})

DECISIONS = (
    Metric(
        "sensitivity",
        "Sensitivity",
        "of the malignant images, the share that is found; also called recall",
        _ALTMAN_1,
        Share(lambda images: (images.labels, images.decided), "no image is malignant"),
        _COMPARED | {Surface.TERMINAL, Surface.CARD, Surface.SUBGROUPS},
        "TP / (TP + FN)",
        hub="recall",
    ),
    Metric(
        "specificity",
        "Specificity",
        "of the benign images, the share that is not called malignant",
        _ALTMAN_1,
        Share(lambda images: (~images.labels, ~images.decided), "no image is benign"),
        _COMPARED | {Surface.TERMINAL, Surface.CARD, Surface.SUBGROUPS},
        "TN / (TN + FP)",
    ),
    Metric(
        "ppv",
        "PPV",
        "positive predictive value: of the images called malignant, the share that is malignant; also called precision",
        _ALTMAN_2,
        Share(lambda images: (images.decided, images.labels), "no image is called malignant"),
        frozenset({Surface.COMPARISON, Surface.SUBGROUPS}),
        "TP / (TP + FP)",
    ),
    Metric(
        "npv",
        "NPV",
        "negative predictive value: of the images called benign, the share that is benign",
        _ALTMAN_2,
        Share(lambda images: (~images.decided, ~images.labels), "no image is called benign"),
        frozenset({Surface.COMPARISON}),
        "TN / (TN + FN)",
    ),
    Metric(
        "accuracy",
        "Accuracy",
        "the share of right decisions; at a prevalence of .02, calling all images benign gets .98",
        _ALTMAN_1,
        Share(lambda images: (np.ones_like(images.labels), images.labels == images.decided)),
        _COMPARED | {Surface.TERMINAL_WITHOUT_INTERVAL},
        "(TP + TN) / all",
    ),
    Metric(
        "balanced_accuracy",
        "Balanced accuracy",
        "accuracy as if both classes had the same size; .5 for guessing",
        "Brodersen et al., ICPR 2010",
        Bootstrapped(lambda images: metrics.balanced_accuracy(*images), metrics.weighted_balanced_accuracy),
        frozenset(),
        "(sensitivity + specificity) / 2",
    ),
    Metric(
        "kappa",
        "Cohen's kappa",
        "the agreement of decision and truth beyond chance",
        "Cohen, Educational and Psychological Measurement 20:37 (1960)",
        Bootstrapped(lambda images: metrics.kappa(*images), metrics.weighted_kappa),
        frozenset(),
        "(agreement - chance) / (1 - chance)",
    ),
    Metric(
        "f1",
        "F1",
        "the harmonic mean of PPV and sensitivity; ignores the true negatives",
        "van Rijsbergen, Information Retrieval (1979)",
        Bootstrapped(lambda images: metrics.f1(*images), metrics.weighted_f1),
        frozenset({Surface.COMPARISON, Surface.TERMINAL_WITHOUT_INTERVAL}),
        "2 TP / (2 TP + FP + FN)",
    ),
)

SHAPE = {
    **dict.fromkeys(("true_positives", "false_positives", "true_negatives", "false_negatives"), count),
    **{metric.name: estimated for metric in DECISIONS},
}


def decide(images: Scored, points: Sequence[OperatingPoint]) -> dict[str, Bools]:
    """bool [N] by name of the operating point: which images are called malignant at its threshold."""
    return {point.name: images.risk >= point.threshold for point in points}


def measure(images: Scored, decisions: Mapping[str, Bools], sampling: Sampling) -> dict[str, dict[str, Any]]:
    """Counts and metrics of one split at each operating point.

    Args:
        images: labels bool [N], risk float64 [N] in [0, 1] and groups int64 [N].
        decisions: bool [N] by name of the operating point, True for called malignant.
        sampling: of the bootstrap.
    """
    labels, _, groups = images
    hows = {metric.name: metric.how for metric in DECISIONS}
    parts = {
        name: Part(hows, Decided(labels, decided), partial(metrics.weighted_counts, labels, decided), f" at {name}")
        for name, decided in decisions.items()
    }
    found = estimate(parts, groups, sampling)
    return {
        name: {
            **asdict(metrics.confusion(labels, decided)),
            **{metric: one.to_json() for metric, one in found[name].items()},
        }
        for name, decided in decisions.items()
    }


def _fit(validation: Validation) -> list[OperatingPoint]:
    return thresholds.fit(
        validation.predictions,
        validation.temperature,
        fingerprint=validation.fingerprint,
        weights=validation.weights,
    )


def _to_json(points: list[OperatingPoint], splits: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "operating_points": [
            {**point.to_json(), **{split: at_points[point.name] for split, at_points in splits.items()}}
            for point in points
        ]
    }


SECTION = Section(
    "operating_points",
    SHAPE,
    lambda judged, sampling: measure(judged.images, judged.decisions, sampling),
    fit=_fit,
    to_json=_to_json,
    form=lambda of_splits: {"operating_points": [{"name": text, "rule": text, "threshold": known, **of_splits}]},
    on_validation=True,
)
