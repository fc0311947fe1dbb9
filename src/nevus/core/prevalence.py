"""A risk where malignant lesions are rarer, or more frequent, than where it was calibrated: Bayes' theorem.

It assumes that malignant lesions look there as they do here, and benign ones too: only their mix changes.
Plain floats and NumPy arrays alike; the prevalence that a model's risks assume is estimated in
`nevus.assess.sections.screening`.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from nevus.core.errors import ConfigError

Risk = TypeVar("Risk", float, NDArray[np.float64])


def odds(share: float) -> float:
    """The odds of a share in (0, 1)."""
    return share / (1.0 - share)


def check_prevalence(share: float) -> None:
    """Raises ConfigError unless `share` lies between 0 and 1."""
    if not 0.0 < share < 1.0:
        raise ConfigError(
            f"prevalence: {share} is not a share of malignant lesions. "
            "Expected a number between 0 and 1, such as 0.0176."
        )


def rebase(risk: Risk, *, assumed: float, prevalence: float) -> Risk:
    """The risk at another prevalence: its odds times the ratio of the prior odds there and here [1].

    Args:
        risk: in [0, 1]; a float, or float64 [N].
        assumed: in (0, 1): the share of malignant lesions for which `risk` is right.
        prevalence: in (0, 1): the share where the risk is wanted.

    Returns:
        In [0, 1], of the same form; higher risks stay higher.

    References:
        [1] Saerens, Latinne & Decaestecker, Adjusting the outputs of a classifier to new a priori
            probabilities, Neural Computation 14 (2002).
    """
    factor = odds(prevalence) / odds(assumed)
    return risk * factor / (1.0 - risk + risk * factor)
