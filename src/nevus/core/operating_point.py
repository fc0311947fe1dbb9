"""An operating point: a threshold on the risk, and where it comes from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nevus.core.estimate import Estimate

# Where a threshold was chosen, of a model that was adapted to a place.
ADAPTATION = "adaptation"


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """A rule that turns a risk into a decision: malignant if `risk >= threshold`.

    Attributes:
        name: short name for flags and tables, such as `sensitivity-95`.
        rule: how the threshold was chosen, in a sentence.
        threshold: the least risk, in [0, 1], that is called malignant.
        fitted_on: the split on which it was chosen, `out_of_fold` or `out_of_source` images, or those of an
            `adaptation`; never `test`.
        fitted_fingerprint: SHA-256 of the predictions it was chosen on.
        sensitivity: on the split it was fitted on, so optimistic there.
        specificity: on the split it was fitted on.
    """

    name: str
    rule: str
    threshold: float
    fitted_on: str
    fitted_fingerprint: str
    sensitivity: Estimate
    specificity: Estimate

    def decide(self, risk: float) -> bool:
        """True if `risk`, in [0, 1], is called malignant."""
        return risk >= self.threshold

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON holds them."""
        return {
            "name": self.name,
            "rule": self.rule,
            "threshold": self.threshold,
            "comparison": ">=",
            "fitted_on": self.fitted_on,
            "fitted_fingerprint": self.fitted_fingerprint,
            "sensitivity": self.sensitivity.to_json(),
            "specificity": self.specificity.to_json(),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> OperatingPoint:
        """Reads what `to_json` gave."""
        return cls(
            name=str(data["name"]),
            rule=str(data["rule"]),
            threshold=float(data["threshold"]),
            fitted_on=str(data["fitted_on"]),
            fitted_fingerprint=str(data["fitted_fingerprint"]),
            sensitivity=Estimate.from_json(data["sensitivity"]),
            specificity=Estimate.from_json(data["specificity"]),
        )
