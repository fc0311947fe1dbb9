"""An update of a model's risk for another place: a new intercept and slope of its log-odds.

Owns the formula, in float64. `serve.updated_graph` builds the same into a model file, and
`assess.statistics.updating` chooses the two numbers.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Log-odds count as at most this far from 0. Single precision cannot tell larger ones apart: the logit of 1 - 1e-7.
FURTHEST_LOG_ODDS = 16.118
# A probability of 0 has no logarithm.
LEAST_PROBABILITY = 1e-30


@dataclass(frozen=True, slots=True)
class RiskUpdate:
    """New log-odds of malignancy from old ones: `intercept + slope * log_odds`.

    Attributes:
        intercept: 0 for none.
        slope: above 0, so that higher risks stay higher; 1 for none.
    """

    intercept: float = 0.0
    slope: float = 1.0

    def of_log_odds(self, log_odds: Floats) -> Floats:
        """The updated log-odds, float64 [N]."""
        return self.intercept + self.slope * log_odds

    def of_risk(self, log_odds: Floats) -> Floats:
        """The updated risk, float64 [N] in [0, 1]."""
        return 1.0 / (1.0 + np.exp(-self.of_log_odds(log_odds)))

    def of_probabilities(self, probabilities: NDArray[Any], malignant: NDArray[np.bool_]) -> Floats:
        """The updated probabilities of the classes, whose rows sum to 1.

        The log-odds of malignant against benign move; the ratios among the malignant classes stay, and among the
        benign ones too.

        Args:
            probabilities: float [N, C], rows sum to 1.
            malignant: bool [C].

        Returns:
            float64 [N, C].
        """
        odds = log_odds_of(probabilities, malignant)
        shift = self.of_log_odds(odds) - odds
        logits = np.log(np.maximum(probabilities, LEAST_PROBABILITY, dtype=np.float64)) + np.outer(shift, malignant)
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        updated: Floats = shares / shares.sum(axis=1, keepdims=True)
        return updated

    def to_json(self) -> dict[str, float]:
        """The fields as JSON holds them."""
        return asdict(self)


def log_odds_of(probabilities: NDArray[Any], malignant: NDArray[np.bool_]) -> Floats:
    """The log-odds of malignant against benign, at most `FURTHEST_LOG_ODDS` from 0.

    Both sums are taken from the probabilities, because 1 less a risk near 1 loses its digits.

    Args:
        probabilities: float [N, C], rows sum to 1.
        malignant: bool [C].

    Returns:
        float64 [N].
    """
    sums = [np.asarray(probabilities, np.float64)[:, kind].sum(axis=1) for kind in (malignant, ~malignant)]
    of_malignant, of_benign = (np.log(np.maximum(each, LEAST_PROBABILITY)) for each in sums)
    log_odds: Floats = np.clip(of_malignant - of_benign, -FURTHEST_LOG_ODDS, FURTHEST_LOG_ODDS)
    return log_odds
