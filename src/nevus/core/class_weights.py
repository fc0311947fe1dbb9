"""What each class weighed in training, and how that is undone so that probabilities are chances again.

Training with class weights teaches a network the probabilities of a mix in which each class counts by its weight times
its images. Dividing each probability by the weight of its class, and then all by their sum, gives those of the images
as they are [1, 2]; on logits that is to subtract the logarithms of the weights. Weights by source and class count by
the mean over the images of each class.

References:
    [1] Elkan, The foundations of cost-sensitive learning, IJCAI 2001, theorem 2.
    [2] Saerens, Latinne & Decaestecker, Adjusting the outputs of a classifier to new a priori probabilities, Neural
        Computation 14 (2002).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nevus.core.labels import Classes


def parse_class_weights(data: Any, classes: Classes) -> dict[str, float]:
    """The weights by class name, in the order of the classes; empty if there are none or all weigh the same.

    Args:
        data: what a file holds: None or nothing, or a weight for each class by its name.
        classes: of the model.

    Raises:
        ValueError: a class has no weight, or one that is not a finite number above 0.
    """
    if not data:
        return {}
    if not isinstance(data, Mapping) or set(data) != set(classes.names):
        raise ValueError(f"class_weights: expected a weight for each of {list(classes.names)}. Received: {data}.")
    weights = {name: float(data[name]) for name in classes.names}
    if not all(math.isfinite(weight) and weight > 0 for weight in weights.values()):
        raise ValueError(f"class_weights: expected finite numbers above 0. Received: {weights}.")
    return {} if len(set(weights.values())) == 1 else weights


def log_weights(weights: Mapping[str, float], classes: Classes) -> NDArray[np.float64] | None:
    """What to subtract from the logits, float64 [C]: the logarithms of the weights; None if there are none.

    Examples:
        >>> classes = Classes(("benign", "malignant"), ("malignant",))
        >>> log_weights({"benign": 1.0, "malignant": 8.0}, classes).round(2).tolist()
        [0.0, 2.08]
    """
    return np.log([weights[name] for name in classes.names]) if weights else None
