"""The metrics of the class probabilities, as rows, and what they are computed from.

Two classes take the same path as several: their ranking is that of the risk, and top 2 is always right, so
these are left out for them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import NamedTuple

import numpy as np

from nevus.assess.sections.metric import Bootstrapped, Direct, Metric, Share, Surface
from nevus.assess.statistics import class_metrics, delong, metrics, paired, uncertainty
from nevus.assess.statistics.metrics import Floats
from nevus.assess.statistics.uncertainty import group_codes
from nevus.core.predictions import Predictions


class Classified:
    """The class probabilities of a split's N images, and what several metrics need of them.

    Images are ranked by chances; the most probable classes are named with the class weights of training, so that a
    rare class is named at all.
    """

    def __init__(self, predictions: Predictions, temperature: float) -> None:
        self.names = predictions.classes.names
        self.labels = predictions.labels
        self.probabilities = predictions.probabilities(temperature)
        self.groups = group_codes(predictions.groups)
        self.weighted = predictions.weighted_probabilities(temperature)
        self.named = class_metrics.most_probable(self.weighted)
        self.sensitivities = [
            uncertainty.share(self.labels == index, self.named == index, self.groups)
            for index in range(len(self.names))
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


def resampled(weighted: Callable[[Weighed], Floats]) -> Bootstrapped:
    """A metric whose value is that under weights of 1."""
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
        "the mean of the classes' ROC-AUC; every class is weighted by its number of images",
        _MEANS,
        resampled(lambda under: class_metrics.weighted_mean_of_classes(under.roc_auc, under.matrices)),
        frozenset({Surface.CARD, Surface.COMPARISON}),
    ),
    Metric(
        "macro_average_precision",
        "Macro average precision",
        "the mean of the classes' average precision; every class counts the same",
        _MEANS,
        resampled(lambda under: class_metrics.mean_of_classes(under.average_precision)),
        _EVERYWHERE,
    ),
    Metric(
        "weighted_average_precision",
        "Weighted average precision",
        "the mean of the classes' average precision; every class is weighted by its number of images",
        _MEANS,
        resampled(lambda under: class_metrics.weighted_mean_of_classes(under.average_precision, under.matrices)),
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
        "the agreement of the most probable class with the truth beyond chance",
        "Cohen, Educational and Psychological Measurement 20:37 (1960)",
        resampled(lambda under: class_metrics.kappa(under.matrices)),
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
        lambda one: (np.ones(one.labels.size, dtype=bool), class_metrics.in_top(one.labels, one.weighted)),
    ),
    _EVERYWHERE,
)
CLASSIFICATION = (*RANKING, *MOST_PROBABLE, TOP_2)


def shown_metrics(num_classes: int) -> tuple[Metric, ...]:
    """The metrics of `CLASSIFICATION` that say something new: for two classes the ranking is that of the risk."""
    return CLASSIFICATION if num_classes > 2 else MOST_PROBABLE
