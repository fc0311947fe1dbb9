"""Which class is it? The figures of the class probabilities, class by class and over all, with intervals.

Owns which figures the classes get, by which method their intervals are made, and the
threshold that validation chooses for each class. The figures of the risk stand in
`split_figures`. Two classes take the same way: what would only repeat a figure of the
risk (a threshold a class) or is always 1 (top 2) is left out there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from nevus.assess.sections import thresholds
from nevus.assess.sections.metric import Bootstrapped, Direct, Metric, Part, Sampling, Share, Surface, estimate
from nevus.assess.sections.section import Section
from nevus.assess.sections.shapes import count, estimated, known, text
from nevus.assess.statistics import class_metrics, delong, metrics, paired, uncertainty
from nevus.assess.statistics.metrics import Bools, Floats
from nevus.assess.statistics.uncertainty import Groups, group_codes
from nevus.assess.statistics.undefined import undefined
from nevus.core.estimate import Estimate
from nevus.core.operating_point import OperatingPoint
from nevus.core.predictions import Predictions


class Classified:
    """The class probabilities of a split's N images, and what several metrics need of them."""

    def __init__(self, predictions: Predictions, temperature: float) -> None:
        self.names = predictions.classes.names
        self.labels = predictions.labels
        self.probabilities = predictions.probabilities(temperature)
        self.groups = group_codes(predictions.groups)
        self.named = class_metrics.most_probable(self.probabilities)
        self.sensitivities = [
            _share(self.labels == index, self.named == index, self.groups) for index in range(len(self.names))
        ]

    @cached_property
    def unweighted(self) -> Weighed:
        """Every image once."""
        return self.weigh(np.ones((1, self.labels.size)))

    def weigh(self, weights: Floats) -> Weighed:
        """The areas and the confusion matrix under weights, float64 [R, N]."""
        areas = [
            metrics.weighted_areas(self.labels == index, self.probabilities[:, index], weights)
            for index in range(len(self.names))
        ]
        roc_auc, average_precision = (np.stack(of_classes, axis=-1) for of_classes in zip(*areas, strict=True))
        matrices = class_metrics.weighted_matrices(self.labels, self.named, len(self.names), weights)
        return Weighed(roc_auc, average_precision, matrices)


class Weighed(NamedTuple):
    """Under R sets of weights: ROC-AUC and average precision float64 [R, C], confusion matrices float64 [R, C, C]."""

    roc_auc: Floats
    average_precision: Floats
    matrices: Floats


def _bootstrapped(weighted: Callable[[Weighed], Floats]) -> Bootstrapped:
    return Bootstrapped(lambda classified: float(weighted(classified.unweighted)[0]), weighted)


_MEANS = "Sokolova and Lapalme, Information Processing and Management 45:427 (2009)"
_EVERYWHERE = frozenset({Surface.TERMINAL, Surface.CARD, Surface.COMPARISON})
_COMPARED = _EVERYWHERE | {Surface.DIFFERENCE}

# How well the probabilities rank the images, each class against the rest.
RANKING = (
    Metric(
        "macro_roc_auc",
        "Macro ROC-AUC",
        "the mean of the classes' ROC-AUC, each class against the rest; every class counts the same",
        _MEANS,
        Direct(
            lambda one: delong.macro_roc_auc(one.labels, one.probabilities, one.groups),
            "macro_roc_auc",
            lambda own, other: paired.macro_roc_auc_difference(
                own.labels, own.probabilities, other.probabilities, own.groups
            ),
        ),
        _COMPARED,
    ),
    Metric(
        "weighted_roc_auc",
        "Weighted ROC-AUC",
        "the mean of the classes' ROC-AUC; every class counts by its images",
        _MEANS,
        _bootstrapped(lambda under: class_metrics.weighted_mean_of_classes(under.roc_auc, under.matrices)),
        frozenset({Surface.CARD, Surface.COMPARISON}),
    ),
    Metric(
        "macro_average_precision",
        "Macro average precision",
        "the mean of the classes' average precision; every class counts the same",
        _MEANS,
        _bootstrapped(lambda under: class_metrics.mean_of_classes(under.average_precision)),
        _EVERYWHERE,
    ),
    Metric(
        "weighted_average_precision",
        "Weighted average precision",
        "the mean of the classes' average precision; every class counts by its images",
        _MEANS,
        _bootstrapped(lambda under: class_metrics.weighted_mean_of_classes(under.average_precision, under.matrices)),
        frozenset({Surface.CARD, Surface.COMPARISON}),
    ),
)
# How often the most probable class is right.
MOST_PROBABLE = (
    Metric(
        "balanced_accuracy",
        "Balanced accuracy",
        "the mean of the classes' sensitivities",
        "Brodersen et al., ICPR 2010",
        Direct(
            lambda one: uncertainty.mean_of_independent(one.sensitivities),
            "balanced_accuracy",
            lambda own, other: paired.balanced_accuracy_difference(own.labels, own.named, other.named, own.groups),
        ),
        _COMPARED,
    ),
    Metric(
        "kappa",
        "Cohen's kappa",
        "the agreement of the most probable class with the truth beyond what chance gives",
        "Cohen, Educational and Psychological Measurement 20:37 (1960)",
        _bootstrapped(lambda under: class_metrics.kappa(under.matrices)),
        _EVERYWHERE,
    ),
    Metric(
        "accuracy",
        "Accuracy",
        "the share of images whose most probable class is the true one",
        _MEANS,
        Share(lambda one: (np.ones(one.labels.size, dtype=bool), one.labels == one.named)),
        _COMPARED,
    ),
)
# Always 1 for two classes.
TOP_2 = Metric(
    "top_2_accuracy",
    "Top-2 accuracy",
    "the share of images whose true class is among the two most probable",
    "Russakovsky et al., IJCV 115:211 (2015)",
    Share(
        lambda one: (np.ones(one.labels.size, dtype=bool), class_metrics.in_top(one.labels, one.probabilities)),
    ),
    _EVERYWHERE,
)
CLASSIFICATION = (*RANKING, *MOST_PROBABLE, TOP_2)


def shown_metrics(num_classes: int) -> tuple[Metric, ...]:
    """The metrics of `CLASSIFICATION` that say something new: for two classes the ranking is that of the risk."""
    return CLASSIFICATION if num_classes > 2 else MOST_PROBABLE


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
            undefined(
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
    estimates = estimate({"": part}, groups, Sampling(resamples, seed))[""]
    return {
        **{metric.name: estimates[metric.name].to_json() for metric in rows},
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
                "roc_auc": _roc_auc(
                    labels == index, _one_against_rest(classified.probabilities, index), groups
                ).to_json(),
                "average_precision": estimates[_average_precision_of(name)].to_json(),
                "sensitivity": classified.sensitivities[index].to_json(),
                "ppv": _share(named == index, labels == index, groups).to_json(),
                "at_threshold": _at_threshold(labels == index, called[name], groups) if name in called else None,
            }
            for index, name in enumerate(names)
        ],
    }


def _average_precision(index: int) -> Bootstrapped:
    return _bootstrapped(lambda under: under.average_precision[:, index])


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
    ),
    to_json=lambda points, splits: {
        "classification": {"operating_points": {name: point.to_json() for name, point in points.items()}, **splits}
    },
    form=lambda of_splits: {
        "classification": {"operating_points": {"*": {"name": text, "rule": text, "threshold": known}}, **of_splits}
    },
    on_validation=True,
)
