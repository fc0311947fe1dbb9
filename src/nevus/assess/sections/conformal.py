"""Conformal sets: the classes that cannot be excluded at a stated error rate, for each image.

Owns split conformal prediction with a quantile for each class. It asks only that
the calibration images and later ones be exchangeable; docs/evaluation.md says where
validation strains that. It must not read files.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from nevus.assess.sections.section import Section, Validation
from nevus.assess.sections.shapes import count, estimated, number
from nevus.assess.statistics.metrics import Bools, Floats
from nevus.assess.statistics.uncertainty import group_codes, proportion
from nevus.core.predictions import Predictions

ALPHAS = (0.1, 0.05)


def fit(predictions: Predictions, temperature: float, alpha: float) -> Floats:
    """The least probability with which each class enters a set, so that sets miss it in at most a share alpha.

    For each class by itself ('Mondrian' [1]): of its n images the one of rank floor(alpha (n + 1)) in its own
    probability, lowest first. That rank is the finite-sample quantile [2] which makes coverage of the class at
    least 1 - alpha, whatever the network.

    Args:
        predictions: of validation, never of the test.
        temperature: above 0; logits are divided by it.
        alpha: in (0, 1), the error rate.

    Returns:
        float64 [C]; 0 for a class with fewer than 1 / alpha - 1 images, which then enters every set.

    References:
        [1] Vovk, Conditional validity of inductive conformal predictors, Machine Learning 92 (2013).
        [2] Angelopoulos & Bates, Conformal prediction: a gentle introduction, Foundations and Trends in Machine
            Learning 16 (2023), sections 1 and 4.2.
    """
    probabilities = predictions.probabilities(temperature)
    least = np.zeros(probabilities.shape[1])
    for index in range(least.size):
        own = np.sort(probabilities[predictions.labels == index, index])
        # Exact for the rates in use: .05 * 20 is a hair over 1 in floating point, .1 * 30 a hair over 3.
        rank = math.floor(round(alpha * (own.size + 1), 9))
        if rank > 0:
            least[index] = own[rank - 1]
    return least


def sets_of(predictions: Predictions, temperature: float, least: Floats) -> Bools:
    """bool [N, C]: the classes in the conformal set of each image; `least` is float64 [C] from `fit`."""
    return np.asarray(predictions.probabilities(temperature) >= least)


def measure(inside: Bools, predictions: Predictions) -> dict[str, Any]:
    """Coverage by class and sizes of the sets on one split.

    Args:
        inside: bool [N, C] from `sets_of`.
        predictions: of the N images.

    Returns:
        `coverage` by class name and `coverage_all`, the shares of images whose set holds their true class;
        `set_sizes`, the share of images by number of classes in their set, 0 to C.
    """
    names, labels, groups = predictions.classes.names, predictions.labels, group_codes(predictions.groups)
    covered = inside[np.arange(labels.size), labels]
    sizes = inside.sum(axis=1)
    return {
        "coverage": {
            name: proportion(covered[labels == index], groups[labels == index]).to_json()
            for index, name in enumerate(names)
        },
        "coverage_all": proportion(covered, groups).to_json(),
        "set_sizes": [
            {
                "size": size,
                "num_images": int((sizes == size).sum()),
                "share": proportion(sizes == size, groups).to_json(),
            }
            for size in range(len(names) + 1)
        ],
        "mean_set_size": float(sizes.mean()),
    }


def _fit(validation: Validation) -> dict[float, dict[str, float]]:
    """By error rate, the least probability by class name."""
    names = validation.predictions.classes.names
    return {
        alpha: dict(zip(names, fit(validation.predictions, validation.temperature, alpha).tolist(), strict=True))
        for alpha in ALPHAS
    }


def _to_json(least: Mapping[float, Mapping[str, float]], splits: Mapping[str, Mapping[float, Any]]) -> dict[str, Any]:
    return {
        "conformal": [
            {
                "alpha": alpha,
                "least_probability": dict(by_class),
                **{split: by_alpha[alpha] for split, by_alpha in splits.items()},
            }
            for alpha, by_class in least.items()
        ]
    }


SECTION = Section(
    "conformal",
    {
        "coverage": {"*": estimated},
        "coverage_all": estimated,
        "mean_set_size": number,
        "set_sizes": [{"size": count, "num_images": count, "share": estimated}],
    },
    lambda judged, sampling: {alpha: measure(inside, judged.predictions) for alpha, inside in judged.sets.items()},
    fit=_fit,
    to_json=_to_json,
    form=lambda of_splits: {"conformal?": [{"alpha": number, **of_splits}]},
    is_optional=True,
)
