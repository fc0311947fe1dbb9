"""Ways to turn a run's logits into chances, fitted on validation and measured on the test: calibration_ways.py RUN.

For a run that was trained with class weights, without writing anything; docs/experiments.md shows what came of one.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax

from nevus.assess.sections.inputs import read_checked, trained_weights
from nevus.assess.statistics import calibration, metrics
from nevus.assess.statistics.delong import roc_auc
from nevus.assess.statistics.uncertainty import group_codes
from nevus.core.class_weights import log_weights
from nevus.core.predictions import Predictions
from nevus.core.runs import Run

Floats = NDArray[np.float64]
# From the parameters, the first of them 1 / temperature, and logits [N, C] to others.
Way = Callable[[Floats, Floats], Floats]


def ways(undone: Floats) -> dict[str, tuple[Way, int]]:
    """Each way with its number of parameters; `undone` is float64 [C], the logarithms of the class weights."""
    return {
        "temperature alone": (lambda x, z: z * x[0], 1),
        "(z - log w) / T": (lambda x, z: (z - undone) * x[0], 1),
        "z / T - log w": (lambda x, z: z * x[0] - undone, 1),
        "z / T + b, fitted": (lambda x, z: z * x[0] + np.append(0.0, x[1:]), undone.size),
    }


def log_loss(log_probabilities: Floats, labels: NDArray[np.int64]) -> float:
    """The mean negative log-likelihood of the true classes."""
    return float(-log_probabilities[np.arange(labels.size), labels].mean())


def fitted(way: Way, num_parameters: int, val: Predictions) -> Floats:
    """The parameters that make validation most likely."""
    start = np.append(1.0, np.zeros(num_parameters - 1))
    found = minimize(lambda x: log_loss(log_softmax(way(x, val.logits), axis=1), val.labels), start, method="BFGS")
    return np.asarray(found.x)


def main() -> None:
    """Prints a line for each way."""
    run = Run(Path(sys.argv[1]))
    classes = run.dataset_info.classes
    undone = log_weights(trained_weights(run), classes)
    if undone is None:
        sys.exit(f"{run.directory} was trained with the same weight for every class: there is nothing to undo.")
    val, test = (read_checked(run.predictions_csv(split), classes) for split in ("val", "test"))
    labels, groups = test.is_malignant, group_codes(test.groups)
    for name, (way, num_parameters) in ways(undone).items():
        logits = log_softmax(way(fitted(way, num_parameters, val), test.logits), axis=1)
        risk = np.minimum(np.exp(logits)[:, classes.malignant_mask].sum(axis=1), 1.0)
        line = calibration.calibration_line(labels, risk, groups)
        print(
            f"{name:18}  mean risk {risk.mean():.3f}  Brier {metrics.brier(labels, risk):.3f}  "
            f"ECE {calibration.expected_calibration_error(labels, risk):.3f}  intercept {line.intercept.value:+.2f}  "
            f"slope {line.slope.value:.2f}  ROC-AUC {roc_auc(labels, risk, groups).value:.3f}  "
            f"log loss {log_loss(logits, test.labels):.3f}"
        )


if __name__ == "__main__":
    main()
